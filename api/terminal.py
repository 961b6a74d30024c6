"""What commands print: foreign text stays text, whatever stands in it."""

import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from api.logs import printable

Part = str | tuple[str, str]  # a text, or a text with its style

out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True)


class CommandError(Exception):
    """One paragraph that says what happened and what to do."""


def say(screen: Console, *parts: Part) -> None:
    """Print a line of texts; none of them is markup, begins a line, or is obeyed by the terminal."""
    screen.print(Text.assemble(*map(_clean, parts)), soft_wrap=True)


def clean(text: object) -> str:
    """The whole text on one line, with escape sequences in place of control characters."""
    return printable(str(text), limit=None)


def warn(message: str) -> None:
    say(err, ("taskql:", "bold yellow"), f" {message}")


def fail(*lines: str) -> NoReturn:
    """Print why a command failed, and end it with status 1."""
    for number, line in enumerate(lines):
        say(err, *((("taskql:", "bold red"), " ") if number == 0 else ()), line)
    sys.exit(1)


def _clean(part: Part) -> Part:
    return clean(part) if isinstance(part, str) else (clean(part[0]), part[1])
