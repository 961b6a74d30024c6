"""The benches, in short: what they compare gives the same answers, and what they promise holds."""

from typing import Any

import pymongo
import pytest

from models.metrics.blocks import BLOCK_SIZE
from tests.bench import live
from tests.bench.layouts import compare

pytestmark = pytest.mark.slow


def test_every_layout_of_curves_keeps_every_point(mongodb_uri: str) -> None:
    """`compare` reads the same curves from all of them, or fails."""
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as client:
        try:
            found = compare(client["taskql_bench"], points=2000, each=5, rounds=1, count=5)
        finally:
            client.drop_database("taskql_bench")
    assert len({row.name for row in found}) == len(found) == 9
    assert found[0].name == f"chunks, {BLOCK_SIZE}"
    assert all(row.bytes > 2000 * 8 for row in found)


async def test_a_tenth_of_those_who_listen_come_to_know(mongodb_uri: str) -> None:
    """Everybody the last state, within five seconds and over a killed server; by one change stream."""
    found = await live.measured(mongodb_uri, live.FULL.part(10))
    assert found.settled < live.SETTLED
    assert found.streams == 1
    assert found.repeated == 0
    warm, end = found.memory
    assert end < warm * 1.1
