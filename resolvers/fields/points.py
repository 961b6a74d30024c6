"""Points of a series as a field shows them: those in a range of iterations, downsampled to a maximum. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tsdownsample import LTTBDownsampler, MinMaxDownsampler, MinMaxLTTBDownsampler

from models.dates import build_date
from models.metrics.blocks import SeriesColumns

PointValues = NDArray[np.float64]
PointIndexes = NDArray[Any]  # counted in the order of iterations


class SeriesWindow(NamedTuple):
    """The range of iterations to show, with both ends or None for an open one, and how to downsample its points."""

    iteration_from: int | None
    iteration_to: int | None
    max_points: int
    method: str


def build_series(columns: SeriesColumns, window: SeriesWindow) -> dict[str, Any]:
    """The points of a series in a window, by HOCON names, with the number of points before downsampling."""
    start, end = 0, len(columns.iterations)
    if window.iteration_from is not None:
        start = int(np.searchsorted(columns.iterations, window.iteration_from, "left"))
    if window.iteration_to is not None:
        end = int(np.searchsorted(columns.iterations, window.iteration_to, "right"))
    in_range = columns.select(slice(start, max(start, end)))
    downsampled = in_range.select(choose_points(in_range.values, window.max_points, window.method))
    count = len(in_range.iterations)
    stride = count / len(downsampled.iterations) if count else 1.0
    return {**list_columns(downsampled), "original_count": count, "stride": stride}


def list_columns(columns: SeriesColumns) -> dict[str, Any]:
    """The columns as lists, by HOCON names."""
    return {
        "iterations": columns.iterations.tolist(),
        "values": columns.values.tolist(),
        "timestamps": [build_date(milliseconds) for milliseconds in columns.timestamps.tolist()],
    }


def find_point_at_best(columns: SeriesColumns, best: SeriesColumns, goal: str) -> dict[str, Any] | None:
    """The point of a series at the first iteration at which another one is best, by HOCON names; None without one."""
    finite = best.select(np.isfinite(best.values))
    if not len(finite.values):
        return None
    best_index = BEST[goal](finite.values)  # the first of equals, in the order of iterations
    points = columns.select((columns.iterations == finite.iterations[best_index]) & np.isfinite(columns.values))
    if not len(points.values):
        return None
    return {
        "iteration": int(points.iterations[0]),
        "value": float(points.values[0]),
        "best_value": float(finite.values[best_index]),
        "timestamp": build_date(int(points.timestamps[0])),
    }


BEST: Mapping[str, Callable[[PointValues], Any]] = {"min": np.argmin, "max": np.argmax}


# -- downsampling ----------------------------------------------------------------------------------


def choose_points(values: PointValues, max_points: int, method: str) -> PointIndexes:
    """Choose the indexes of at most `max_points` values (10 or more), in order.

    The first and the last index are always among them; between two of them a gap is kept where there was one.
    """
    if len(values) <= max_points:
        return np.arange(len(values))
    is_gap = np.isnan(values)
    with_value = np.flatnonzero(~is_gap)
    # a gap between any two of the chosen must have room, and so must one at either end
    budget = (max_points - 2) // 2 if is_gap.any() else max_points
    chosen = with_value
    if len(with_value) > budget:
        chosen = with_value[DOWNSAMPLING_METHODS[method](values[with_value], budget)]
    return np.union1d(_add_gaps(chosen, is_gap), [0, len(values) - 1])


def _choose_minmax_lttb(values: PointValues, max_points: int) -> PointIndexes:
    extremes: PointIndexes = np.array([0, values.argmin(), values.argmax(), len(values) - 1])
    if max_points <= len(extremes) + 1:
        return np.unique(extremes)
    chosen = MinMaxLTTBDownsampler().downsample(values, n_out=max_points - 2)
    return np.union1d(chosen.astype(np.intp), extremes)


def _choose_minmax(values: PointValues, max_points: int) -> PointIndexes:
    chosen = MinMaxDownsampler().downsample(values, n_out=max_points - 2 - max_points % 2)
    return np.union1d(chosen.astype(np.intp), [0, len(values) - 1])


def _choose_lttb(values: PointValues, max_points: int) -> PointIndexes:
    return np.unique(LTTBDownsampler().downsample(values, n_out=max_points))


def _choose_every_nth(values: PointValues, max_points: int) -> PointIndexes:
    return np.linspace(0, len(values) - 1, max_points).round().astype(np.intp)


DOWNSAMPLING_METHODS: Mapping[str, Callable[[PointValues, int], PointIndexes]] = {
    "minmax_lttb": _choose_minmax_lttb,
    "minmax": _choose_minmax,
    "lttb": _choose_lttb,
    "every_nth": _choose_every_nth,
}


def _add_gaps(indexes: PointIndexes, is_gap: NDArray[np.bool_]) -> PointIndexes:
    """The indexes, with the first gap after each of them if it comes before the next one."""
    gaps = np.flatnonzero(is_gap)
    following = np.searchsorted(gaps, indexes, "right")
    return np.union1d(indexes, gaps[following[following < len(gaps)]])
