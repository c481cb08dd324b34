"""What the overall gain does as training rows are taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polytask.reporting.figures.chart import chart, curve, from_top
from polytask.reporting.formats import finite, percent, percent_tick, share
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import Scale, covering

Point = Mapping[str, Any]


def known_points(points: Sequence[Point]) -> list[Point]:
    """Points with a gain, by the fraction of rows."""
    known = [
        p
        for p in points
        if finite(p.get("fraction")) is not None and finite(p.get("gain_percent")) is not None
    ]
    return sorted(known, key=lambda p: float(p["fraction"]))


def thinning(points: Sequence[Point]) -> Html:
    """The gain with its interval against the fraction of the training rows."""
    points = known_points(points)
    ends = [v for p in points for k in ("low_percent", "high_percent") if (v := finite(p.get(k))) is not None]
    gains = [float(p["gain_percent"]) for p in points]
    x, y = Scale(0.0, 1.06), covering([0.0, *gains, *ends])
    marks = [curve([(float(p["fraction"]), float(p["gain_percent"])) for p in points], x, y, "helped thin")]
    for p in points:
        place = x.percent(float(p["fraction"]))
        low, high = finite(p.get("low_percent")), finite(p.get("high_percent"))
        if low is not None and high is not None:
            marks.append(
                element(
                    "line",
                    x1=place,
                    x2=place,
                    y1=from_top(y, low),
                    y2=from_top(y, high),
                    class_="range helped",
                )
            )
        says = element("title", f"{share(p['fraction'])} of the rows: {percent(p['gain_percent'])}")
        marks.append(
            element(
                "circle",
                says,
                cx=place,
                cy=from_top(y, float(p["gain_percent"])),
                r=4.5,
                class_="mark helped",
            )
        )
    ticks = [float(p["fraction"]) for p in points]
    title = "Overall gain against the fraction of training rows used"
    return chart(title, x, y, marks, x_ticks=ticks, x_label=share, y_label=percent_tick, zero=True)
