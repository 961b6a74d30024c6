"""Generated filters and orders give the rows that a plain evaluation in Python gives."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import Document, project
from tests.support.generated import EXAMPLES, FILTERS, GENERATED, PROJECTS, Filter, orders, rows
from tests.support.oracle import FilterOracle, sort_ids

pytestmark = pytest.mark.slow

Database = AsyncDatabase[Document]
BATCH = 16  # filters or orders of one example, in one request
GENERATED_BATCHES = settings(GENERATED, max_examples=EXAMPLES // 2)


@pytest.fixture
def counts() -> Iterator[Counter[str]]:
    """Count the filters that find some rows but not all: the others would prove little."""
    counts: Counter[str] = Counter()
    yield counts
    assert counts["filters"] >= GENERATED_BATCHES.max_examples * BATCH
    assert counts["some but not all"] >= 0.3 * counts["filters"], counts


@pytest.fixture
async def projects(database: Database) -> None:
    await database.project.insert_many([project(_id=id_, path=path) for id_, path in PROJECTS.items()])


def build_request(argument: str, type_: str) -> str:
    names = [f"a{number}" for number in range(BATCH)]
    declared = ", ".join(f"${name}: {type_}" for name in names)
    by_id = "" if argument == "orderBy" else ", orderBy: [{field: ID}]"
    fields = " ".join(f"{name}: tasks({argument}: ${name}{by_id}) {{ nodes {{ id }} }}" for name in names)
    return f"query({declared}) {{ {fields} }}"


BY_FILTER, BY_ORDER = build_request("filter", "TaskFilter"), build_request("orderBy", "[TaskOrder!]")


@GENERATED_BATCHES
@given(rows=rows(), filters=st.lists(FILTERS, min_size=BATCH, max_size=BATCH))
@pytest.mark.usefixtures("projects")
async def test_a_filter_finds_the_rows_that_it_matches(
    client: Client, database: Database, counts: Counter[str], rows: list[Document], filters: list[Filter]
) -> None:
    await database.task.insert_many(rows)
    try:
        data = await client.data(BY_FILTER, **{f"a{number}": filter_ for number, filter_ in enumerate(filters)})
    finally:
        await database.task.delete_many({})
    oracle = FilterOracle(PROJECTS)
    for filter_, answer in zip(filters, data.values(), strict=True):
        expected = [row["_id"] for row in rows if oracle.matches(filter_, row)]
        assert [node["id"] for node in answer["nodes"]] == expected, filter_
        counts["filters"] += 1
        counts["some but not all"] += 0 < len(expected) < len(rows)


@GENERATED_BATCHES
@given(rows=rows(), order_bys=st.lists(st.lists(orders(), min_size=1, max_size=3), min_size=BATCH, max_size=BATCH))
async def test_an_order_sorts_rows_by_their_values(
    client: Client, database: Database, rows: list[Document], order_bys: list[list[dict[str, Any]]]
) -> None:
    await database.task.insert_many(rows)
    try:
        data = await client.data(BY_ORDER, **{f"a{number}": order_by for number, order_by in enumerate(order_bys)})
    finally:
        await database.task.delete_many({})
    for order_by, answer in zip(order_bys, data.values(), strict=True):
        assert [node["id"] for node in answer["nodes"]] == sort_ids(rows, order_by), order_by
