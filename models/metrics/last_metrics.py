"""Reported events → the statistics that a task keeps of them, by the rules of a ClearML 2.3 server."""

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from models.layout import hash_name
from models.types import SeriesName

SCALAR = "training_stats_scalar"
MAX_SERIES = 2000
MONITORS = (":monitor:machine", ":monitor:gpu")  # they count seconds, not iterations
INT64 = 2**63

_SURROGATE = re.compile("[\ud800-\udfff]")
Reported = tuple[int, float, float]  # iteration, timestamp, value
_PLACE, _VALUE = itemgetter(0, 1), itemgetter(2)


class LastMetrics:
    """The ``last_metrics``, ``last_iteration`` and ``unique_metrics`` of one task, kept as batches of events arrive.

    Each pair of metric and variant has: ``value``, that of the greatest (iteration, timestamp) in the newest batch with
    the pair, later events winning ties; ``min_value``, ``max_value`` and ``first_value`` over all values, each with the
    iteration that reached it first; ``count``; and ``mean_value``, rounded to two decimals.
    """

    def __init__(self, last_metrics: Any = None, last_iteration: Any = None, unique_metrics: Any = None) -> None:
        """Start from what a task document holds, which is copied and may be of any shape, or from nothing."""
        self.last_metrics = _copied(last_metrics)
        self.last_iteration = max(0, _integer(last_iteration) or 0)
        self.skipped = 0  # scalar events whose value, names or iteration cannot be used
        self.beyond_cap = 0  # scalar events of further pairs, once there are MAX_SERIES
        self._sums: dict[SeriesName, float] = {}  # what is stored of a mean is rounded
        self.pairs = sum(map(len, self.last_metrics.values()))
        names = unique_metrics if isinstance(unique_metrics, list) else []
        self._names = dict.fromkeys(name for name in names if isinstance(name, str))

    @property
    def unique_metrics(self) -> list[str]:
        """Names ``metric/variant``, in order of arrival."""
        return list(self._names)

    def knows(self, pair: SeriesName) -> bool:
        return hash_name(pair[1]) in self.last_metrics.get(hash_name(pair[0]), {})

    def feed(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take one batch of events ``{type, metric, variant, iter, value, timestamp}`` of any type, in any order."""
        batch: dict[SeriesName, list[Reported]] = {}
        for event in events:
            self.reach(event.get("metric"), _integer(event.get("iter")))
            kind = event.get("type")
            if isinstance(kind, str) and kind.replace(" ", "_") == SCALAR:
                value, iteration = _number(event.get("value")), _integer(event.get("iter"), missing=0)
                metric, variant = _name(event.get("metric")), _name(event.get("variant"))
                if value is None or iteration is None or metric is None or variant is None:
                    self.skipped += 1
                else:
                    timestamp = _number(event.get("timestamp"))
                    # a server takes one without a time for one of now
                    at = (iteration, math.inf if timestamp is None else timestamp)
                    batch.setdefault((metric, variant), []).append((*at, value))
        for pair, reported in batch.items():
            self.take(pair, reported)

    def reach(self, metric: Any, iteration: int | None) -> None:
        if iteration is not None and metric not in MONITORS:
            self.last_iteration = max(self.last_iteration, iteration)

    def take(self, pair: SeriesName, reported: Sequence[Reported]) -> dict[str, Any] | None:
        """What is kept of a pair with all that one batch has of it, in order; None when there are too many pairs."""
        if (kept := self._kept(pair)) is None:
            self.beyond_cap += len(reported)
            return None
        first, last = reported[0], max(reversed(reported), key=_PLACE)
        least, greatest = min(reported, key=_VALUE), max(reported, key=_VALUE)
        for name, new, replaces in (
            ("first", first, lambda _new, _old: False), ("min", least, operator.lt), ("max", greatest, operator.gt),
        ):  # fmt: skip
            old = _number(kept.get(f"{name}_value"))
            if old is None or replaces(new[2], old):
                kept |= {f"{name}_value": new[2], f"{name}_value_iteration": new[0]}
        count, mean = max(0, _integer(kept.get("count")) or 0), kept.get("mean_value")
        before = mean * count if isinstance(mean, int | float) and not math.isnan(mean) else 0
        self._sums[pair] = self._sums.get(pair, before) + _sum([value for _, _, value in reported])
        count += len(reported)
        kept |= {"value": last[2], "count": count, "mean_value": round(self._sums[pair] / count, 2)}
        return kept

    def _kept(self, pair: SeriesName) -> dict[str, Any] | None:
        """Find what is kept of a pair, or start it unless there are too many."""
        metric, variant = pair
        if not self.knows(pair):
            if self.pairs >= MAX_SERIES:
                return None
            self.pairs += 1
        self._names.setdefault(f"{metric}/{variant}")
        kept = self.last_metrics.setdefault(hash_name(metric), {}).setdefault(hash_name(variant), {})
        kept |= {"metric": metric, "variant": variant}
        return kept


class Point(NamedTuple):
    """One reported value of a curve; NaN is a gap."""

    pair: SeriesName
    iteration: int
    value: float
    timestamp: int


def read_point(event: Mapping[str, Any]) -> Point | None:
    """Read a scalar event; None when its names or numbers can't be used. A value that is no finite number is a gap."""
    metric, variant = _name(event.get("metric")), _name(event.get("variant"))
    iteration, timestamp = _integer(event.get("iter"), missing=0), _integer(event.get("timestamp"), missing=0)
    if metric is None or variant is None or iteration is None or timestamp is None:
        return None
    value = _number(event.get("value"))
    return Point((metric, variant), iteration, math.nan if value is None else value, timestamp)


def _copied(stored: Any) -> dict[str, dict[str, dict[str, Any]]]:
    return {metric: {variant: dict(kept) for variant, kept in _dicts(variants)} for metric, variants in _dicts(stored)}


def _dicts(value: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(key, item) for key, item in value.items() if isinstance(item, dict)] if isinstance(value, dict) else []


def _number(value: Any) -> float | None:
    """Read a finite number; an integer too long for BSON becomes a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and -INT64 <= value < INT64:
        return value
    try:
        return value if math.isfinite(value := float(value)) else None
    except OverflowError:
        return None


def _sum(values: list[float]) -> float:
    """Infinite where it leaves the range of floats; so is the mean from then on, which is shown as null."""
    try:
        return math.fsum(values)
    except OverflowError:
        return sum(values)


def _integer(value: Any, missing: int | None = None) -> int | None:
    try:
        number = missing if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and -INT64 <= number < INT64 else None


def _name(value: Any) -> str | None:
    """Read a metric or variant; none at all is "", and what cannot be stored as text is None."""
    if value is None:
        return ""
    return value if isinstance(value, str) and not _SURROGATE.search(value) else None
