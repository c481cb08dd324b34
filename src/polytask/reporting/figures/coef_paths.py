"""How the coefficients of one task leave zero as the penalty falls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytask.reporting.figures.chart import chart, curve, from_top
from polytask.reporting.figures.series import Decades
from polytask.reporting.formats import shorten, tick
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import covering

#: Curves drawn at most in one plot, and features named at their ends.
CURVES, NAMED = 60, 4


def coef_path(
    title: str,
    strengths: np.ndarray,
    coef: np.ndarray,
    features: Sequence[str],
    *,
    chosen: float | None = None,
    height: int = 200,
) -> Html:
    """The plot of one task; strong penalties are on the left.

    Parameters
    ----------
    title : str
        What it shows, for those who cannot see it.
    strengths : (k,) array
        Positive penalties, decreasing.
    coef : (k, p) array
    features : sequence of p names
    chosen : float, optional
        A penalty to mark.
    """
    places = -np.log10(strengths)
    x = Decades(float(places[0]), float(max(places[-1], places[0] + 1e-6)))
    drawn = [j for j in np.argsort(-np.abs(coef).max(axis=0), kind="stable")[:CURVES] if coef[:, j].any()]
    y = covering([0.0, *coef[:, drawn].ravel().tolist()])
    marks = [
        curve(list(zip(places, coef[:, j])), x, y, f"path {_tone(coef[-1, j])}") for j in reversed(drawn)
    ]
    if chosen is not None and strengths[-1] <= chosen <= strengths[0]:
        place = x.percent(-float(np.log10(chosen)))
        marks.append(element("line", x1=place, x2=place, y1="0", y2="100%", class_="chosen"))
    marks += _labels(coef[-1], features, drawn[:NAMED], y, height)
    return chart(title, x, y, marks, height=height, zero=True, x_label=lambda v: tick(float(f"{10**-v:.2g}")))


def _tone(end: float) -> str:
    return "helped" if end > 0 else "hurt" if end < 0 else "same"


def _labels(
    ends: np.ndarray,
    features: Sequence[str],
    named: Sequence[int],
    y,
    height: int,  # type: ignore[no-untyped-def]
) -> list[Html]:
    """Names of the largest coefficients at the ends of their curves, where they don't lie on each other."""
    room = 13 / (height - 32)
    taken: list[float] = []
    labels = []
    for j in named:
        place = y.place(float(ends[j]))
        if ends[j] and all(abs(place - other) >= room for other in taken):
            taken.append(place)
            labels.append(
                element(
                    "text", shorten(features[j], 18), x="99%", y=from_top(y, float(ends[j])), dy="-3",
                    text_anchor="end", class_="end",
                )
            )  # fmt: skip
    return labels


#: Rules that a page with these plots needs.
STYLE = (
    "svg .curve.path{stroke-width:1.5;stroke-opacity:.8}"
    "svg .chosen{stroke:var(--ink);stroke-dasharray:3 3;stroke-opacity:.6}"
    "svg text.end{font-size:11px;paint-order:stroke;stroke:var(--surface);stroke-width:3px}"
)
