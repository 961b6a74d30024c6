"""Reported events → the statistics that a task keeps of them, by the rules of a ClearML 2.3 server."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.layout import metric_key

SCALAR = "training_stats_scalar"
MAX_PAIRS = 2000
MONITORS = (":monitor:machine", ":monitor:gpu")  # they count seconds, not iterations
INT64 = 2**63

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACES: dict[str, Callable[[float, float], bool]] = {
    "min": operator.lt,
    "max": operator.gt,
    "first": lambda _new, _kept: False,
}


@dataclass(slots=True)
class _Batch:
    """What one batch says of one metric and variant, beside what is kept of them."""

    kept: dict[str, Any]
    value: float
    at: tuple[int, float]
    values: list[float] = field(default_factory=list)

    def note(self, value: float, at: tuple[int, float]) -> None:
        self.values.append(value)
        if at >= self.at:
            self.value, self.at = value, at
        for name, replaces in _REPLACES.items():
            old = _number(self.kept.get(f"{name}_value"))
            if old is None or replaces(value, old):
                self.kept |= {f"{name}_value": value, f"{name}_value_iteration": at[0]}

    def close(self, before: float | None) -> float:
        """Put down what the batch came to; `before` and the result are the sum of all values so far."""
        count, mean = max(0, _integer(self.kept.get("count")) or 0), _number(self.kept.get("mean_value")) or 0
        total = (mean * count if before is None else before) + math.fsum(self.values)
        count += len(self.values)
        self.kept |= {"value": self.value, "count": count, "mean_value": round(total / count, 2)}
        return total


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
        self.beyond_cap = 0  # scalar events of further pairs, once there are MAX_PAIRS
        self._sums: dict[tuple[str, str], float] = {}  # what is stored of a mean is rounded
        self._pairs = sum(map(len, self.last_metrics.values()))
        names = unique_metrics if isinstance(unique_metrics, list) else []
        self._names = dict.fromkeys(name for name in names if isinstance(name, str))

    @property
    def unique_metrics(self) -> list[str]:
        """Names ``metric/variant``, in order of arrival."""
        return list(self._names)

    def feed(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take one batch of events ``{type, metric, variant, iter, value, timestamp}`` of any type, in any order."""
        batch: dict[tuple[str, str], _Batch] = {}
        for event in events:
            self._count_iteration(event)
            kind = event.get("type")
            if isinstance(kind, str) and kind.replace(" ", "_") == SCALAR:
                self._take(event, batch)
        for pair, seen in batch.items():
            self._sums[pair] = seen.close(self._sums.get(pair))

    def _count_iteration(self, event: Mapping[str, Any]) -> None:
        iteration = _integer(event.get("iter"))
        if iteration is not None and event.get("metric") not in MONITORS:
            self.last_iteration = max(self.last_iteration, iteration)

    def _take(self, event: Mapping[str, Any], batch: dict[tuple[str, str], _Batch]) -> None:
        value, iteration = _number(event.get("value")), _integer(event.get("iter"), missing=0)
        metric, variant = _name(event.get("metric")), _name(event.get("variant"))
        if value is None or iteration is None or metric is None or variant is None:
            self.skipped += 1
        elif (kept := self._kept(metric, variant)) is None:
            self.beyond_cap += 1
        else:
            at = (iteration, _number(event.get("timestamp")) or 0)
            batch.setdefault((metric, variant), _Batch(kept, value, at)).note(value, at)

    def _kept(self, metric: str, variant: str) -> dict[str, Any] | None:
        """Find what is kept of a pair, or start it unless there are too many."""
        variants = self.last_metrics.get(metric_key(metric), {})
        if metric_key(variant) not in variants:
            if self._pairs >= MAX_PAIRS:
                return None
            self._pairs += 1
            variants = self.last_metrics.setdefault(metric_key(metric), variants)
        self._names.setdefault(f"{metric}/{variant}")
        kept = variants.setdefault(metric_key(variant), {})
        kept |= {"metric": metric, "variant": variant}
        return kept


class Point(NamedTuple):
    """One reported value of a curve; NaN is a gap."""

    pair: tuple[str, str]
    iteration: int
    value: float
    timestamp: int


def curve_point(event: Mapping[str, Any]) -> Point | None:
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
