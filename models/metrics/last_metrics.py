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
MAX_SERIES = 2000  # of a task
MONITORS = (":monitor:machine", ":monitor:gpu")  # metrics that count seconds, not iterations
INT64 = 2**63

_SURROGATE = re.compile("[\ud800-\udfff]")
ReportedValue = tuple[int, float, float]  # iteration, timestamp, value
_get_time, _get_value = itemgetter(0, 1), itemgetter(2)


class LastMetrics:
    """The ``last_metrics``, ``last_iteration`` and ``unique_metrics`` of one task, updated by batches of events.

    Each series has: ``value``, that of the greatest (iteration, timestamp) in the newest batch with the series, where
    later events win ties; ``min_value``, ``max_value`` and ``first_value`` over all values, each with the iteration
    that reached it first; ``count``; and ``mean_value``, rounded to two decimals.
    """

    def __init__(self, last_metrics: Any = None, last_iteration: Any = None, unique_metrics: Any = None) -> None:
        """Start from a copy of the values of a task document, which may be of any shape, or from nothing."""
        self.last_metrics = _copy_last_metrics(last_metrics)
        self.last_iteration = max(0, _read_integer(last_iteration) or 0)
        self.skipped = 0  # scalar events whose value, names or iteration can't be used
        self.beyond_maximum = 0  # scalar events of new series when the task has MAX_SERIES
        self.series_count = sum(map(len, self.last_metrics.values()))
        self._sums: dict[SeriesName, float] = {}  # exact, because the stored mean is rounded
        names = unique_metrics if isinstance(unique_metrics, list) else []
        self._unique_metrics = dict.fromkeys(name for name in names if isinstance(name, str))

    @property
    def unique_metrics(self) -> list[str]:
        """Names ``metric/variant``, in order of arrival."""
        return list(self._unique_metrics)

    def has_series(self, series: SeriesName) -> bool:
        metric, variant = series
        return hash_name(variant) in self.last_metrics.get(hash_name(metric), {})

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Add one batch of events ``{type, metric, variant, iter, value, timestamp}`` of any type, in any order."""
        batch: dict[SeriesName, list[ReportedValue]] = {}
        for event in events:
            self.raise_last_iteration(event.get("metric"), _read_integer(event.get("iter")))
            if not is_scalar(event):
                continue
            value, iteration = _read_number(event.get("value")), _read_integer(event.get("iter"), default=0)
            metric, variant = _read_metric_name(event.get("metric")), _read_metric_name(event.get("variant"))
            if value is None or iteration is None or metric is None or variant is None:
                self.skipped += 1
                continue
            timestamp = _read_number(event.get("timestamp"))
            if timestamp is None:
                timestamp = math.inf  # a server stores the time of arrival
            batch.setdefault((metric, variant), []).append((iteration, timestamp, value))
        for series, reported in batch.items():
            self.add_values(series, reported)

    def raise_last_iteration(self, metric: Any, iteration: int | None) -> None:
        if iteration is not None and metric not in MONITORS:
            self.last_iteration = max(self.last_iteration, iteration)

    def add_values(self, series: SeriesName, reported: Sequence[ReportedValue]) -> dict[str, Any] | None:
        """Add the values of a series in one batch; returns its statistics, or None when there are too many series."""
        statistics = self._get_statistics(series)
        if statistics is None:
            self.beyond_maximum += len(reported)
            return None
        _update_extremes(statistics, reported)
        count, mean = max(0, _read_integer(statistics.get("count")) or 0), statistics.get("mean_value")
        sum_before = mean * count if isinstance(mean, int | float) and not math.isnan(mean) else 0
        self._sums[series] = self._sums.get(series, sum_before) + _sum_values([value for _, _, value in reported])
        count += len(reported)
        last = max(reversed(reported), key=_get_time)
        statistics |= {"value": last[2], "count": count, "mean_value": round(self._sums[series] / count, 2)}
        return statistics

    def _get_statistics(self, series: SeriesName) -> dict[str, Any] | None:
        """Get the statistics of a series, new ones unless there are too many series."""
        metric, variant = series
        if not self.has_series(series):
            if self.series_count >= MAX_SERIES:
                return None
            self.series_count += 1
        self._unique_metrics.setdefault(f"{metric}/{variant}")
        statistics = self.last_metrics.setdefault(hash_name(metric), {}).setdefault(hash_name(variant), {})
        statistics |= {"metric": metric, "variant": variant}
        return statistics


def _update_extremes(statistics: dict[str, Any], reported: Sequence[ReportedValue]) -> None:
    smallest, greatest = min(reported, key=_get_value), max(reported, key=_get_value)
    for name, (iteration, _, value), is_better in (
        ("first", reported[0], lambda _new, _old: False),
        ("min", smallest, operator.lt),
        ("max", greatest, operator.gt),
    ):
        old = _read_number(statistics.get(f"{name}_value"))
        if old is None or is_better(value, old):
            statistics |= {f"{name}_value": value, f"{name}_value_iteration": iteration}


class Point(NamedTuple):
    """One reported value of a series; NaN is a gap."""

    series: SeriesName
    iteration: int
    value: float
    timestamp: int


def is_scalar(event: Mapping[str, Any]) -> bool:
    event_type = event.get("type")
    return isinstance(event_type, str) and event_type.replace(" ", "_") == SCALAR


def read_point(event: Mapping[str, Any]) -> Point | None:
    """Read a scalar event; None when its names or numbers can't be used. A value that is not finite is a gap."""
    metric, variant = _read_metric_name(event.get("metric")), _read_metric_name(event.get("variant"))
    iteration, timestamp = _read_integer(event.get("iter"), default=0), _read_integer(event.get("timestamp"), default=0)
    if metric is None or variant is None or iteration is None or timestamp is None:
        return None
    value = _read_number(event.get("value"))
    return Point((metric, variant), iteration, math.nan if value is None else value, timestamp)


def _copy_last_metrics(stored: Any) -> dict[str, dict[str, dict[str, Any]]]:
    copy: dict[str, dict[str, dict[str, Any]]] = {}
    for metric, variants in _list_objects(stored):
        copy[metric] = {variant: dict(statistics) for variant, statistics in _list_objects(variants)}
    return copy


def _list_objects(value: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict):
        return []
    return [(key, item) for key, item in value.items() if isinstance(item, dict)]


def _read_number(value: Any) -> float | None:
    """Read a finite number; an integer too long for BSON becomes a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and -INT64 <= value < INT64:
        return value
    try:
        return value if math.isfinite(value := float(value)) else None
    except OverflowError:
        return None


def _sum_values(values: list[float]) -> float:
    """Infinite beyond the range of floats; from then on the mean is infinite, too, and reads null."""
    try:
        return math.fsum(values)
    except OverflowError:
        return sum(values)


def _read_integer(value: Any, default: int | None = None) -> int | None:
    try:
        number = default if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and -INT64 <= number < INT64 else None


def _read_metric_name(value: Any) -> str | None:
    """Read a metric or variant: a missing one is "", one that can't be stored as text is None."""
    if value is None:
        return ""
    return value if isinstance(value, str) and not _SURROGATE.search(value) else None
