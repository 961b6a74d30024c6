"""Start, join, watch and stop an embedded mongod: one for each data folder, shared by all its users."""

import fcntl
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any
from urllib.parse import quote

from pymongo import MongoClient

from api.data_folder import (
    choose_socket_path,
    explain_os_errors,
    lock_door,
    open_private_file,
    read_lock_holder,
    try_lock,
    wait_until,
)
from api.mongod import (
    ALTERNATIVES,
    MongodError,
    build_mongod_command,
    configure_until_writable,
    explain_exit,
    explain_slow_start,
    find_mongod,
    read_socket_path,
)

log = logging.getLogger("taskql")

WATCH_PAUSE = 1.0  # seconds between two looks at a running mongod
MAX_RESTART_PAUSE = 60.0  # seconds between two tries to restart it


@contextmanager
def run_embedded_mongodb(data_dir: Path, timeout: float = 60) -> Iterator[str]:
    """Yield the URI of a single-node replica set on the data folder: joined if it runs, else started.

    A mongod that ends early is started again. The last user stops it, so close your clients first. Every wait is for
    `timeout` seconds at most, and every failure is a MongodError.
    """
    folder = data_dir.resolve()
    with ExitStack() as leaving:
        with explain_os_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "db").mkdir(mode=0o700, exist_ok=True)
            users = leaving.enter_context(open_private_file(folder / "users"))
            with lock_door(folder, timeout):
                fcntl.flock(users, fcntl.LOCK_SH)
                leaving.callback(_leave, folder, users, timeout)
                socket_path = _join_mongod(folder, timeout)
                if socket_path is None:
                    socket_path = choose_socket_path(folder)
                    _start_mongod(folder, socket_path, timeout)
            leaving.enter_context(_watch_in_thread(folder, socket_path, timeout))
        yield build_uri(socket_path)


def _leave(folder: Path, users: IO[str], timeout: float) -> None:
    with explain_os_errors(folder), lock_door(folder, timeout):
        if try_lock(users, fcntl.LOCK_EX):  # a shared lock of another user would refuse it: we are the last
            _stop_mongod(folder, timeout)


def _join_mongod(folder: Path, timeout: float) -> Path | None:
    """Wait for the mongod that runs on the folder, and return its socket; None if none of ours runs."""
    pid = read_lock_holder(folder)
    socket_path = _find_socket(pid, folder) if pid else None
    if socket_path is None or _wait_until_writable(socket_path, lambda: read_lock_holder(folder) == pid, timeout):
        return socket_path
    if read_lock_holder(folder) == pid:
        raise _make_stuck_error(folder, pid, f"has not answered for {timeout:g} s")
    return None


def _find_socket(pid: int, folder: Path) -> Path | None:
    return read_socket_path(_read_command_line(pid), folder / "db")


def _read_command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        with suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        return ""
    return subprocess.run(["ps", "-wwo", "args=", "-p", f"{pid}"], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607 - a number, and what PATH has


def _start_mongod(folder: Path, socket_path: Path, timeout: float) -> None:
    """Start a mongod on the folder, and wait until it takes writes; one that does not is killed."""
    mongod, log_path = find_mongod(), folder / "mongod.log"
    with suppress(FileNotFoundError):
        log_path.replace(folder / "mongod.log.old")
    command = build_mongod_command(mongod, folder / "db", socket_path)
    with open_private_file(log_path) as output, ExitStack() as failing:
        # A session of its own: Ctrl-C is for the application, and mongod outlives us while another one uses it.
        process = subprocess.Popen(  # noqa: S603 - find_mongod tried it
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        failing.callback(process.wait)
        failing.callback(process.kill)  # loses nothing that was written: there is a journal
        if not _wait_until_writable(socket_path, lambda: process.poll() is None, timeout):
            raise _make_start_error(mongod, folder, process.poll(), timeout)
        failing.pop_all()
    process.returncode = 0  # it has none yet, but Popen would warn of a child that lives on


def _make_start_error(mongod: Path, folder: Path, returncode: int | None, timeout: float) -> MongodError:
    log_path = folder / "mongod.log"
    text = log_path.read_text(errors="replace")
    if returncode is None:
        cause = explain_slow_start(text, timeout)
    else:
        cause = explain_exit(mongod, text, returncode, read_lock_holder(folder))
    return MongodError(f"mongod can't start on {folder}: {cause}, {ALTERNATIVES} The log is {log_path}.")


def _wait_until_writable(socket_path: Path, is_alive: Callable[[], bool], timeout: float) -> bool:
    """Wait for the mongod of the socket to take writes; False if it ended first, or the time did."""
    # A client of our own: one that saw the set without a configuration would never offer transactions.
    options = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")
    timeouts: dict[str, Any] = dict.fromkeys(options, min(2000, int(1000 * timeout)))
    with MongoClient[dict[str, Any]](build_uri(socket_path), connect=False, **timeouts) as client:

        def is_settled() -> bool:
            if not is_alive():
                return True
            # pymongo waits half a second after a refused connection, so it connects only to a socket that listens
            return _is_listening(socket_path) and configure_until_writable(client, str(socket_path))

        return wait_until(is_settled, timeout) and is_alive()


def _is_listening(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_path)) == 0


@contextmanager
def _watch_in_thread(folder: Path, socket_path: Path, timeout: float) -> Iterator[None]:
    stopping = Event()
    watcher = Thread(target=_watch_mongod, args=(folder, socket_path, timeout, stopping), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stopping.set()
        watcher.join()


def _watch_mongod(folder: Path, socket_path: Path, timeout: float, stopping: Event) -> None:
    """Start the mongod again whenever it has ended; when that fails, again after twice the time."""
    pid, pause = read_lock_holder(folder), WATCH_PAUSE
    while not stopping.wait(pause):
        if _is_listening(socket_path):
            pause = WATCH_PAUSE
            continue
        try:
            with explain_os_errors(folder), lock_door(folder, timeout):
                _restart_mongod(folder, socket_path, pid, timeout)
            pid, pause = read_lock_holder(folder), WATCH_PAUSE
        except MongodError as error:
            pause = min(2 * pause, MAX_RESTART_PAUSE)
            log.error("The embedded MongoDB has ended. %s Next try in %g s.", error, pause)  # noqa: TRY400 - the message is complete


def _restart_mongod(folder: Path, socket_path: Path, ended_pid: int | None, timeout: float) -> None:
    if read_lock_holder(folder):
        return  # another user of the folder was quicker
    if ended_pid:
        _reap_child(ended_pid)
    _start_mongod(folder, socket_path, timeout)
    log.warning("The embedded MongoDB had ended; it runs again.")


def _stop_mongod(folder: Path, timeout: float) -> None:
    pid = read_lock_holder(folder)
    if not pid or not _find_socket(pid, folder):
        return
    os.kill(pid, signal.SIGTERM)
    if not wait_until(lambda: read_lock_holder(folder) != pid, timeout):
        raise _make_stuck_error(folder, pid, f"has not stopped in {timeout:g} s")
    _reap_child(pid)


def _reap_child(pid: int) -> None:
    """Take note of the end of a process: only its parent can, and it may be a child of ours."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _make_stuck_error(folder: Path, pid: int | None, state: str) -> MongodError:
    return MongodError(
        f"The mongod of the data folder {folder} (process {pid}) {state}. Try again in a moment; if that does not "
        f"help, end it with `kill -9 {pid}`, which loses nothing: its data is journaled."
    )


def build_uri(socket_path: Path) -> str:
    return f"mongodb://{quote(str(socket_path), safe='')}/?directConnection=true"
