"""The index that MongoDB should use for a query, where one is clearly right.

Without a hint MongoDB tries every index that begins with the company side by side, each with a sort of its own: about
twenty for a task. A hint costs one plan. Where two indexes may be right, only a trial can tell, and there is no hint.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

log = logging.getLogger("taskql.indexes")

Sort = Mapping[str, int]
ID, COMPANY = "_id", "company"
LISTS = {"tags", "system_tags", "path"}  # an index has an entry for each of their items
MAX_SCANS = 200  # that MongoDB merges into one order: one for each combination of values before the sorted fields
NO_BOUNDS = {"$text", "$expr", "$comment"}  # conditions that no plain index serves
BAD_HINT = "hint provided does not correspond to an existing index"


# -- which are there -------------------------------------------------------------------------------


class Index(NamedTuple):
    """A plain index: its keys in order, and for a partial one the condition of the documents in it."""

    name: str
    keys: tuple[tuple[str, int], ...]
    condition: Mapping[str, Any] = {}


def list_plain_indexes(information: Mapping[str, Mapping[str, Any]]) -> tuple[Index, ...]:
    """Those of a collection that a hint may name, from the driver's `index_information`."""
    return tuple(
        Index(name, tuple(about["key"]), about.get("partialFilterExpression") or {})
        for name, about in information.items()
        if not (about.get("sparse") or about.get("hidden") or about.get("collation"))
        and all(direction in (1, -1) and "*" not in field for field, direction in about["key"])
    )


class Indexes:
    """The indexes of a database as they were at the last look, and those that it refused since."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]] | None = None, collections: Iterable[str] = ()) -> None:
        self._database = database
        self._collections = (*collections,)
        self._known: Mapping[str, tuple[Index, ...]] = {}
        self._refused: set[tuple[str, str]] = set()

    async def read(self) -> None:
        """Look again; all of them are trusted."""
        self._refused.clear()
        await self._read()

    async def refuse(self, collection: str, name: str) -> None:
        """Look again, without one that MongoDB did not take: it is gone, or not built yet."""
        self._refused.add((collection, name))
        await self._read()

    def hint(self, collection: str, query: Mapping[str, Any], sort: Sort | None = None) -> str | None:
        return hint(self._known.get(collection, ()), query, sort or {})

    def is_served(self, collection: str, query: Mapping[str, Any], sort: Sort) -> bool:
        return is_served(self._known.get(collection, ()), query, sort)

    async def _read(self) -> None:
        found = await asyncio.gather(*map(self._of, self._collections))
        self._known = dict(zip(self._collections, found, strict=True))

    async def _of(self, collection: str) -> tuple[Index, ...]:
        assert self._database is not None
        try:
            information = await self._database[collection].index_information()
        except PyMongoError as error:  # to look is not allowed everywhere, and a hint is only a help
            log.debug("the indexes of %s are not known: %s", collection, error)
            return ()
        return tuple(
            index for index in list_plain_indexes(information) if (collection, index.name) not in self._refused
        )


def is_bad_hint(error: Exception) -> bool:
    return BAD_HINT in str(error)


# -- what a query asks -----------------------------------------------------------------------------


class QueryConditions(NamedTuple):
    """The fields that a query compares: those that have one of some values, and all."""

    values: Mapping[str, Sequence[Any]]
    fields: frozenset[str]
    is_text: bool


def read_conditions(query: Mapping[str, Any]) -> QueryConditions:
    values: dict[str, Sequence[Any]] = {}
    for field, condition in _required(query):
        found = _values(condition)
        if found is not None and (field not in values or len(found) < len(values[field])):
            values[field] = found
    fields = frozenset(_named(query))
    return QueryConditions(values, fields - NO_BOUNDS, "$text" in fields)


def _required(query: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The conditions that all must hold."""
    for name, condition in query.items():
        if name == "$and":
            for inner in condition:
                yield from _required(inner)
        elif not name.startswith("$"):
            yield name, condition


