"""Real processes for tests: a taskql server, a mongod of another program."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote_plus

import httpx
import pymongo
from bson import json_util

from api.mongod import find_mongod

# One client for all tests: to make one takes longer than a request. Answers of a busy machine take long.
HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
NAIVE_DATES = json_util.JSONOptions(tz_aware=False)


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait for it; return whether it came in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


def build_env(**settings: object) -> dict[str, str]:
    """Return the environment of a process with only these settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKQL_")}
    return clean | {f"TASKQL_{name.upper()}": str(value) for name, value in settings.items()}


def run(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a `taskql` command to its end."""
    command = [sys.executable, "-m", "api", *map(str, arguments)]
    return subprocess.run(command, env=build_env(**settings), capture_output=True, text=True, timeout=120, check=False)


class Server:
    """A running `taskql serve`."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: IO[str]) -> None:
        self.process = process
        self.address = address
        self._log = log

    def data(self, query: str) -> dict[str, Any]:
        answer = HTTP.post(self.address, json={"query": query}).raise_for_status().json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def stop(self, ending: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return the exit status and all of standard error."""
        self.process.send_signal(ending)
        return self.process.wait(timeout=60), self.read_stderr()

    def read_stderr(self) -> str:
        """Return all of its standard error."""
        self._log.seek(0)
        return self._log.read()


@contextlib.contextmanager
def serve(*options: object, **settings: object) -> Iterator[Server]:
    """Run `taskql serve` until it is ready; on a free port unless the settings name one."""
    command = [sys.executable, "-m", "api", "serve", *map(str, options)]
    variables = build_env(**{"port": 0, **settings})
    # a pipe that nobody reads would fill, and then stop the server
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        line = process.stdout.readline()
        server = Server(process, next((word for word in line.split() if word.startswith("http")), ""), log)
        try:
            assert server.address, server.read_stderr()
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)


@contextlib.contextmanager
def standalone(folder: Path, *options: str) -> Iterator[str]:
    """Run a mongod as ClearML does: not a replica set."""
    (folder / "db").mkdir()
    socket = folder / "m.sock"
    command = [
        str(find_mongod()),
        "--dbpath",
        str(folder / "db"),
        "--logpath",
        str(folder / "log"),
        "--bind_ip",
        str(socket),
        "--nounixsocket",
        "--wiredTigerCacheSizeGB",
        "0.25",
        "--quiet",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not socket.exists():
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(0.05)
            yield f"mongodb://{quote_plus(str(socket))}/?directConnection=true"
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def replica_set(folder: Path) -> Iterator[str]:
    """Run a mongod of another program that has transactions, and fails on command."""
    with standalone(folder, "--replSet", "rs0", "--setParameter", "enableTestCommands=1") as uri:
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            members = [{"_id": 0, "host": str(folder / "m.sock")}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            while not client.admin.command("hello")["isWritablePrimary"]:
                time.sleep(0.05)
        yield uri


def restore(uri: str, dump: Path, database: str = "backend") -> None:
    """Insert a dump folder unchanged, without an index."""
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        for file in sorted(dump.glob("*.jsonl")):
            documents = [json_util.loads(line, json_options=NAIVE_DATES) for line in file.read_text().splitlines()]
            if documents:
                client[database][file.stem].insert_many(documents)


def read_all(uri: str) -> dict[str, Any]:
    """Read documents and indexes of every collection, except those of the server itself."""
    contents = {}
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        for database in set(client.list_database_names()) - {"local", "config", "admin"}:
            for name in client[database].list_collection_names():
                collection = client[database][name]
                contents[f"{database}.{name}"] = (
                    list(collection.find(sort=[("_id", 1)])),
                    collection.index_information(),
                )
    return contents
