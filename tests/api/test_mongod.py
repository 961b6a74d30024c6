import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from pymongo import MongoClient

from api import embedded_mongodb
from api.data_folder import choose_socket_path, read_lock_holder, wait_until
from api.embedded_mongodb import run_embedded_mongodb
from api.mongod import MongodError, find_mongod

pytestmark = pytest.mark.slow

USER = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it
from api.embedded_mongodb import run_embedded_mongodb
with run_embedded_mongodb(pathlib.Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""
FULL_DISK = (
    '{"s":"E","msg":"WiredTiger error message","attr":{"error":28,"message":{"msg":"handle-open: open",'
    '"error_str":"No space left on device","error_code":28}}}'
)
NEWER_DATA = (
    '{"s":"F","msg":"Wrong mongod version","attr":{"error":"UPGRADE PROBLEM: Found an invalid '
    'featureCompatibilityVersion document (Invalid value for version, found 8.0)"}}'
)

PutMongod = Callable[[str], Path]


@contextmanager
def run_user(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the folder until its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def has_entered(process: subprocess.Popen[str]) -> bool:
    return process.stdout is not None and process.stdout.readline() == "in\n"


def has_left(process: subprocess.Popen[str]) -> bool:
    process.communicate(timeout=60)
    return process.returncode == 0


def add_document(uri: str) -> int:
    """Add a document in a transaction, and count them all."""
    with MongoClient(uri, serverSelectionTimeoutMS=30_000) as client:
        with client.start_session() as session, session.start_transaction():
            client.test.things.insert_one({}, session=session)
        return client.test.things.count_documents({})


def count_documents(uri: str) -> int:
    with MongoClient(uri, serverSelectionTimeoutMS=30_000) as client:
        return client.test.things.count_documents({})


def has_started(folder: Path) -> bool:
    """Return whether mongod has written its pid; a test of the lock could come before mongod's own lock and end it."""
    lock = folder / "db" / "mongod.lock"
    return lock.exists() and lock.read_text() != ""


def wait_for(condition: Callable[[], object]) -> bool:
    return wait_until(lambda: bool(condition()), 60)


def kill_all_below(root: Path) -> list[int]:
    pids = [pid for lock in root.rglob("mongod.lock") if (pid := read_lock_holder(lock.parent.parent))]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


@pytest.fixture(autouse=True, scope="module")
def _own_sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sockets of killed servers stay where they were: not in the user's own temporary folder."""
    tmp_path_factory.getbasetemp()  # this one does not go with us
    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", base)
        patch.setattr(tempfile, "tempdir", base)
        yield


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert kill_all_below(tmp_path) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that this process uses."""
    folder = tmp_path_factory.mktemp("running") / "data"
    with run_embedded_mongodb(folder):
        yield folder
    assert kill_all_below(folder) == []


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one document in it that nobody uses."""
    folder = tmp_path_factory.mktemp("stopped") / "data"
    with run_embedded_mongodb(folder) as uri:
        assert add_document(uri) == 1
    assert kill_all_below(folder) == []
    return folder


@pytest.fixture
def copied(stopped: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stopped, folder))


@pytest.fixture
def put_mongod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PutMongod:
    """Empty PATH, and a function that puts a script on it by the name of mongod."""
    path = tmp_path / "bin" / "mongod"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", str(path.parent))

    def put_mongod(script: str) -> Path:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put_mongod


@pytest.fixture
def _no_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)


def build_start_script(script: str) -> str:
    """A script that calls itself new enough, and does this when it is to serve."""
    return f'[ "$1" = --version ] && echo "db version v7.0.1" && exit\n{script}'


def read_error(folder: Path, timeout: float = 60) -> str:
    with pytest.raises(MongodError) as raised, run_embedded_mongodb(folder, timeout):
        pass
    text = str(raised.value)
    assert "\n" not in text
    return text


# Find


def test_path_first(put_mongod: PutMongod) -> None:
    """A mongod on PATH that is new enough is preferred to the bundled one."""
    assert put_mongod('echo "db version v6.0.0"') == find_mongod()


