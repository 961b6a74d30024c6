"""Generated rows, filters and orders."""

import math
import os
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from bson import Code, Decimal128
from bson.datetime_ms import DatetimeMS
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.factories import ABSENT, COMPANY, DAY, Document, escape, md5, put
from tests.support.oracle import FIELDS, RANGES

Filter = dict[str, Any]

# HYPOTHESIS_PROFILE=long for a night's work
EXAMPLES = 1250 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 250
GENERATED = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))

PROJECTS = {"top": [], "top/mid": ["top"], "top/mid/low": ["top", "top/mid"], "else": []}
METRICS = [("loss", "train"), ("a.b/c $d", "é %2E"), ("_x__y", " ")]
PARAMETERS = [("Args", "lr"), ("Args", "a.b$c"), ("TF_DEFINE", "x"), ("General", "_é__ %")]
DATES = [DAY + timedelta(hours=hours) for hours in (-1, 0, 0, 1)] + [DAY + timedelta(milliseconds=1)]
NO_DATES: list[Any] = [None, ABSENT, [DAY], 5, "2026-01-31T12:00:00Z", {"a": 1}, DatetimeMS(10**15)]
NO_TEXTS: list[Any] = [None, ABSENT, 5, True, ["a"], Code("a")]
NUMBERS = [0, 1, 1.5, -2, 2**40, -0.0, 1e300]
NO_NUMBERS: list[Any] = [None, ABSENT, math.nan, math.inf, -math.inf, True, "1", [1], Decimal128("1")]
WORDS = [
    "1",
    "1.5",
    "-2",
    "+2",
    "1e2",
    ".5",
    "2.",
    "10",
    "9",
    "0010",
    "",
    "auto",
    "Adam",
    "adam",
    "nan",
    "inf",
    "1e999",
    "0x10",
    " 1",
    "1 ",
    "1_0",
    "é",
    "$x",
    "-",
    "0.25",
    "5",
    "1e-07",
    "True",
    "true",
]
NO_WORDS: list[Any] = [None, ABSENT, 5, 0.5, ["1"], {"a": 1}]
NAMES = ["train a.b", "Train", "eval", "", "$x", "é"]
TAGS = ["x", "y", "-x"]


# -- rows ------------------------------------------------------------------------------------------


Values = Callable[[Random], Any]


def mostly(values: list[Any], rare: list[Any]) -> Values:
    return lambda dice: dice.choice(values if dice.random() < 0.75 else rare)


def some_tags(dice: Random) -> Any:
    return dice.choice([dice.choices(TAGS, k=dice.randrange(3)), None, ABSENT])


def some_parameters(dice: Random) -> dict[str, Any]:
    return {name: LEGACY(dice) for name in ("lr", "a.b$c", "TF_DEFINE/x") if dice.random() < 0.5}


STORED: dict[str, Values] = {
    "name": mostly(NAMES, NO_TEXTS),
    "user": mostly(["u", "v"], [None, ABSENT]),
    "project": mostly([*PROJECTS], [None, ABSENT]),
    "type": mostly(["training", "testing"], [None, ABSENT]),
    "status": mostly(["created", "completed", "failed"], [None, ABSENT]),
    "parent": mostly(["p", "q"], [None, ABSENT]),
    "tags": some_tags,
    "system_tags": some_tags,
    "execution.queue": mostly(["a", "b"], NO_TEXTS),
    "script.branch": mostly(["main"], NO_TEXTS),
    "last_worker": mostly(["w", "z"], NO_TEXTS),
    "last_iteration": mostly(NUMBERS, NO_NUMBERS),
    "active_duration": mostly(NUMBERS, NO_NUMBERS),
    **{path: mostly(DATES, NO_DATES) for path in (*RANGES.values(), "status_changed")},
    **{
        f"last_metrics.{md5(metric)}.{md5(variant)}.{stat}": mostly(NUMBERS, NO_NUMBERS)
        for metric, variant in METRICS
        for stat in ("value", "min_value", "max_value")
    },
    **{f"hyperparams.{escape(section)}.{escape(name)}.value": mostly(WORDS, NO_WORDS) for section, name in PARAMETERS},
}
OLD_WORDS = [None, 5, -2, 0.25, 1e-7, 1.5e300, True, False, math.nan, math.inf, ["1"], {"a": 1}, DAY, Decimal128("1")]
LEGACY = mostly(WORDS, OLD_WORDS)