def _named(query: Mapping[str, Any]) -> Iterator[str]:
    for name, condition in query.items():
        if name in ("$and", "$or", "$nor"):
            for inner in condition:
                yield from _named(inner)
        else:
            yield name


def _values(condition: Any) -> Sequence[Any] | None:
    """The values that a field may have; None for a range, and where null is one: it also stands for a missing field."""
    if isinstance(condition, Mapping):
        found = condition.get("$in", [condition["$eq"]] if "$eq" in condition else None)
    else:
        found = [condition]
    if found is None or any(value is None or isinstance(value, Mapping | re.Pattern) for value in found):
        return None
    return list(found)


# -- which is right --------------------------------------------------------------------------------


def hint(indexes: Sequence[Index], query: Mapping[str, Any], sort: Sort) -> str | None:
    """The name of the index that is clearly right for a query in an order, or in none; None when there is none."""
    asked = read_conditions(query)
    if asked.is_text:
        return None  # MongoDB takes the text index, and no hint beside it
    if ID in asked.values:
        return next((index.name for index in indexes if index.keys == ((ID, 1),)), None)
    usable = [index for index in indexes if _holds_all(index, asked)]
    own = [index for index in usable if index.keys[0][0] == COMPANY and COMPANY in asked.values]
    if sort and any(_sorted_fields(index, asked, sort) for index in usable):
        candidates = [(index, _sorted_fields(index, asked, sort)) for index in own]
    else:
        candidates = [(index, _bounded_fields(index, asked)) for index in own]
    compared = (asked.fields & _leading(usable)) | {COMPANY}
    return _best([(index, fields) for index, fields in candidates if compared <= {*fields}])


def is_served(indexes: Sequence[Index], query: Mapping[str, Any], sort: Sort) -> bool:
    """Whether an index has the documents of a query in this order."""
    asked = read_conditions(query)
    served = (_sorted_fields(index, asked, sort) for index in indexes if _holds_all(index, asked))
    return not asked.is_text and any(served)


def _best(candidates: Sequence[tuple[Index, Sequence[str]]]) -> str | None:
    """The index that narrows most, without entries for each item of a list, with the shortest entries."""

    def weight(candidate: tuple[Index, Sequence[str]]) -> tuple[int, bool, int]:
        index, fields = candidate
        beyond = {field for field, _ in index.keys} - {*fields}
        return -len(fields), bool(LISTS & beyond), len(index.keys)

    return min(candidates, key=weight)[0].name if candidates else None


def _leading(indexes: Iterable[Index]) -> set[str]:
    """The fields that lead into an index, alone or after the company."""
    found: set[str] = set()
    for index in indexes:
        first, *others = (field for field, _ in index.keys)
        found.update(others[:1] if first == COMPANY else [first])
    return found


def _holds_all(index: Index, asked: QueryConditions) -> bool:
    """Whether the index has every document that the query may find."""
    return all(
        field in asked.values if condition == {"$exists": True} else asked.values.get(field) == [condition]
        for field, condition in index.condition.items()
    )


def _bounded_fields(index: Index, asked: QueryConditions) -> list[str]:
    """The fields at the beginning of an index by which a query narrows it: values, and after them one range."""
    fields = []
    for field, _ in index.keys:
        if field in asked.fields:
            fields.append(field)
        if field not in asked.values:
            break
    return fields


def _sorted_fields(index: Index, asked: QueryConditions, sort: Sort) -> list[str]:
    """The first fields of an index that has this order: some with given values, then those of the order; or none."""
    wanted = [*sort.items()]
    orders = wanted, [(field, -direction) for field, direction in wanted]
    scans = 1
    before: list[str] = []
    for start, (field, _) in enumerate(index.keys):
        if [*index.keys[start : start + len(wanted)]] in orders and scans <= MAX_SCANS:
            return [*before, *sort]
        if field not in asked.values:
            break
        scans, before = scans * len(asked.values[field]), [*before, field]
    return []
