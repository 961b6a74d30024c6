"""Limits of one comparison: characters, nodes and time."""

import threading
import time

MAX_TEXT = 262_144  # characters of one text
MAX_CHARACTERS = 4_000_000  # of all texts of a comparison
MAX_TEXT_NODES = 100_000  # keys, values and levels of one text
MAX_NODES = 500_000  # of all texts of a comparison
MAX_DEPTH = 100  # of objects and lists in a text
NODES_PER_CLOCK_CHECK = 1000


class UnreadError(Exception):
    """The reader does not fully understand the text."""


class RepeatedError(UnreadError):
    """A text in the reader's format repeats a key; readers of other formats must not try it."""


class SpentError(UnreadError):
    """The text costs more than the budget has left."""


class OverdueError(Exception):
    """The comparison takes too long, or its client has left."""


class Budget:
    """The characters, nodes and seconds that a comparison has left."""

    def __init__(self, seconds: float, *, characters: int = MAX_CHARACTERS, nodes: int = MAX_NODES) -> None:
        self._end = time.monotonic() + seconds
        self._characters = characters
        self._nodes = nodes
        self._floor = 0
        self._next_check = nodes - NODES_PER_CLOCK_CHECK
        self._stopped = threading.Event()

    def spend_text(self, text: str) -> None:
        """Spend the characters of a text; raises SpentError when it is too long, and OverdueError."""
        self.check_time()
        if len(text) > min(MAX_TEXT, self._characters):
            raise SpentError
        self._characters -= len(text)
        self._floor = max(0, self._nodes - MAX_TEXT_NODES)

    def spend(self, nodes: int = 1) -> None:
        """Spend nodes; raises SpentError when the text or the comparison has none left, and OverdueError."""
        self._nodes -= nodes
        if self._nodes < self._next_check:
            self._next_check = self._nodes - NODES_PER_CLOCK_CHECK
            self.check_time()
        if self._nodes < self._floor:
            raise SpentError

    def check_time(self) -> None:
        if self._stopped.is_set() or time.monotonic() > self._end:
            raise OverdueError

    def stop(self) -> None:
        """Stop the comparison at its next step, from another thread."""
        self._stopped.set()
