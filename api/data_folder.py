"""The data folder of an embedded MongoDB: its files, its locks and its socket.

It holds four things: `users`, locked shared by every process as long as it uses the database; `door`, locked
exclusively while a process enters or leaves; `db/`, mongod's own files, among them mongod.lock, which mongod holds
locked with its pid inside; and `mongod.log` of the latest start, `mongod.log.old` of the one before.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from api.mongod import ALTERNATIVES, MongodError

MAX_SOCKET_PATH = 103  # bytes on macOS; Linux has 107


@contextmanager
def explain_os_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MongodError(
            f"The data folder {folder} can't be used: {error.strerror} ({error.filename or folder}). "
            f"Make it a folder that you may write to, {ALTERNATIVES}"
        ) from error


def open_private_file(path: Path) -> IO[str]:
    path.touch(mode=0o600)
    return path.open("r+")


@contextmanager
def lock_door(folder: Path, timeout: float) -> Iterator[None]:
    with open_private_file(folder / "door") as door:
        if not wait_until(lambda: try_lock(door, fcntl.LOCK_EX), timeout):
            raise MongodError(
                f"Another taskql has been starting or stopping the database in {folder} for {timeout:g} s. "
                f"Wait for it or stop it, {ALTERNATIVES}"
            )
        yield


def try_lock(file: IO[str], mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(is_done: Callable[[], bool], timeout: float) -> bool:
    """Wait for it; return whether it was done within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (done := is_done()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return done


def read_lock_holder(folder: Path) -> int | None:
    """Return the pid of the process that has the database open, by mongod's own lock, which this holds for a moment."""
    try:
        with (folder / "db" / "mongod.lock").open() as lock:
            return None if try_lock(lock, fcntl.LOCK_SH) else int(lock.read() or 0)
    except FileNotFoundError:
        return None


def choose_socket_path(folder: Path) -> Path:
    """Return the path of the folder's socket, always the same, in a directory that only this user can enter."""
    # Not under XDG_RUNTIME_DIR: that goes at logout, and a server left running would lose its database.
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()
    name = Path(f"taskql-{os.geteuid()}", f"{digest[:16]}.sock")
    path = tempfile.gettempdir() / name
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        path = "/tmp" / name  # noqa: S108 - the one short name there always is
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    status = path.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise MongodError(
            f"The database's socket would go to {path.parent}, but that is not a directory that only you may enter. "
            f"Remove it, set TMPDIR to a directory of your own, {ALTERNATIVES}"
        )
    return path
