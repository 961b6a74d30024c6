"""The index that MongoDB should use for a query, where one is clearly right.

Without a hint MongoDB tries every index that begins with the company side by side, each with a sort of its own: about
twenty for a task. A hint costs one plan. Where two indexes may be right, only a trial can decide, and the query
gets no hint.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from models.types import COMPANY

log = logging.getLogger("taskql.indexes")

Sort = Mapping[str, int]
LISTS = {"tags", "system_tags", "path"}  # an index has an entry for each of their items
MAX_SCANS = 200  # that MongoDB merges into one order: one for each combination of values before the sorted fields
NO_BOUNDS = {"$text", "$expr", "$comment"}  # conditions that no plain index serves
BAD_HINT = "hint provided does not correspond to an existing index"


# -- the indexes of a database ---------------------------------------------------------------------


class Index(NamedTuple):
    """A plain index: its keys in order, and for a partial one the condition of the documents in it."""

    name: str
    keys: tuple[tuple[str, int], ...]
    condition: Mapping[str, Any] = {}


def list_plain_indexes(information: Mapping[str, Mapping[str, Any]]) -> tuple[Index, ...]:
    """List the indexes that a hint may name, from the driver's `index_information` of a collection."""
    return tuple(
        Index(name, tuple(index["key"]), index.get("partialFilterExpression") or {})
        for name, index in information.items()
        if not (index.get("sparse") or index.get("hidden") or index.get("collation"))
        and all(direction in (1, -1) and "*" not in field for field, direction in index["key"])
    )


class Indexes:
    """The indexes of a database at the last read, less those that MongoDB refused since."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]] | None = None, collections: Iterable[str] = ()) -> None:
        self._database = database
        self._collections = (*collections,)
        self._indexes: Mapping[str, tuple[Index, ...]] = {}
        self._refused: set[tuple[str, str]] = set()

    async def read(self) -> None:
        """Read all indexes again, and trust those that were refused."""
        self._refused.clear()
        await self._read()

    async def refuse(self, collection: str, name: str) -> None:
        """Read all indexes again, but one that MongoDB refused as a hint: it was dropped, or is not built yet."""
        self._refused.add((collection, name))
        await self._read()

    def find_hint(self, collection: str, query: Mapping[str, Any], sort: Sort | None = None) -> str | None:
        return find_hint(self._indexes.get(collection, ()), query, sort or {})

    def is_served(self, collection: str, query: Mapping[str, Any], sort: Sort) -> bool:
        return is_served(self._indexes.get(collection, ()), query, sort)

    async def _read(self) -> None:
        indexes = await asyncio.gather(*map(self._read_collection, self._collections))
        self._indexes = dict(zip(self._collections, indexes, strict=True))

    async def _read_collection(self, collection: str) -> tuple[Index, ...]:
        assert self._database is not None
        try:
            information = await self._database[collection].index_information()
        except PyMongoError as error:  # some users may not list indexes, and a hint is only a help
            log.debug("the indexes of %s are not known: %s", collection, error)
            return ()
        indexes = list_plain_indexes(information)
        return tuple(index for index in indexes if (collection, index.name) not in self._refused)


def is_bad_hint(error: Exception) -> bool:
    return BAD_HINT in str(error)


# -- the conditions of a query ---------------------------------------------------------------------


class QueryConditions(NamedTuple):
    """The fields that a query compares: those that must have one of some values, and all of them."""

    values: Mapping[str, Sequence[Any]]
    fields: frozenset[str]
    is_text: bool


def read_conditions(query: Mapping[str, Any]) -> QueryConditions:
    values: dict[str, Sequence[Any]] = {}
    for field, condition in _iterate_required(query):
        allowed = _list_values(condition)
        if allowed is not None and (field not in values or len(allowed) < len(values[field])):
            values[field] = allowed
    fields = frozenset(_iterate_fields(query))
    return QueryConditions(values, fields - NO_BOUNDS, "$text" in fields)


def _iterate_required(query: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Iterate over the conditions that every match fulfils."""
    for name, condition in query.items():
        if name == "$and":
            for inner in condition:
                yield from _iterate_required(inner)
        elif not name.startswith("$"):
            yield name, condition


