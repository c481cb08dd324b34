"""One method over many tasks: a coloured cell per task in a single line."""

from __future__ import annotations

from collections.abc import Sequence

from polytask.reporting.figures import tones
from polytask.reporting.formats import percent, shorten
from polytask.reporting.markup import Html, element


def strip(title: str, names: Sequence[str], gains: Sequence[float | None], limit: float) -> Html:
    """A cell per task in the order given, coloured by gain; tasks without a gain stay empty."""
    wide = 100 / max(len(names), 1)
    cells = [
        _cell(name, gain, k * wide, wide, limit)
        for k, (name, gain) in enumerate(zip(names, gains))
        if gain is not None
    ]
    return element("svg", element("title", title), *cells, width="100%", height=22, role="img")


def _cell(name: str, gain: float, x: float, width: float, limit: float) -> Html:
    tone, strength = tones.of_value(gain, limit)
    return element(
        "rect",
        element("title", f"{shorten(name, 60)}: {percent(gain)}"),
        x=f"{x:.2f}%",
        width=f"{width + 0.02:.2f}%",
        height="100%",
        class_=f"cell {tone}",
        fill_opacity=max(0.04, strength / 0.6),
    )
