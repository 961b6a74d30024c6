"""Many who listen: does everybody come to know, how much memory does it take, and does a killed server lose anything?

    uv run python -m tests.bench.live            # 1,000 subscribers of 100 tasks, 20 of all, 100 changes a second
    uv run python -m tests.bench.live --part 10  # a tenth of it

Subscribers are sockets of their own; changes are written to MongoDB as another program would write them.
"""

import argparse
import asyncio
import json
import socket as sockets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import pymongo
from pymongo.collection import Collection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.factories import COMPANY, task
from tests.support.live import PROTOCOL
from tests.support.servers import Server, replica_set, serve

QUERY = """subscription Live($filter: TaskFilter, $after: String) {
  taskChanged(filter: $filter, resumeAfter: $after) { kind id resumeToken task { lastIteration } } }"""
SETTLED = 5.0  # seconds in which the last state must have come
NAME = "live"


class Load(NamedTuple):
    subscribers: int
    tasks: int
    wide: int
    rate: float  # changes a second
    seconds: float

    def part(self, part: int) -> "Load":
        return Load(
            self.subscribers // part, self.tasks // part, self.wide // part, self.rate / part, self.seconds / part
        )


FULL = Load(subscribers=1000, tasks=100, wide=20, rate=100, seconds=30)


class Figures(NamedTuple):
    told: int
    settled: float  # seconds from the last change until all knew of it
    memory: tuple[float, float]  # MB after a third of the time, and at the end
    cpu: float  # seconds of the server for each second of load
    streams: int
    resumed: float  # seconds from the restart until all knew what they had missed
    repeated: int


