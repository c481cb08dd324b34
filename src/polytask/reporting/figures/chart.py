"""A frame with two axes for curves and points, whose width follows the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from polytask.reporting.formats import tick
from polytask.reporting.markup import Html, element, join
from polytask.reporting.scales import Scale

_TOP, _BOTTOM = 8, 24


def chart(
    title: str,
    x: Scale,
    y: Scale,
    marks: Sequence[Html],
    *,
    height: int = 190,
    x_label: Callable[[float], str] = tick,
    y_label: Callable[[float], str] = tick,
    x_ticks: Sequence[float] | None = None,
    zero: bool = False,
) -> Html:
    """The frame around `marks`, which are drawn in percentages of the plot (`Scale.percent`, y from the top).

    Parameters
    ----------
    title : str
        Says what the chart shows to those who cannot see it.
    x_ticks : sequence of float, optional
        Values to label; round ones by default.
    zero : bool
        Draw the line y = 0.
    """
    inner = height - _TOP - _BOTTOM
    y_ticks = y.ticks(4)
    lines = [_level(from_top(y, v), "grid") for v in y_ticks]
    if zero and y.low < 0 < y.high:
        lines.append(_level(from_top(y, 0.0), "zero"))
    plot = element("svg", *lines, *marks, y=_TOP, width="100%", height=inner, overflow="visible")
    below = [_x_label(x, v, x_label(v), height) for v in (x.ticks(4) if x_ticks is None else x_ticks)]
    beside = [
        element(
            "text",
            y_label(v),
            x=44,
            y=_TOP + inner * (1 - y.place(v)),
            text_anchor="end",
            dominant_baseline="central",
        )
        for v in y_ticks
    ]
    return element(
        "div",
        element("svg", join(beside), width=50, height=height, aria_hidden="true"),
        element("svg", element("title", title), plot, join(below), width="100%", height=height, role="img"),
        class_="chart",
    )


def from_top(y: Scale, value: float) -> str:
    """The place of a value as a percentage from the top edge."""
    return f"{100 * (1 - y.place(value)):.2f}%"


def curve(points: Sequence[tuple[float, float]], x: Scale, y: Scale, class_: str) -> Html:
    """A line through the points."""
    return stretched(
        element(
            "polyline",
            points=_corners(points, x, y),
            class_=f"curve {class_}",
            vector_effect="non-scaling-stroke",
        )
    )


def band(
    low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]], x: Scale, y: Scale, class_: str
) -> Html:
    """The area between two lines."""
    around = [*low, *reversed(high)]
    return stretched(element("polygon", points=_corners(around, x, y), class_=f"band {class_}"))


def stretched(*shapes: Html, width: float = 100, height: float = 100) -> Html:
    """Shapes in a plane of `width` by `height` that fills the plot, whatever its size on screen."""
    return element(
        "svg",
        *shapes,
        viewBox=f"0 0 {width:g} {height:g}",
        width="100%",
        height="100%",
        preserveAspectRatio="none",
    )


def _corners(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return " ".join(f"{100 * x.place(a):.2f},{100 * (1 - y.place(b)):.2f}" for a, b in points)


def _level(y: str, class_: str) -> Html:
    return element("line", x1="0", x2="100%", y1=y, y2=y, class_=class_)


def _x_label(x: Scale, value: float, text: str, height: int) -> Html:
    place = x.place(value)
    anchor = "start" if place < 0.04 else "end" if place > 0.96 else "middle"
    return element("text", text, x=f"{100 * place:.2f}%", y=height - 5, text_anchor=anchor)
