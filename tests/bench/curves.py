"""Curves over HTTP against the same written by hand: CPU time of the server process, interleaved.

    uv run python -m tests.bench.curves [points] [rounds]

A million points in 1,000 curves of 50 tasks are reported, 10,000 in a request. Then one task is asked for a curve, and
all of them for one each, with at most 500 points. By hand means a Starlette route with pymongo and orjson, which stores
and reads the same without asking what is right, in a database of its own. Both give the same answers.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import pymongo

from api.embedded_mongodb import run_embedded_mongodb
from api.settings import CLEARML_COMPANY
from models.documents.block import SERIES, Block
from tests.bench.dashboard import HAND, TICKS, served, ticks
from tests.bench.layouts import PAIRS, TASKS, reports

REPORT = "mutation($input: MetricsReportInput!) { metricsReport(input: $input) { results { added } } }"
CURVES = """query($ids: [ID!], $metric: String!, $variant: String!) {
  tasks(filter: {id: $ids}, orderBy: [{field: ID}]) { nodes { id
    series(metric: [$metric], variant: [$variant]) { iterations values } } } }"""
NAMES = [f"task {number:02}" for number in range(TASKS)]
HEADERS = {"Accept-Encoding": "identity", "Content-Type": "application/json"}  # by hand does not compress
OURS, BY_HAND = "bench", "backend"  # databases


class Server(NamedTuple):
    """A server process, and where it takes reports and shows curves."""

    pid: int
    report: str
    curves: str


class Question(NamedTuple):
    """What is asked of both in turns, at the same place of `Server`."""

    name: str
    place: str
    each: int
    bodies: Iterator[bytes]


def compare(ours: Server, hand: Server, question: Question) -> None:
    """Tell what each request takes; the first one only warms up."""
    spent: list[list[tuple[float, float]]] = []
    for number, body in enumerate(question.bodies):
        turn = [ours, hand] if number % 2 else [hand, ours]
        found = {server.pid: cpu(server, getattr(server, question.place), body, question.each) for server in turn}
        assert found[ours.pid][2] == found[hand.pid][2], f"the two answers to {question.name} differ"
        spent += [[found[server.pid][:2] for server in (ours, hand)]] if number else []
    own, other = (sum(pair[place][0] for pair in spent) for place in (0, 1))
    clock = statistics.median(pair[0][1] for pair in spent)
    each, ratio = 1000 * own / len(spent) / question.each, own / max(other, 1 / TICKS)
    print(f"{question.name}: {each:.1f} ms CPU, {ratio:.2f} x by hand; {1000 * clock:.0f} ms by the clock")


def cpu(server: Server, url: str, body: bytes, times: int) -> tuple[float, float, Any]:
    """Seconds of CPU of the process, seconds by the clock for one of them, and the answer."""
    before, began = ticks(server.pid), time.perf_counter()
    with httpx.Client(headers=HEADERS, timeout=60) as client:
        for _ in range(times):
            answer = client.post(url, content=body).raise_for_status()
    clock = (time.perf_counter() - began) / times
    return (ticks(server.pid) - before) / TICKS, clock, answer.json()


def reported(points: int) -> Iterator[bytes]:
    for report in reports(points, 10):
        yield asked(
            REPORT,
            input={
                "reports": [
                    {
                        "task": task,
                        "points": [
                            {"metric": metric, "variant": variant, "iteration": iteration, "value": value}
                            for (metric, variant), curve in curves.items()
                            for iteration, _, value in curve.tolist()
                        ],
                    }
                    for task, curves in report.items()
                ]
            },
        )


def overlays(tasks: int, rounds: int) -> Iterator[bytes]:
    for number in range(rounds + 1):
        metric, variant = PAIRS[number % len(PAIRS)]
        yield asked(CURVES, ids=NAMES[:tasks], metric=metric, variant=variant)


def asked(query: str, **variables: Any) -> bytes:
    return orjson.dumps({"query": query, "variables": variables})


def prepare(uri: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        for name in (OURS, BY_HAND):
            task = {"company": CLEARML_COMPANY, "name": "run", "status": "in_progress", "last_metrics": {}}
            client[name]["task"].insert_many([{"_id": id_, **task} for id_ in NAMES])
            client[name][SERIES].create_indexes(Block.Settings.indexes)


def main(points: int = 1_000_000, rounds: int = 10) -> None:
    with tempfile.TemporaryDirectory() as folder, run_embedded_mongodb(Path(folder) / "data") as uri:
        prepare(uri)
        environment = os.environ | {"TASKQL_MONGODB_URI": uri, "TASKQL_PORT": "0", "TASKQL_MONGODB_DATABASE": OURS}
        ours = [sys.executable, "-m", "api", "serve"]
        with served(ours, environment) as a, served([sys.executable, str(HAND)], environment) as b:
            servers = (Server(*a, a[1]), Server(b[0], f"{b[1]}report", f"{b[1]}curves"))
            for question in (
                Question(f"a report of {TASKS * len(PAIRS) * 10} points", "report", 1, reported(points)),
                Question("a curve", "curves", 50, overlays(1, rounds)),
                Question(f"a curve of each of {TASKS} tasks", "curves", 5, overlays(TASKS, rounds)),
            ):
                compare(*servers, question)


if __name__ == "__main__":
    began = time.monotonic()
    main(*map(int, sys.argv[1:]))
    print(f"{time.monotonic() - began:.0f} s in all")