def _iterate_fields(query: Mapping[str, Any]) -> Iterator[str]:
    for name, condition in query.items():
        if name in ("$and", "$or", "$nor"):
            for inner in condition:
                yield from _iterate_fields(inner)
        else:
            yield name


def _list_values(condition: Any) -> Sequence[Any] | None:
    """List the allowed values; None for a range, and for null, which also stands for a missing field."""
    if not isinstance(condition, Mapping):
        values = [condition]
    elif "$in" in condition:
        values = condition["$in"]
    elif "$eq" in condition:
        values = [condition["$eq"]]
    else:
        return None
    if any(value is None or isinstance(value, Mapping | re.Pattern) for value in values):
        return None
    return list(values)


# -- the right index -------------------------------------------------------------------------------


def find_hint(indexes: Sequence[Index], query: Mapping[str, Any], sort: Sort) -> str | None:
    """Find the name of the index that is clearly right for a query and an order, which may be empty."""
    conditions = read_conditions(query)
    if conditions.is_text:
        return None  # MongoDB takes the text index, and no hint beside it
    if "_id" in conditions.values:
        return next((index.name for index in indexes if index.keys == (("_id", 1),)), None)
    usable = [index for index in indexes if _holds_all(index, conditions)]
    if COMPANY not in conditions.values:
        return None
    of_company = [index for index in usable if index.keys[0][0] == COMPANY]
    if sort and any(_list_sorted_fields(index, conditions, sort) for index in usable):
        candidates = [(index, _list_sorted_fields(index, conditions, sort)) for index in of_company]
    else:
        candidates = [(index, _list_bounded_fields(index, conditions)) for index in of_company]
    compared = (conditions.fields & _list_leading_fields(usable)) | {COMPANY}
    return _choose_best([(index, fields) for index, fields in candidates if compared <= {*fields}])


def is_served(indexes: Sequence[Index], query: Mapping[str, Any], sort: Sort) -> bool:
    """Whether an index has the documents of a query in this order."""
    conditions = read_conditions(query)
    usable = (index for index in indexes if _holds_all(index, conditions))
    return not conditions.is_text and any(_list_sorted_fields(index, conditions, sort) for index in usable)


def _choose_best(candidates: Sequence[tuple[Index, Sequence[str]]]) -> str | None:
    """Choose the index that narrows most, without entries for each item of a list, with the shortest entries."""

    def weigh(candidate: tuple[Index, Sequence[str]]) -> tuple[int, bool, int]:
        index, fields = candidate
        unused = {field for field, _ in index.keys} - {*fields}
        return -len(fields), bool(LISTS & unused), len(index.keys)

    return min(candidates, key=weigh)[0].name if candidates else None


def _list_leading_fields(indexes: Iterable[Index]) -> set[str]:
    """List the fields that lead an index, alone or after the company."""
    leading: set[str] = set()
    for index in indexes:
        fields = [field for field, _ in index.keys]
        leading.update(fields[1:2] if fields[0] == COMPANY else fields[:1])
    return leading


def _holds_all(index: Index, conditions: QueryConditions) -> bool:
    """Whether the index has every document that may match."""
    return all(
        field in conditions.values if condition == {"$exists": True} else conditions.values.get(field) == [condition]
        for field, condition in index.condition.items()
    )


def _list_bounded_fields(index: Index, conditions: QueryConditions) -> list[str]:
    """List the first fields of an index by which a query narrows it: those with values, and after them one range."""
    fields = []
    for field, _ in index.keys:
        if field in conditions.fields:
            fields.append(field)
        if field not in conditions.values:
            break
    return fields


def _list_sorted_fields(index: Index, conditions: QueryConditions, sort: Sort) -> list[str]:
    """List the first fields of an index that has this order: those with values, then those of the order; or none."""
    order = [*sort.items()]
    orders = order, [(field, -direction) for field, direction in order]
    scans = 1
    before: list[str] = []
    for start, (field, _) in enumerate(index.keys):
        if [*index.keys[start : start + len(order)]] in orders and scans <= MAX_SCANS:
            return [*before, *sort]
        if field not in conditions.values:
            break
        scans *= len(conditions.values[field])
        before.append(field)
    return []