@dataclass
class Subscriber:
    ids: Sequence[str] | None
    seen: dict[str, int] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    last: str | None = None
    repeated: int = 0

    async def listen(self, port: int, ready: asyncio.Semaphore) -> None:
        """Until the server is gone."""
        filter_ = None if self.ids is None else {"id": list(self.ids)}
        payload = {"query": QUERY, "variables": {"filter": filter_, "after": self.last}}
        try:
            async with connect(
                f"ws://127.0.0.1:{port}/graphql", subprotocols=[PROTOCOL], open_timeout=60
            ) as connection:
                await connection.send('{"type": "connection_init"}')
                await connection.recv()
                await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
                ready.release()
                await self._take(connection)
        except ConnectionClosed:
            pass

    async def _take(self, connection: ClientConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            assert message["type"] == "next", message
            change = message["payload"]["data"]["taskChanged"]
            self.seen[change["id"]] = change["task"]["lastIteration"]
            self.last = change["resumeToken"]
            self.repeated += self.last in self.tokens
            self.tokens.add(self.last)

    def knows(self, state: dict[str, int]) -> bool:
        return all(self.seen.get(id_) == number for id_, number in state.items() if self.ids is None or id_ in self.ids)


class World:
    """The tasks, their changes, and all who listen."""

    def __init__(self, tasks: Collection[dict[str, Any]], load: Load) -> None:
        self.load = load
        self.tasks = tasks
        self.ids = [f"{number:032x}" for number in range(load.tasks)]
        narrow = [Subscriber([self.ids[number % load.tasks]]) for number in range(load.subscribers)]
        self.subscribers = [*narrow, *(Subscriber(None) for _ in range(load.wide))]
        self.state = dict.fromkeys(self.ids, 0)
        self._number = 0

    async def change(self, seconds: float) -> None:
        """As many changes as the rate says, whatever a single one takes."""
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            while self._number < self.load.rate * passed:
                self.once()
            await asyncio.sleep(0.01)
        self._number = 0

    def once(self) -> None:
        id_ = self.ids[self._number % len(self.ids)]
        self._number += 1
        self.state[id_] += 1
        self.tasks.update_one({"_id": id_}, {"$set": {"last_iteration": self.state[id_]}})

    async def settled(self, seconds: float) -> float:
        begun = time.monotonic()
        while not all(subscriber.knows(self.state) for subscriber in self.subscribers):
            if time.monotonic() - begun > seconds:
                late = sum(not subscriber.knows(self.state) for subscriber in self.subscribers)
                raise AssertionError(f"{late} of {len(self.subscribers)} do not know after {seconds} s")
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    def count_streams(self) -> int:
        """Count the change streams of this database; other servers on the same MongoDB have theirs."""
        own = {"ns": {"$regex": f"^{self.tasks.database.name}[.]"}}
        pipeline = [{"$currentOp": {"idleCursors": True, "allUsers": True}}, {"$match": own}]
        found = self.tasks.database.client.admin.aggregate(pipeline)
        return sum("$changeStream" in str(operation.get("cursor", {}).get("originatingCommand")) for operation in found)


async def measured(uri: str, load: Load) -> Figures:
    """In a database of its own, which is gone afterwards."""
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        try:
            return await _measured(uri, World(client[NAME]["task"], load), load)
        finally:
            client.drop_database(NAME)


async def _measured(uri: str, world: World, load: Load) -> Figures:
    world.tasks.insert_many([task(_id=id_, company=COMPANY, last_iteration=0) for id_ in world.ids])
    port = _free_port()
    settings = {"mongodb_uri": uri, "mongodb_database": NAME, "company": COMPANY, "port": port}
    with serve(**settings) as server:
        async with _all_listening(world, port):
            await world.change(load.seconds / 3)
            warm, before = _memory(server), _cpu(server)
            await world.change(load.seconds * 2 / 3)
            cpu = (_cpu(server) - before) / (load.seconds * 2 / 3)
            settled = await world.settled(SETTLED)
            streams, memory = world.count_streams(), (warm, _memory(server))
            server.process.kill()
    for _ in world.ids:
        world.once()
    with serve(**settings):
        begun = time.monotonic()
        async with _all_listening(world, port):
            await world.settled(30)
            resumed = time.monotonic() - begun
            await world.change(min(1.0, load.seconds / 3))
            await world.settled(SETTLED)
    told = sum(len(subscriber.tokens) for subscriber in world.subscribers)
    return Figures(told, settled, memory, cpu, streams, resumed, sum(one.repeated for one in world.subscribers))


class _all_listening(AsyncExitStack):  # noqa: N801 - reads as what it is
    def __init__(self, world: World, port: int) -> None:
        super().__init__()
        self._world, self._port = world, port

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        ready = asyncio.Semaphore(0)
        for subscriber in self._world.subscribers:
            listening = asyncio.create_task(subscriber.listen(self._port, ready))
            self.push_async_callback(_ended, listening)
        for _ in self._world.subscribers:
            await ready.acquire()
        await asyncio.sleep(1)  # what was asked for last has to arrive
        return self


async def _ended(listening: asyncio.Task[None]) -> None:
    listening.cancel()
    await asyncio.wait([listening])
    if not listening.cancelled():
        listening.result()


def _free_port() -> int:
    with sockets.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _memory(server: Server) -> float:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def _cpu(server: Server) -> float:
    """Seconds of CPU time so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def database() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, replica_set(Path(folder)) as uri:
        yield uri


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", type=int, default=1)
    asked = FULL.part(parser.parse_args().part)
    with database() as uri:
        figures = asyncio.run(measured(uri, asked))
    print(f"{asked.subscribers} subscribers of one of {asked.tasks} tasks, {asked.wide} of all of them;")
    print(f"{asked.rate:g} changes a second for {asked.seconds:g} s: {figures.told} events told")
    print(f"all knew the last state {figures.settled:.2f} s after it; {figures.streams} change stream")
    print(f"memory {figures.memory[0]:.0f} MB after a third, {figures.memory[1]:.0f} MB at the end ", end="")
    print(f"({figures.memory[1] / figures.memory[0] - 1:+.1%}); CPU time {figures.cpu:.0%} of one core")
    print(f"killed and started again: all had what they missed after {figures.resumed:.2f} s, {figures.repeated} twice")
