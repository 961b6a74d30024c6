"""Generated filters and orders over generated rows answer what a plain evaluation in Python answers."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from schema.load import load
from tests.support.client import Client
from tests.support.factories import Document, project
from tests.support.generated import EXAMPLES, FILTERS, GENERATED, LEAVES, PROJECTS, Filter, orders, rows
from tests.support.oracle import Filters, sort_ids

Database = AsyncDatabase[Document]
TOGETHER = 16  # filters or orders of one example, asked in one request
IN_BULK = settings(GENERATED, max_examples=EXAMPLES // 2)


@pytest.fixture
def told() -> Iterator[Counter[str]]:
    """How often a filter told rows apart: too many that find all or nothing would prove little."""
    seen: Counter[str] = Counter()
    yield seen
    assert seen["filters"] >= IN_BULK.max_examples * TOGETHER
    assert seen["some but not all"] >= 0.3 * seen["filters"], seen


@pytest.fixture
async def projects(database: Database) -> None:
    await database.project.insert_many([project(_id=id_, path=path) for id_, path in PROJECTS.items()])


def asked(argument: str, type_: str) -> str:
    names = [f"a{number}" for number in range(TOGETHER)]
    declared = ", ".join(f"${name}: {type_}" for name in names)
    by_id = "" if argument == "orderBy" else ", orderBy: [{field: ID}]"
    fields = " ".join(f"{name}: tasks({argument}: ${name}{by_id}) {{ nodes {{ id }} }}" for name in names)
    return f"query({declared}) {{ {fields} }}"


BY_FILTER, BY_ORDER = asked("filter", "TaskFilter"), asked("orderBy", "[TaskOrder!]")


@IN_BULK
@given(rows=rows(), filters=st.lists(FILTERS, min_size=TOGETHER, max_size=TOGETHER))
@pytest.mark.usefixtures("projects")
async def test_a_filter_finds_the_rows_for_which_it_holds(
    client: Client, database: Database, told: Counter[str], rows: list[Document], filters: list[Filter]
) -> None:
    await database.task.insert_many(rows)
    try:
        data = await client.data(BY_FILTER, **{f"a{number}": filter_ for number, filter_ in enumerate(filters)})
    finally:
        await database.task.delete_many({})
    evaluated = Filters(PROJECTS)
    for filter_, found in zip(filters, data.values(), strict=True):
        expected = [row["_id"] for row in rows if evaluated.holds(filter_, row)]
        assert [node["id"] for node in found["nodes"]] == expected, filter_
        told["filters"] += 1
        told["some but not all"] += 0 < len(expected) < len(rows)


@IN_BULK
@given(
    rows=rows(), order_bys=st.lists(st.lists(orders(), min_size=1, max_size=3), min_size=TOGETHER, max_size=TOGETHER)
)
async def test_an_order_sorts_rows_by_what_they_have(
    client: Client, database: Database, rows: list[Document], order_bys: list[list[dict[str, Any]]]
) -> None:
    await database.task.insert_many(rows)
    try:
        data = await client.data(BY_ORDER, **{f"a{number}": order_by for number, order_by in enumerate(order_bys)})
    finally:
        await database.task.delete_many({})
    for order_by, found in zip(order_bys, data.values(), strict=True):
        assert [node["id"] for node in found["nodes"]] == sort_ids(rows, order_by), order_by


def test_the_oracle_knows_every_filter_but_the_search() -> None:
    """A filter that HOCON gains belongs into the generated ones."""
    known = {*LEAVES, "_all_", "includeSubprojects", "and", "or", "not"}
    assert {field.graphql_name for field in load().get_object("task_filter").fields} - {"searchText"} == known
