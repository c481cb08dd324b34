"""One fact about the tasks against their gains: a point per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from polytask.reporting.figures import tones
from polytask.reporting.figures.chart import chart, from_top
from polytask.reporting.formats import number, percent, percent_tick, shorten, tick
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import covering

#: Task, value, gain in per cent, verdict.
Point = tuple[str, float, float, str]


def scatter(title: str, points: Sequence[Point], says: Callable[[float], str] = number) -> Html:
    """Gains against values, coloured by verdict; decided tasks are drawn last, on top."""
    x, y = covering([p[1] for p in points]), covering([0.0, *(p[2] for p in points)])
    ordered = sorted(points, key=lambda p: tones.of_verdict(p[3]) != "same")
    marks = [
        element(
            "circle",
            element("title", f"{shorten(name, 60)}: {says(value)}, gain {percent(gain)}, {verdict}"),
            cx=x.percent(value),
            cy=from_top(y, gain),
            r=4,
            class_=f"mark {tones.of_verdict(verdict)}",
        )
        for name, value, gain, verdict in ordered
    ]
    return chart(title, x, y, marks, height=170, x_label=tick, y_label=percent_tick, zero=True)
