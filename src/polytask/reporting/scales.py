"""From values to places on an axis, and round numbers to label it with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Between 0 and 1; values outside stick to the ends."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def percent(self, value: float) -> str:
        """The place as an SVG coordinate that follows the width of the figure."""
        return f"{100 * self.place(value):.2f}%"

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the axis: steps of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / max(about, 1)
        power = 10.0 ** math.floor(math.log10(raw))
        steps = [m * power for m in (0.5, 1, 2, 5, 10)]
        i = next(i for i, step in enumerate(steps) if i and step >= raw * (1 - 1e-9))
        # A step may miss the axis altogether, and the one before it then has few ticks.
        return self._multiples(steps[i]) or self._multiples(steps[i - 1])

    def _multiples(self, step: float) -> list[float]:
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(k * step, 12) for k in range(first, last + 1)]


def covering(values: Iterable[float], *, pad: float = 0.06) -> Scale:
    """The axis that holds all values with a little air; a single value gets an axis around it."""
    found = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(found), max(found)
    air = pad * (high - low) or abs(low) * 0.5 or 1.0
    return Scale(low - air, high + air)


def robust(points: Sequence[float], ends: Sequence[float]) -> Scale:
    """An axis that holds zero, all points and most ends of intervals.

    A few tasks with hardly any rows have intervals that would squeeze all others to a line: an interval may
    reach past the axis (it is drawn with an arrow) when it is over three times as long as the typical one.
    """
    reach = 3 * float(np.quantile(np.abs(ends), 0.5)) if len(ends) else 0.0
    limit = max([reach, *(abs(p) for p in points)], default=1.0)
    return covering([0.0, *points, *(min(max(e, -limit), limit) for e in ends)], pad=0.04)
