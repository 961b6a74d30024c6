"""The log: a line for each record, below it the traceback of a fault.

Its texts may come from clients: each is cut short, costs linear time, and holds nothing that a terminal obeys or that
begins a line of its own.
"""

import logging
import traceback
from collections.abc import Iterator

MAX_TEXT = 2000  # characters of one text
MAX_FRAMES = 50  # of one traceback, from the fault outwards
MAX_CAUSES = 10  # of one fault


def log_to_stderr() -> None:
    """Send all warnings and errors, also those of libraries, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class LineFormatter(logging.Formatter):
    """Writes time, level and message, then the traceback, if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record)} {record.levelname} {make_printable(record.getMessage())}"
        fault = record.exc_info[1] if record.exc_info else None
        return "\n".join([line, *_format_traceback(fault)]) if fault else line


def make_printable(text: str, limit: int | None = MAX_TEXT) -> str:
    """Return the text, or its beginning, on one line with escape sequences in place of control characters."""
    printable = "".join(char if char.isprintable() else _escape_char(char) for char in text[:limit])
    is_whole = limit is None or len(text) <= limit
    return printable if is_whole else f"{printable}… ({len(text)} characters)"


def _escape_char(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _format_traceback(fault: BaseException) -> Iterator[str]:
    """Yield the lines of a fault, its causes first."""
    causes = list(_iter_causes(fault))
    for cause in reversed(causes):
        yield from (entry.rstrip("\n") for entry in traceback.format_tb(cause.__traceback__, -MAX_FRAMES))
        yield f"{type(cause).__name__}: {make_printable(str(cause))}"


def _iter_causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield the fault and its causes, each once; the faults of a group are causes of it."""
    waiting, seen = [fault], set[int]()
    while waiting and len(seen) < MAX_CAUSES:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        context = None if cause.__suppress_context__ else cause.__context__
        causes = [cause.__cause__, getattr(cause, "original_error", None), context, *getattr(cause, "exceptions", ())]
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]
