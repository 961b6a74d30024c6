"""How much one comparison may read, and until when."""

import threading
import time

MAX_TEXT = 262_144  # characters of one text
MAX_CHARACTERS = 4_000_000  # of all texts of a comparison
MAX_TEXT_NODES = 100_000  # keys, values and levels of one text
MAX_NODES = 500_000  # of all texts of a comparison
MAX_DEPTH = 100  # of objects and lists in a text
OFTEN = 1000  # nodes between two looks at the clock


class UnreadError(Exception):
    """A text that a reader does not fully understand."""


class RepeatedError(UnreadError):
    """A text of the reader's format that names a key twice, which readers of other formats might take for theirs."""


class SpentError(UnreadError):
    """A text that costs more than the budget holds."""


class OverdueError(Exception):
    """A comparison that lasts too long, or that nobody waits for."""


class Budget:
    """Characters and nodes that are left, and seconds until the end."""

    def __init__(self, seconds: float, *, characters: int = MAX_CHARACTERS, nodes: int = MAX_NODES) -> None:
        self._end = time.monotonic() + seconds
        self._characters = characters
        self._nodes = nodes
        self._floor = 0
        self._look = nodes - OFTEN
        self._stopped = threading.Event()

    def spend_text(self, text: str) -> None:
        """Raises SpentError for a text that is too long, and OverdueError."""
        self.check_time()
        if len(text) > min(MAX_TEXT, self._characters):
            raise SpentError
        self._characters -= len(text)
        self._floor = max(0, self._nodes - MAX_TEXT_NODES)

    def spend(self, nodes: int = 1) -> None:
        """Raises SpentError when the text or the comparison has no nodes left, and OverdueError."""
        self._nodes -= nodes
        if self._nodes < self._look:
            self._look = self._nodes - OFTEN
            self.check_time()
        if self._nodes < self._floor:
            raise SpentError

    def check_time(self) -> None:
        if self._stopped.is_set() or time.monotonic() > self._end:
            raise OverdueError

    def stop(self) -> None:
        """End the work at its next step, from another thread."""
        self._stopped.set()
