"""Which coefficients of a linear model are zero: tasks × features, zeros in yellow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytask.reporting.figures.chart import stretched
from polytask.reporting.formats import shorten
from polytask.reporting.markup import Html, element

#: Row labels are shown up to this many tasks.
NAMES = 20

#: Shares of the largest coefficient at which the shade changes.
_SHADES = (("weak", 0.0, 0.1), ("middle", 0.1, 0.4), ("strong", 0.4, np.inf))


def sparsity(heading: str, title: str, names: Sequence[str], coef: np.ndarray) -> Html:
    """One panel.

    Parameters
    ----------
    heading, title : str
        Above the panel, and for those who cannot see it.
    names : sequence of str
        Tasks, one per row.
    coef : ndarray of shape (q, p)
        Coefficients in the order of the page: one row per task.
    """
    q, p = coef.shape
    height = q * (18 if q <= NAMES else 7 if q <= 80 else 3 if q <= 300 else 1)
    picture = element(
        "svg",
        element("title", title),
        stretched(*_paths(coef), width=p, height=q),
        width="100%",
        height=height,
        role="img",
    )
    above = element("h3", heading)
    if q > NAMES:
        return element("div", above, picture, class_="panel bare")
    labels = [element("span", shorten(name, 24), title=name, class_="name") for name in names]
    return element("div", above, element("div", *labels, class_="rows"), picture, class_="panel")


def _paths(coef: np.ndarray) -> list[Html]:
    size = np.abs(coef) / (np.abs(coef).max() or 1.0)
    masks = [("zerocell", coef == 0)]
    masks += [(name, (coef != 0) & (size >= low) & (size < high)) for name, low, high in _SHADES]
    return [
        element("path", d=_runs(mask), class_=name, shape_rendering="crispEdges")
        for name, mask in masks
        if mask.any()
    ]


def _runs(mask: np.ndarray) -> str:
    """Neighbouring cells of a row as one rectangle: pictures of wide models stay small."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return "".join(f"M{j} {i}h{end - j}v1h{j - end}z" for (i, j), (_, end) in zip(starts, ends))
