"""The output of commands: foreign text stays text, with all its brackets and control characters."""

import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from api.logs import make_printable

StyledText = str | tuple[str, str]  # a text, or a text with its style

out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True)


class CommandError(Exception):
    """A failure with a message of one paragraph: the cause, then what to do."""


def say(screen: Console, *texts: StyledText) -> None:
    """Print a line of texts; none of them is markup, begins a line, or is obeyed by the terminal."""
    screen.print(Text.assemble(*map(_escape_styled, texts)), soft_wrap=True)


def escape_controls(text: object) -> str:
    """Return the whole text on one line, with escape sequences in place of control characters."""
    return make_printable(str(text), limit=None)


def warn(message: str) -> None:
    say(err, ("taskql:", "bold yellow"), f" {message}")


def fail(*lines: str) -> NoReturn:
    """Print why a command failed, and end it with status 1."""
    first, *further = lines
    say(err, ("taskql:", "bold red"), f" {first}")
    for line in further:
        say(err, line)
    sys.exit(1)


def _escape_styled(text: StyledText) -> StyledText:
    return escape_controls(text) if isinstance(text, str) else (escape_controls(text[0]), text[1])