@pytest.mark.parametrize("script", ['echo "db version v4.4.29"', "exit 3", "kill -SEGV $$"])
def test_bundled_instead(put_mongod: PutMongod, script: str) -> None:
    """The bundled mongod is used silently if the one on PATH is too old or does not run."""
    path = put_mongod(script)
    bundled = find_mongod()
    assert bundled != path
    assert bundled.parts[-4:] == ("fiftyone", "db", "bin", "mongod")


@pytest.mark.usefixtures("put_mongod", "_no_bundled")
def test_none() -> None:
    """Without any mongod, the three ways to get one are named."""
    with pytest.raises(MongodError, match="PATH has no mongod, and the bundled one is not installed") as raised:
        find_mongod()
    for way in ("pip install 'taskql[embedded]'", "docker compose up -d mongo", "TASKQL_MONGODB_URI"):
        assert way in str(raised.value)


def test_hollow_package(tmp_path: Path, put_mongod: PutMongod, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundled package that was installed without its mongod counts as not installed, and is never run."""
    bundle = tmp_path / "site" / "fiftyone" / "db" / "bin"
    bundle.mkdir(parents=True)
    (bundle / "exception.txt").touch()
    (bundle.parents[1] / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.delitem(sys.modules, "fiftyone", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    put_mongod("exit 3")
    with pytest.raises(MongodError, match="mongod is broken"):
        find_mongod()


@pytest.mark.usefixtures("_no_bundled")
@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ('echo "db version v4.4.29"', "is MongoDB 4.4.29, and taskql needs 6.0"),
        ("echo oops >&2; exit 3", "is broken: `--version` ended with code 3 and printed: oops"),
        ("kill -SEGV $$", "is broken: `--version` ended with SIGSEGV and printed: nothing"),
        ("kill -ILL $$", r"needs a newer processor than this one \(with AVX\)"),
        *(
            (
                f"echo mongod: error while loading shared libraries: {library}: cannot open shared object file >&2",
                rf"needs {library}, which this system lacks \(apt-get install {package}\)",
            )
            for library, package in [
                ("libcurl.so.4", "libcurl4"),
                ("libssl.so.3", "libssl3"),
                ("libodd.so.1", "the package that has libodd.so.1"),
            ]
        ),
    ],
)
def test_problems(put_mongod: PutMongod, script: str, problem: str) -> None:
    """The error names the only mongod and its problem."""
    path = put_mongod(script)
    with pytest.raises(MongodError, match=f"{path} {problem}"):
        find_mongod()


@pytest.mark.usefixtures("_no_bundled")
def test_no_executable(put_mongod: PutMongod) -> None:
    """A file that the system can't execute is a problem, not a mongod."""
    path = put_mongod("")
    path.write_bytes(b"\x7fELF")
    with pytest.raises(MongodError, match=f"{path} does not run"):
        find_mongod()


# Start, join, leave


def test_private(running: Path) -> None:
    """The data is the user's alone, and mongod listens on nothing but a short socket."""
    assert running.stat().st_mode & 0o777 == 0o700
    [socket] = re.findall(r'"Listening on","attr":{"address":"(.+?)"', (running / "mongod.log").read_text())
    assert len(socket) <= 103
    assert Path(socket).stat().st_mode & 0o077 == 0
    assert Path(socket).parent.stat().st_mode & 0o777 == 0o700


def test_kept(stopped: Path) -> None:
    """Written documents are there at the next start."""
    with run_embedded_mongodb(stopped) as uri:
        assert count_documents(uri) == 1


def test_guest(running: Path) -> None:
    """A second process joins and leaves without disturbing the first."""
    pid = read_lock_holder(running)
    with run_user(running) as guest:
        assert has_entered(guest)
        assert has_left(guest)
    assert read_lock_holder(running) == pid


def test_joined_twice(running: Path) -> None:
    """Two users in one process have the same database."""
    with run_embedded_mongodb(running) as first, run_embedded_mongodb(running) as second:
        assert add_document(first) + 1 == add_document(second)


def test_starter_leaves_first(folder: Path) -> None:
    """The database outlives the process that started it, and stops with the last that uses it."""
    with run_user(folder) as starter:
        assert has_entered(starter)
        with run_embedded_mongodb(folder) as uri:
            add_document(uri)
            assert has_left(starter)
            assert add_document(uri) == 2
            assert read_lock_holder(folder)
    assert not read_lock_holder(folder)


def test_all_at_once(folder: Path) -> None:
    """One of many simultaneous users starts it, and the last one stops it."""
    with ExitStack() as stack:
        users = [stack.enter_context(run_user(folder)) for _ in range(3)]
        assert all(has_entered(process) for process in users)
        for process in users:
            process.stdin.close()
        assert [process.wait(60) for process in users] == [0, 0, 0]
    assert not read_lock_holder(folder)


def test_killed_user(folder: Path) -> None:
    """A database whose only user was killed is joined by the next one, who stops it."""
    with run_user(folder) as starter:
        assert has_entered(starter)
    pid = read_lock_holder(folder)
    assert pid
    with run_embedded_mongodb(folder) as uri:
        assert read_lock_holder(folder) == pid
        add_document(uri)
    assert not read_lock_holder(folder)


def test_killed_database(copied: Path) -> None:
    """A mongod that was killed leaves a socket and a lock behind, and neither hurts."""
    with run_embedded_mongodb(copied) as uri:
        assert add_document(uri) == 2
        os.kill(read_lock_holder(copied), signal.SIGKILL)
        assert wait_for(lambda: not read_lock_holder(copied))
    with run_embedded_mongodb(copied) as uri:
        assert add_document(uri) == 3


def kill_mongod(folder: Path) -> int:
    """End the mongod that this process started, and tell its pid."""
    pid = int((folder / "db" / "mongod.lock").read_text())
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # who watches it was quicker
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_killed_in_use(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A mongod that is killed while it is used runs again soon, at the same address and with its data."""
    with run_embedded_mongodb(copied) as uri:
        for number in (1, 2, 3):
            assert add_document(uri) == number + 1
            pid = kill_mongod(copied)
            assert wait_for(lambda number=number: len(caplog.records) == number)
        assert add_document(uri) == 5
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert [record.getMessage() for record in caplog.records] == ["The embedded MongoDB had ended; it runs again."] * 3


def test_hopeless(copied: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mongod that cannot be started again is tried after ever longer pauses, each time with the reason."""
    monkeypatch.setattr(embedded_mongodb, "WATCH_PAUSE", 0.05)
    monkeypatch.setattr(embedded_mongodb, "MAX_RESTART_PAUSE", 0.3)
    turtle = copied / "db" / "WiredTiger.turtle"
    with run_embedded_mongodb(copied) as uri:
        assert add_document(uri) == 2
        right = turtle.read_bytes()
        turtle.write_text("?")
        kill_mongod(copied)
        assert wait_for(lambda: len(caplog.records) == 4)
        turtle.write_bytes(right)
        assert wait_for(lambda: "runs again" in caplog.text)
        assert add_document(uri) == 3
    *failures, success = [record.getMessage() for record in caplog.records]
    assert "runs again" in success
    assert all("The embedded MongoDB has ended. mongod can't start on" in failure for failure in failures)
    pauses = [failure.rpartition("Next try in ")[2] for failure in failures]
    assert pauses[:4] == ["0.1 s.", "0.2 s.", "0.3 s.", "0.3 s."]


def test_moved(copied: Path) -> None:
    """A data folder can be moved, although the replica set knows its member by the socket."""
    with run_embedded_mongodb(copied) as uri:
        assert add_document(uri) == 2


@pytest.mark.parametrize("moment", [has_entered, lambda _: None], ids=["in use", "at start"])
def test_interrupted(folder: Path, moment: Callable[[subprocess.Popen[str]], object]) -> None:
    """After Ctrl-C, whether in use or on the way there, no mongod is left."""
    with run_user(folder) as process:
        assert wait_for(lambda: has_started(folder))
        moment(process)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
    assert not read_lock_holder(folder)


def test_long_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's path stays short enough where the temporary folder's is long."""
    monkeypatch.setattr(tempfile, "tempdir", "/" + 90 * "x")
    assert len(str(choose_socket_path(Path("/data")))) <= 103


# Failures


@pytest.mark.parametrize("below", ["", "deeper"])
def test_no_folder(folder: Path, below: str) -> None:
    """A data folder that can't be made is named, with the reason."""
    folder.touch()
    assert re.match(
        f"The data folder {folder}.* can't be used: (Not a directory|File exists) ", read_error(folder / below)
    )


def test_foreign_mongod(folder: Path) -> None:
    """A folder that somebody else's mongod has open is not joined, and that mongod lives on."""
    (folder / "db").mkdir(parents=True)
    command = [find_mongod(), "--dbpath", folder / "db", "--bind_ip", folder.parent / "m.sock", "--nounixsocket"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as foreign:
        assert wait_for(lambda: has_started(folder))
        text = read_error(folder)
        assert foreign.poll() is None
        foreign.kill()
    assert f"another mongod (process {foreign.pid}) has it open, which taskql can't join" in text


def test_foreign_socket_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is not put where others could get at it."""
    base = Path(tempfile.mkdtemp())
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    (base / f"taskql-{os.geteuid()}").mkdir(mode=0o755)
    text = read_error(folder)
    shutil.rmtree(base)
    assert f"{base}/taskql-{os.geteuid()}, but that is not a directory that only you may enter" in text


def test_damaged(copied: Path) -> None:
    """If mongod dies, its first error is quoted, and its log is named."""
    (copied / "db" / "WiredTiger.turtle").write_text("?")
    text = read_error(copied)
    assert f"mongod can't start on {copied}: it ended with " in text
    assert "fatal turtle file read error, WT_TRY_SALVAGE: database corruption detected" in text
    assert text.endswith(f"The log is {copied / 'mongod.log'}.")


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def test_newer_files(copied: Path) -> None:
    """Data files of a newer format have another message than damaged ones."""
    path = copied / "db" / "_mdb_catalog.wt"
    head = bytearray(path.read_bytes()[:4096])
    struct.pack_into("<HHI", head, 4, 2, 0, 0)  # the version of the file format is 2.0
    struct.pack_into("<I", head, 8, crc32c(head))
    with path.open("r+b") as file:
        file.write(head)
    text = read_error(copied)
    assert "its data is of another version of MongoDB than" in text
    assert "supports major/minor versions up to 1/0, and the file is version 2/0" in text


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"echo '{FULL_DISK}'; exit 14", "the disk is full. Free some space, choose another data folder, or"),
        (
            f"echo '{NEWER_DATA}'; exit 62",
            "another version of MongoDB than .*found 8.0.*the mongod that wrote it on PATH",
        ),
        ("echo unrecognised option >&2; exit 2", "it ended with code 2 and logged: unrecognised option. Fix"),
        ("kill -KILL $$", "it ended with SIGKILL and logged: nothing. Fix"),
    ],
)
def test_death(put_mongod: PutMongod, folder: Path, script: str, reason: str) -> None:
    """The log of a mongod that ended decides the message."""
    put_mongod(build_start_script(script))
    assert re.match(
        f"mongod can't start on {folder}: .*{reason}.* The log is {folder}/mongod.log.$", read_error(folder)
    )


def test_slow(put_mongod: PutMongod, folder: Path) -> None:
    """A mongod that takes too long is ended."""
    put_mongod(build_start_script("echo process $$; exec /bin/sleep 60"))
    text = read_error(folder, timeout=0.3)
    match = re.search(r"it was not ready after 0.3 s, and last logged: process (\d+)", text)
    assert match
    with pytest.raises(ProcessLookupError):
        os.kill(int(match[1]), 0)


def test_stuck(folder: Path) -> None:
    """A mongod that neither answers nor stops is named, so that its user can end it."""
    with run_user(folder) as starter:
        assert has_entered(starter)
    pid = read_lock_holder(folder)
    os.kill(pid, signal.SIGSTOP)
    text = read_error(folder, timeout=0.2)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not read_lock_holder(folder))
    assert (
        f"(process {pid}) has not stopped in 0.2 s. Try again in a moment; if that does not help, end it with" in text
    )


def test_closed_door(running: Path) -> None:
    """The wait for another that comes or goes has an end."""
    with (running / "door").open() as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        assert read_error(running, timeout=0.1).startswith(
            "Another taskql has been starting or stopping the database in "
        )
