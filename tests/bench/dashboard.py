"""The dashboard list over HTTP against the same written by hand: CPU time of the server process, interleaved.

    uv run python -m tests.bench.dashboard [rounds] [requests]

100 tasks, newest first, 12 fields and 30 last metrics each, of 2,000 stored. By hand means one Starlette route with
pymongo's find, exactly the projected fields, and orjson. Both answers are compared before the clock starts.
"""

import contextlib
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pymongo

from api.embedded_mongodb import run_embedded_mongodb
from api.settings import CLEARML_COMPANY

QUERY = """{ tasks(filter: {project: ["p1"], status: [COMPLETED, STOPPED]}, first: 100) { nodes {
  id name type status comment created started completed lastUpdate lastIteration tags projectId
  lastMetrics { metric variant value minValue maxValue } } } }"""
HAND = Path(__file__).with_name("by_hand.py")
TICKS = os.sysconf("SC_CLK_TCK")


def main(rounds: int = 7, requests: int = 60) -> None:
    with tempfile.TemporaryDirectory() as folder, run_embedded_mongodb(Path(folder) / "data") as uri:
        fill(uri)
        environment = os.environ | {"TASKQL_MONGODB_URI": uri, "TASKQL_PORT": "0"}
        ours = [sys.executable, "-m", "api", "serve"]
        with served(ours, environment) as a, served([sys.executable, str(HAND)], environment) as b:
            assert ask(*a) == ask(*b), "the two answers differ"
            compare(a, b, rounds, requests)


def compare(a: tuple[int, str], b: tuple[int, str], rounds: int, requests: int) -> None:
    pairs = []
    for number in range(rounds + 1):
        pair = (cpu(*a, requests), cpu(*b, requests))
        if number:  # the first round only warms up
            pairs.append(pair)
            said = f"taskql {pair[0]:.2f} ms, by hand {pair[1]:.2f} ms CPU a request"
            print(f"round {number}: {said}, {pair[0] / pair[1]:.2f} x")
    ratios = [one / other for one, other in pairs]
    print(f"median {statistics.median(ratios):.2f} x by hand (from {min(ratios):.2f} to {max(ratios):.2f})")


def cpu(pid: int, url: str, requests: int) -> float:
    """Milliseconds of CPU that the process needs for one request."""
    before = ticks(pid)
    with httpx.Client(headers={"Accept-Encoding": "identity"}) as client:  # by hand does not compress
        for _ in range(requests):
            client.post(url, json={"query": QUERY}).raise_for_status()
    return (ticks(pid) - before) / TICKS / requests * 1000


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def ask(_pid: int, url: str) -> Any:
    return httpx.post(url, json={"query": QUERY}).raise_for_status().json()


@contextlib.contextmanager
def served(command: list[str], environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """A server process, and the address that it prints."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            yield process.pid, next(word for word in line.split() if word.startswith("http"))
        finally:
            process.terminate()
            process.wait(10)


def fill(uri: str) -> None:
    dice = random.Random(7)
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        client["backend"]["task"].insert_many([task(dice, number) for number in range(2000)])


def task(dice: random.Random, number: int) -> dict[str, Any]:
    start = datetime(2026, 1, 1) + timedelta(minutes=number)  # noqa: DTZ001 - stored dates are naive UTC
    return {
        "_id": f"{number:032x}",
        "company": CLEARML_COMPANY,
        "user": "u1",
        "project": f"p{number % 5}",
        "name": f"run {number}",
        "type": "training",
        "status": dice.choice(["completed", "stopped", "created"]),
        "comment": "a comment of some length",
        "created": start,
        "started": start + timedelta(seconds=5),
        "completed": start + timedelta(hours=1),
        "last_update": start + timedelta(hours=1),
        "last_iteration": number,
        "tags": ["a", "b"],
        "system_tags": [],
        "script": {"diff": "x" * 4000, "requirements": {"pip": "y" * 1000}},
        "hyperparams": {"General": {f"p{i}": {"section": "General", "name": f"p{i}", "value": "1"} for i in range(20)}},
        "last_metrics": metrics(dice),
    }


def metrics(dice: random.Random) -> dict[str, Any]:
    def md5(name: str) -> str:
        return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()

    return {
        md5(f"metric {i}"): {
            md5(f"variant {j}"): {
                "metric": f"metric {i}",
                "variant": f"variant {j}",
                "value": dice.random(),
                "min_value": dice.random(),
                "max_value": dice.random(),
                "count": 100,
                "first_value": dice.random(),
                "mean_value": dice.random(),
            }
            for j in range(5)
        }
        for i in range(6)
    }


if __name__ == "__main__":
    started = time.monotonic()
    main(*map(int, sys.argv[1:]))
    print(f"{time.monotonic() - started:.0f} s in all")
