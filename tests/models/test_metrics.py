import json
import math
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.layout import hash_name
from models.metrics.last_metrics import MAX_SERIES, LastMetrics
from tests.support.paths import DATA

SESSIONS = sorted((DATA / "offline-sessions").glob("*.zip"))
Event = dict[str, Any]


def build_scalar(value: Any, iteration: Any = 0, metric: Any = "m", variant: Any = "v", **rest: Any) -> Event:
    return {
        "type": "training_stats_scalar",
        "metric": metric,
        "variant": variant,
        "iter": iteration,
        "value": value,
        **rest,
    }


def add_batches(*batches: Sequence[Event], **stored: Any) -> LastMetrics:
    metrics = LastMetrics(**stored)
    for batch in batches:
        metrics.add_events(batch)
    return metrics


def get_only_statistics(metrics: LastMetrics) -> dict[str, Any]:
    [variants] = metrics.last_metrics.values()
    [kept] = variants.values()
    return kept


def test_the_worked_example() -> None:
    """Three values of one batch give what a ClearML 2.3 server stores of them."""
    metrics = add_batches([build_scalar(5.0, 3), build_scalar(2.0, 1), build_scalar(7.0, 9)])

    assert metrics.last_metrics == {
        hash_name("m"): {
            hash_name("v"): {
                "metric": "m",
                "variant": "v",
                "value": 7.0,
                "min_value": 2.0,
                "min_value_iteration": 1,
                "max_value": 7.0,
                "max_value_iteration": 9,
                "first_value": 5.0,
                "first_value_iteration": 3,
                "count": 3,
                "mean_value": 4.67,
            }
        }
    }
    assert metrics.last_iteration == 9
    assert metrics.unique_metrics == ["m/v"]


