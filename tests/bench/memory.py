"""How much memory a MongoDB takes for small requests that ask for much.

    uv run python -m tests.bench.memory [tasks]

Serves an embedded database with that many tasks (20,000) and sends each attack; tells the resident memory of mongod, in
MB, before it and at its peak.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pymongo

from api.data_folder import choose_socket_path
from tests.support.factories import DAY, Document, last_metrics, new_id, task
from tests.support.servers import serve

BY_METRIC = 'orderBy: [{metric: {metric: "m%d", variant: "v"}}]'


class Attack(NamedTuple):
    """A request by its name."""

    name: str
    query: str
    variables: Document


def attacks() -> Iterator[Attack]:
    deep = " ".join(
        f"a{n}: tasks(page: 1000000, pageSize: 500, {BY_METRIC % n}) {{ nodes {{ id }} }}" for n in range(2)
    )
    yield Attack("two pages by number, a million pages in", f"{{ {deep} }}", {})
    wide = " ".join(f"a{n}: tasks(filter: {{id: $ids}}, {BY_METRIC % n}) {{ nodes {{ id }} }}" for n in range(20))
    for count in (49_900, 1000):
        ids = [new_id() for _ in range(count)]
        yield Attack(f"{count} ids in 20 fields", f"query ($ids: [ID!]) {{ {wide} }}", {"ids": ids})
    plans = " ".join(
        f"a{n}: tasks(page: 19, pageSize: 500, {BY_METRIC % (n % 5)}) {{ nodes {{ id }} totalCount }}"
        for n in range(20)
    )
    yield Attack("20 fields, each with a sort of 10,000 rows", f"{{ {plans} }}", {})
    orders = ("NAME", "CREATED", "STARTED", "STATUS", "USER", "PROJECT", "ACTIVE_DURATION", "PARENT")
    shapes = " ".join(
        f'a{n}: tasks(filter: {{tags: ["t{n}"], user: ["u{n}"]}}, orderBy: [{{field: {field}}}], '
        "page: 9, pageSize: 500) { nodes { id } totalCount }"
        for n, field in enumerate(orders)
    )
    yield Attack("8 new shapes of filters and orders", f"{{ {shapes} }}", {})


def fill(uri: str, tasks: int, text: int) -> None:
    """Tasks with so many characters of text each."""
    dice = Random(1)
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        for start in range(0, tasks, 2000):
            client["backend"]["task"].insert_many(
                [
                    task(
                        name=f"n{number}",
                        project=f"p{dice.randrange(40)}",
                        user=f"u{dice.randrange(20)}",
                        comment="x" * text,
                        created=DAY + timedelta(minutes=number),
                        status=dice.choice(["created", "completed"]),
                        tags=[f"t{dice.randrange(20)}"],
                        last_update=DAY + timedelta(minutes=dice.randrange(10**6)),
                        last_metrics=last_metrics(*((f"m{metric}", "v", dice.random()) for metric in range(5))),
                    )
                    for number in range(start, min(tasks, start + 2000))
                ]
            )


class Measured(NamedTuple):
    """Resident memory of mongod around an attack, in MB, and how it was answered."""

    name: str
    before: int
    peak: int
    answer: str


def measure(folder: Path, tasks: int, text: int) -> Iterator[Measured]:
    with serve(data_dir=folder) as server:
        fill(
            f"mongodb://{quote(str(choose_socket_path(folder.resolve())), safe='')}/?directConnection=true", tasks, text
        )
        pid = int((folder / "db" / "mongod.lock").read_text())
        server.data("{ tasks(first: 1) { totalCount } }")
        for name, query, variables in attacks():
            before = resident(pid, "VmRSS")
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins again
            body = {"query": query, "variables": variables}
            answer = httpx.post(server.address, json=body, timeout=300).json()
            codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
            yield Measured(name, before, resident(pid, "VmHWM"), ", ".join(sorted(codes)) or "answered")


def resident(pid: int, kind: str) -> int:
    found = re.search(rf"{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        for name, before, peak, answer in measure(Path(made), int((*sys.argv[1:], 20_000)[0]), 4000):
            print(f"{name}: {before} MB, at its peak {peak} MB ({answer})", flush=True)