@st.composite
def rows(draw: st.DrawFn) -> list[Document]:
    """Rows each of which has some of the fields, often with the values of others.

    A row is thrown by a die with one seed: to draw each of its values would take more time than all the rest.
    """
    made = []
    for number, seed in enumerate(draw(st.lists(st.integers(0, 2**32), min_size=6, max_size=14))):
        dice = Random(seed)
        row: Document = {"_id": chr(ord("a") + number), "company": COMPANY}
        for path in dice.sample([*STORED], dice.randint(20, len(STORED))):
            row = put(row, path, STORED[path](dice))
        if dice.random() < 0.5:
            row = put(row, "execution.parameters", some_parameters(dice))
        made.append(row)
    return made


# -- filters ---------------------------------------------------------------------------------------


def signed(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(
        st.one_of(st.sampled_from(values), st.sampled_from([f"-{value}" for value in values])), min_size=1, max_size=3
    )


def moments() -> st.SearchStrategy[str]:
    return st.sampled_from(DATES).map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")


def some_of(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One or two of these keys."""
    names = st.lists(st.sampled_from([*parts]), min_size=1, max_size=2, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: parts[name] for name in chosen}))


def bounds(values: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return dict.fromkeys(("gt", "gte", "lt", "lte"), values)


LIMITS = st.sampled_from([0.0, 1.0, 1.5, -2.0, 2.5, 100.0])
METRIC = st.sampled_from(METRICS).map(lambda names: {"metric": names[0], "variant": names[1]})
STAT = st.one_of(st.just({}), st.sampled_from(["LAST", "MIN", "MAX"]).map(lambda stat: {"stat": stat}))
PARAMETER = st.sampled_from(PARAMETERS).map(lambda names: {"section": names[0], "name": names[1]})
PATTERNS = st.sampled_from(["a", "^[Tt]rain", r"\.b", "^$", "[0-9]+$", "é", r"^\$"])
FIELD_NAMES = st.lists(st.sampled_from([*FIELDS]), min_size=1, max_size=2)


def merge(*mappings: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*mappings).map(lambda found: {name: value for mapping in found for name, value in mapping.items()})


LEAVES: dict[str, st.SearchStrategy[Filter]] = {
    **{
        name: values.map(lambda value, name=name: {name: value})
        for name, values in {
            "id": signed([*"abcdef"]),
            "user": signed(["u", "v"]),
            "tags": signed(TAGS),
            "systemTags": signed(TAGS),
            "type": signed(["Training", "testing", "other"]),
            "status": st.lists(st.sampled_from(["CREATED", "COMPLETED"]), max_size=2),
            "parent": st.sampled_from(["p", "q", "r"]),
            "name": PATTERNS,
            "statusChanged": st.lists(
                st.tuples(st.sampled_from(["", ">", ">=", "<", "<="]), moments()).map("".join), min_size=1, max_size=2
            ),
            "isSet": FIELD_NAMES,
            "isUnset": FIELD_NAMES,
            "metrics": st.lists(
                merge(METRIC, STAT, some_of(eq=LIMITS, isSet=st.booleans(), **bounds(LIMITS))), min_size=1, max_size=2
            ),
            "hyperparams": st.lists(
                merge(
                    PARAMETER,
                    some_of(
                        **{"eq": st.sampled_from(WORDS), "in": st.lists(st.sampled_from(WORDS), max_size=9)},
                        matches=PATTERNS,
                        isSet=st.booleans(),
                        **bounds(LIMITS),
                    ),
                ),
                min_size=1,
                max_size=2,
            ),
        }.items()
    },
    **{name: some_of(**bounds(moments())).map(lambda value, name=name: {name: value}) for name in RANGES},
    "project": st.tuples(signed([*PROJECTS]), st.sampled_from([None, False, True, True])).map(
        lambda found: {"project": found[0], "includeSubprojects": found[1]}
    ),
    "_any_": st.lists(st.sampled_from(["name", "lastWorker", "execution.queueId"]), min_size=1, max_size=2).flatmap(
        lambda fields: st.tuples(st.sampled_from(["_any_", "_all_"]), PATTERNS).map(
            lambda found: {found[0]: {"pattern": found[1], "fields": fields}}
        )
    ),
}
LEAF = st.sampled_from([*LEAVES]).flatmap(LEAVES.__getitem__)
FILTERS = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda found: {"and": found}),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"or": found}),
        inner.map(lambda found: {"not": found}),
        merge(LEAF, inner),
    ),
    max_leaves=4,
)


# -- ordering --------------------------------------------------------------------------------------


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(
        st.one_of(
            st.sampled_from([*FIELDS]).map(lambda name: {"field": name}),
            merge(METRIC, STAT).map(lambda ref: {"metric": ref}),
            PARAMETER.map(lambda ref: {"hyperparam": ref}),
        )
    )
    ways = {
        "direction": draw(st.sampled_from(["ASC", "DESC"])),
        "nulls": draw(st.sampled_from(["FIRST", "LAST", None])),
    }
    return key | {name: way for name, way in ways.items() if way}
