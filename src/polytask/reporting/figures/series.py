"""Numbers of several tasks, or pairs of tasks, over the steps of a training run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from polytask.reporting.figures.chart import band, chart, curve
from polytask.reporting.formats import shorten, tick
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import Scale, covering

#: Up to this many series have a line of their own; of more, the range and the median are drawn.
LINES = 6

#: Up to this many points a line; a curve on screen is no wider than a few hundred pixels.
POINTS = 120

_WIDE = 10.0  # largest ÷ smallest value from which an axis is logarithmic

_LIGHT = ("19 98 184", "200 84 10", "12 128 92", "124 66 170", "150 112 0", "196 44 112")
_DARK = ("104 174 250", "246 146 86", "84 202 156", "192 152 248", "222 192 84", "248 132 184")


def _tones(colours: Sequence[str]) -> str:
    return "".join(f".line{k}{{--tone:{colour}}}" for k, colour in enumerate(colours))


#: Rules that pages with these figures need.
STYLE = (
    f"{_tones(_LIGHT)}@media (prefers-color-scheme:dark){{{_tones(_DARK)}}}@media print{{{_tones(_LIGHT)}}}"
    ".legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.85rem;margin:.1rem 0 .5rem}"
    ".legend .swatch{margin-left:0}"
)


class Decades(Scale):
    """An axis of logarithms to base 10, labelled at round values."""

    def ticks(self, about: int = 5) -> list[float]:
        for steps in ((1, 2, 5), (1, 3), (1,)):
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            places = [power + math.log10(step) for power in powers for step in steps]
            found = [p for p in places if self.low <= p <= self.high]
            if len(found) <= about + 2:
                break
        return found[:: -(-len(found) // (about + 2))] if len(found) > 1 else super().ticks(about)


def series(
    title: str,
    steps: Sequence[float],
    names: Sequence[str],
    values: np.ndarray,
    *,
    y: Scale | None = None,
    zero: bool = False,
    y_label: Callable[[float], str] = tick,
    height: int = 190,
    points: int = POINTS,
) -> Html:
    """The chart and, for several lines, which is which.

    Parameters
    ----------
    title : str
    steps : sequence of float of length n
    names : sequence of str of length k
    values : ndarray of shape (n, k)
        NaN where there is none.
    y : Scale, optional
        By default one that holds all values: logarithmic if they are positive and far apart.
    zero : bool
        Have the value 0 on a linear axis, with a line.
    points : int
        Up to this many points a line; each is the mean over neighbours where there are more steps.
    """
    at, values = smoothed(np.asarray(steps, dtype=float), values, points)
    if y is None and _is_wide(values):
        values = np.log10(values)
        ends = covering(values[np.isfinite(values)].tolist())
        y, y_label, zero = Decades(ends.low, ends.high), lambda v: tick(float(f"{10**v:.3g}")), False
    elif y is None:
        y = covering([*([0.0] if zero else []), *values[np.isfinite(values)].tolist()])
    x = Scale(float(at[0]), float(max(at[-1], at[0] + 1)))
    marks = _lines(at, values, x, y) if len(names) <= LINES else _range(at, values, x, y)
    legend = _legend(names) if 1 < len(names) <= LINES else ""
    plot = chart(title, x, y, marks, height=height, y_label=y_label, zero=zero)
    return element("div", legend, plot)


def smoothed(steps: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over neighbouring steps, so that at most `points` are left; the first and last step stay ends."""
    if len(steps) <= points:
        return steps, values
    groups = np.array_split(np.arange(len(steps)), points)
    known = np.isfinite(values)
    sums = np.array([np.where(known[g], values[g], 0.0).sum(axis=0) for g in groups])
    counts = np.array([known[g].sum(axis=0) for g in groups])
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    at = np.array([steps[g].mean() for g in groups])
    at[0], at[-1] = steps[0], steps[-1]
    return at, means


def _is_wide(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(len(known)) and known.min() > 0 and known.max() > _WIDE * known.min()


def _lines(at: np.ndarray, values: np.ndarray, x: Scale, y: Scale) -> list[Html]:
    lines = []
    for k, column in enumerate(values.T):
        known = np.isfinite(column)
        if known.any():
            lines.append(curve(list(zip(at[known], column[known])), x, y, f"line{k}"))
    return lines


def _range(at: np.ndarray, values: np.ndarray, x: Scale, y: Scale) -> list[Html]:
    """From the smallest to the largest series, the middle half of them, and the median."""
    known = np.isfinite(values).any(axis=1)
    low, lower, middle, upper, high = (
        list(zip(at[known], quantile))
        for quantile in np.nanquantile(values[known], [0, 0.25, 0.5, 0.75, 1], axis=1)
    )
    return [
        band(low, high, x, y, "line0"),
        band(lower, upper, x, y, "line0"),
        curve(middle, x, y, "line0"),
    ]


def _legend(names: Sequence[str]) -> Html:
    return element(
        "div",
        *(
            element(
                "span", element("i", class_=f"swatch tint line{k}", aria_hidden="true"), shorten(name, 34)
            )
            for k, name in enumerate(names)
        ),
        class_="legend",
    )