def compute_expected(batches: list[list[Event]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The statistics of a real session, each worked out from all its values at once."""
    points: dict[tuple[str, str], list[tuple[int, Event]]] = {}
    for number, batch in enumerate(batches):
        for event in batch:
            points.setdefault((event["metric"], event["variant"]), []).append((number, event))
    return {pair: compute_statistics(pair, found) for pair, found in points.items()}


def compute_statistics(pair: tuple[str, str], points: list[tuple[int, Event]]) -> dict[str, Any]:
    events = [event for _, event in points]
    values = [event["value"] for event in events]
    newest = [event for number, event in points if number == points[-1][0]]
    return {
        "metric": pair[0],
        "variant": pair[1],
        "value": max(reversed(newest), key=lambda event: (event["iter"], event["timestamp"]))["value"],
        "min_value": min(values),
        "min_value_iteration": events[values.index(min(values))]["iter"],
        "max_value": max(values),
        "max_value_iteration": events[values.index(max(values))]["iter"],
        "first_value": values[0],
        "first_value_iteration": events[0]["iter"],
        "count": len(values),
        "mean_value": round(sum(values) / len(values), 2),
    }


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_real_sessions(session: Path) -> None:
    """Of real sessions, every statistic agrees with one worked out from the raw events."""
    with ZipFile(session) as archive:
        batches = [json.loads(line) for line in archive.read("metrics.jsonl").splitlines()]

    metrics = add_batches(*batches)

    found = {
        (kept["metric"], kept["variant"]): kept for kinds in metrics.last_metrics.values() for kept in kinds.values()
    }
    assert found == compute_expected(batches)
    assert metrics.last_iteration == max(event["iter"] for batch in batches for event in batch)
    assert metrics.unique_metrics == list(dict.fromkeys(f"{e['metric']}/{e['variant']}" for b in batches for e in b))
    assert (metrics.skipped, metrics.beyond_maximum) == (0, 0)


numbers = st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False, width=32)
events = st.lists(
    st.builds(build_scalar, numbers, st.integers(-5, 50), st.sampled_from("ab"), st.sampled_from("xy")), max_size=30
)


@given(events, st.lists(st.integers(0, 30), max_size=5))
def test_where_a_batch_ends_makes_no_difference_to_extremes(reported: list[Event], cuts: list[int]) -> None:
    """Least, greatest and first values, counts and the last iteration are the same however the events are cut."""
    edges = [0, *sorted(cuts), len(reported)]
    batches = [reported[start:end] for start, end in pairwise(edges)]

    whole, cut = add_batches(reported), add_batches(*batches)

    def stable(metrics: LastMetrics) -> Any:
        unstable = {"value", "mean_value"}
        return {
            (kept["metric"], kept["variant"]): {name: kept[name] for name in kept.keys() - unstable}
            for variants in metrics.last_metrics.values()
            for kept in variants.values()
        }

    assert stable(whole) == stable(cut)
    assert whole.last_iteration == cut.last_iteration
    assert whole.unique_metrics == cut.unique_metrics


def drop_means(metrics: LastMetrics) -> Any:
    """The last metrics without the means: what is stored of them is rounded."""
    return {
        (metric, variant): {name: kept[name] for name in kept.keys() - {"mean_value"}}
        for metric, variants in metrics.last_metrics.items()
        for variant, kept in variants.items()
    }


@given(events, events)
def test_a_stored_task_is_continued(before: list[Event], after: list[Event]) -> None:
    """Going on from what is stored equals never having stopped (less the rounding), and leaves it as it was."""
    first = add_batches(before)
    stored = {
        "last_metrics": first.last_metrics,
        "last_iteration": first.last_iteration,
        "unique_metrics": first.unique_metrics,
    }
    copy = deepcopy(stored)

    continued, whole = add_batches(after, **stored), add_batches(before, after)

    assert stored == copy
    assert drop_means(continued) == drop_means(whole)
    assert continued.last_iteration == whole.last_iteration
    assert continued.unique_metrics == whole.unique_metrics


def test_the_last_value_is_of_the_greatest_iteration_then_time() -> None:
    """Within a batch the greatest iteration and then timestamp decides, and the later event wins a tie."""
    batch = [
        build_scalar(1, 5, timestamp=10),
        build_scalar(2, 5, timestamp=30),
        build_scalar(3, 5, timestamp=30),
        build_scalar(4, 5, timestamp=20),
        build_scalar(5, 4, timestamp=99),
    ]

    assert get_only_statistics(add_batches(batch))["value"] == 3


def test_an_event_without_a_time_is_the_latest_of_its_iteration() -> None:
    """A server stores the time of its arrival."""
    batch = [build_scalar(1, 5, timestamp=10**15), build_scalar(2, 5), build_scalar(3, 5, timestamp=10**15)]

    assert get_only_statistics(add_batches(batch))["value"] == 2


def test_a_later_batch_overwrites_the_last_value() -> None:
    """A value that arrives later is the last one even if it is of an older iteration."""
    kept = get_only_statistics(add_batches([build_scalar(1.0, 9)], [build_scalar(2.0, 3)]))

    assert kept["value"] == 2.0
    assert (kept["first_value"], kept["first_value_iteration"]) == (1.0, 9)


def test_equal_extremes_keep_the_earlier_iteration() -> None:
    """The iteration of an extreme is the one that reached it first."""
    kept = get_only_statistics(add_batches([build_scalar(1, 1), build_scalar(1, 2)], [build_scalar(1, 3)]))

    assert (kept["min_value_iteration"], kept["max_value_iteration"]) == (1, 1)


@pytest.mark.parametrize(
    ("event", "last_iteration"),
    [
        (build_scalar(1, 7), 7),
        ({"type": "plot", "metric": "p", "iter": 7}, 7),
        ({"type": "log", "iter": 7}, 7),
        ({"iter": "7"}, 7),
        (build_scalar(1, -(2**31)), 0),
        (build_scalar(1, 7, metric=":monitor:machine"), 0),
        (build_scalar(1, 7, metric=":monitor:gpu"), 0),
        (build_scalar(1, None), 0),
        (build_scalar(1, 2**63), 0),
        (build_scalar(1, [7]), 0),
    ],
)
def test_the_last_iteration(event: Event, last_iteration: int) -> None:
    """It is the greatest of any type of event but of the machine monitors, and never below zero."""
    assert add_batches([event]).last_iteration == last_iteration


def test_the_last_iteration_never_goes_down() -> None:
    """An older batch leaves it where it is."""
    assert add_batches([build_scalar(1, 3)], last_iteration=9).last_iteration == 9


def test_machine_monitors_keep_their_values() -> None:
    """A monitor's iterations do not count, but its values do."""
    assert get_only_statistics(add_batches([build_scalar(50, 7, metric=":monitor:gpu")]))["max_value_iteration"] == 7


def test_a_missing_metric_or_variant_is_empty() -> None:
    """Values without a name are kept under the empty one."""
    metrics = add_batches([{"type": "training stats scalar", "value": 1}])

    assert get_only_statistics(metrics) | {"metric": "", "variant": ""} == get_only_statistics(metrics)
    assert metrics.unique_metrics == ["/"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "1", True, [1], {}, 10**400])
def test_a_value_that_is_not_a_number_is_left_out(value: Any) -> None:
    """A value that is no finite number changes nothing, and is counted."""
    metrics = add_batches([build_scalar(value), build_scalar(1)])

    assert get_only_statistics(metrics)["count"] == 1
    assert get_only_statistics(metrics)["min_value"] == 1
    assert metrics.skipped == 1


@pytest.mark.parametrize(
    "fault", [{"metric": 5}, {"variant": []}, {"metric": "\ud800"}, {"iter": "x"}, {"iter": 2**64}]
)
def test_a_value_without_a_usable_name_or_iteration_is_left_out(fault: Event) -> None:
    """An event whose names or iteration cannot be stored is left out, and is counted."""
    metrics = add_batches([build_scalar(1) | fault])

    assert (metrics.last_metrics, metrics.unique_metrics, metrics.skipped) == ({}, [], 1)


def test_an_integer_too_long_for_mongodb_becomes_a_float() -> None:
    """Values keep their type unless BSON has no room for it."""
    value = get_only_statistics(add_batches([build_scalar(2**63)]))["value"]

    assert (value, type(value)) == (2.0**63, float)


def test_other_events_have_no_values() -> None:
    """Only scalars are kept, and nothing else counts as left out."""
    metrics = add_batches(
        [{"type": kind, "metric": "m", "variant": "v", "value": 1} for kind in ("plot", "log", None, 5)]
    )

    assert (metrics.last_metrics, metrics.unique_metrics, metrics.skipped) == ({}, [], 0)


def test_a_task_keeps_so_many_metrics_and_no_more() -> None:
    """Pairs beyond the cap are ignored and counted, and those that are known go on."""
    metrics = add_batches(
        [build_scalar(1, variant=str(number)) for number in range(MAX_SERIES + 3)], [build_scalar(2, variant="0")]
    )

    assert sum(len(variants) for variants in metrics.last_metrics.values()) == MAX_SERIES
    assert len(metrics.unique_metrics) == MAX_SERIES
    assert metrics.beyond_maximum == 3
    assert metrics.last_metrics[hash_name("m")][hash_name("0")]["count"] == 2


def test_the_maximum_counts_stored_series() -> None:
    """A stored task that is full takes no further pair, not even under a new metric."""
    full = add_batches([build_scalar(1, variant=str(number)) for number in range(MAX_SERIES)]).last_metrics

    metrics = add_batches([build_scalar(1, metric="new"), build_scalar(1, variant="0")], last_metrics=full)

    assert metrics.beyond_maximum == 1
    assert metrics.last_metrics.keys() == {hash_name("m")}


def test_metrics_of_an_older_server_are_continued() -> None:
    """What a 2019 server did not keep begins with the next value."""
    older = {"metric": "m", "variant": "v", "value": 3, "min_value": 1, "max_value": None}

    kept = get_only_statistics(
        add_batches([build_scalar(2, 8)], last_metrics={hash_name("m"): {hash_name("v"): older}})
    )

    assert kept == {
        "metric": "m",
        "variant": "v",
        "value": 2,
        "min_value": 1,
        "max_value": 2,
        "max_value_iteration": 8,
        "first_value": 2,
        "first_value_iteration": 8,
        "count": 1,
        "mean_value": 2.0,
    }


@pytest.mark.parametrize(
    "stored",
    [
        {"last_metrics": []},
        {"last_metrics": {"x": 5, hash_name("m"): {hash_name("v"): "text"}}},
        {"last_metrics": {hash_name("m"): {hash_name("v"): {"count": -1, "min_value": "a", "mean_value": math.nan}}}},
        {"last_iteration": "text", "unique_metrics": "text"},
    ],
)
def test_stored_values_may_be_of_any_shape(stored: dict[str, Any]) -> None:
    """Stored values of a wrong type are as good as none."""
    metrics = add_batches([build_scalar(1)], **stored)

    assert get_only_statistics(metrics) == get_only_statistics(add_batches([build_scalar(1)]))
    assert metrics.unique_metrics == ["m/v"]
    assert metrics.last_iteration == 0
