"""Curves as they are shown: a range of them, with no more points than asked for. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tsdownsample import LTTBDownsampler, MinMaxDownsampler, MinMaxLTTBDownsampler

from models.dates import build_date
from models.metrics.blocks import SeriesColumns

Places = NDArray[Any]


def shown(columns: SeriesColumns, first: int | None, last: int | None, most: int, method: str) -> dict[str, Any]:
    """The columns of a curve within a range of iterations, by HOCON names; at most `most` points."""
    start = 0 if first is None else int(np.searchsorted(columns.iterations, first, "left"))
    end = len(columns.iterations) if last is None else int(np.searchsorted(columns.iterations, last, "right"))
    ranged = columns.at(slice(start, max(start, end)))
    kept = ranged.at(chosen(ranged.values, most, method))
    count = len(ranged.iterations)
    return {**listed(kept), "original_count": count, "stride": count / len(kept.iterations) if count else 1.0}


def listed(columns: SeriesColumns) -> dict[str, Any]:
    """The columns as lists, by HOCON names."""
    return {
        "iterations": columns.iterations.tolist(),
        "values": columns.values.tolist(),
        "timestamps": [build_date(milliseconds) for milliseconds in columns.timestamps.tolist()],
    }


def at_best(columns: SeriesColumns, best: SeriesColumns, goal: str) -> dict[str, Any] | None:
    """The point of a curve at the first iteration at which another is best, by HOCON names; None when there is none."""
    others = best.at(np.isfinite(best.values))
    if not len(others.values):
        return None
    place = BEST[goal](others.values)  # the first of equals, in the order of iterations
    here = columns.at((columns.iterations == others.iterations[place]) & np.isfinite(columns.values))
    if not len(here.values):
        return None
    return {
        "iteration": int(here.iterations[0]),
        "value": float(here.values[0]),
        "best_value": float(others.values[place]),
        "timestamp": build_date(int(here.timestamps[0])),
    }


BEST: Mapping[str, Callable[[NDArray[np.float64]], Any]] = {"min": np.argmin, "max": np.argmax}


def chosen(values: NDArray[np.float64], most: int, method: str) -> Places:
    """Choose the places of at most `most` values (10 or more), in order.

    The first and the last place are always among them; between two of them a gap is kept where there was one.
    """
    if len(values) <= most:
        return np.arange(len(values))
    ends = [0, len(values) - 1]
    is_gap = np.isnan(values)
    known = np.flatnonzero(~is_gap)
    # a gap between any two of the chosen must have room, and so must one at either end
    budget = (most - 2) // 2 if is_gap.any() else most
    places = known if len(known) <= budget else known[METHODS[method](values[known], budget)]
    return np.union1d(_with_gaps(places, is_gap), ends)


def _minmax_lttb(values: NDArray[np.float64], most: int) -> Places:
    extremes: Places = np.array([0, values.argmin(), values.argmax(), len(values) - 1])
    if most <= len(extremes) + 1:
        return np.unique(extremes)
    picked = MinMaxLTTBDownsampler().downsample(values, n_out=most - 2)
    return np.union1d(picked.astype(np.intp), extremes)


def _minmax(values: NDArray[np.float64], most: int) -> Places:
    picked = MinMaxDownsampler().downsample(values, n_out=most - 2 - most % 2)
    return np.union1d(picked.astype(np.intp), [0, len(values) - 1])


def _lttb(values: NDArray[np.float64], most: int) -> Places:
    return np.unique(LTTBDownsampler().downsample(values, n_out=most))


def _every_nth(values: NDArray[np.float64], most: int) -> Places:
    return np.linspace(0, len(values) - 1, most).round().astype(np.intp)


METHODS: Mapping[str, Callable[[NDArray[np.float64], int], Places]] = {
    "minmax_lttb": _minmax_lttb, "minmax": _minmax, "lttb": _lttb, "every_nth": _every_nth,
}  # fmt: skip


def _with_gaps(places: Places, is_gap: NDArray[np.bool_]) -> Places:
    """The first gap behind each place, if it comes before the next place."""
    gaps = np.flatnonzero(is_gap)
    following = np.searchsorted(gaps, places, "right")
    found = gaps[following[following < len(gaps)]]
    return np.union1d(places, found)
