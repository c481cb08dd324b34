"""How alike the tasks are: a matrix whose rows are ordered so that like tasks lie together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from polytask.reporting.figures.chart import stretched
from polytask.reporting.formats import shorten
from polytask.reporting.markup import Html, element

#: Up to these many tasks the matrix has numbers in its cells, names at its rows, one cell a task.
NUMBERS, NAMES, CELLS = 8, 30, 160

_STRENGTHS = 10  # shades per sign; more cannot be told apart


def as_matrix(values: Sequence[Sequence[Any]]) -> np.ndarray:
    """A symmetric matrix of floats; missing entries count as unrelated (0)."""
    matrix = np.array([[np.nan if v is None else v for v in row] for row in values], dtype=float)
    matrix = np.where(np.isfinite(matrix), matrix, 0.0)
    return np.clip((matrix + matrix.T) / 2, -1.0, 1.0)


def clustered_order(matrix: np.ndarray) -> np.ndarray:
    """Order of the rows by average-linkage clustering of the distances 1 − similarity, shape (q,)."""
    if len(matrix) < 3:
        return np.arange(len(matrix))
    distance = 1.0 - matrix
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=len(matrix) <= CELLS)
    return leaves_list(tree)


def similarity(names: Sequence[str], matrix: np.ndarray, order: np.ndarray) -> Html:
    """The matrix in this order; with very many tasks, means over neighbours."""
    ordered = _blocks(matrix[np.ix_(order, order)], CELLS)
    title = element("title", f"Similarity of {len(names)} tasks, like tasks next to each other")
    square = element(
        "svg",
        title,
        stretched(*_cells(ordered), width=len(ordered), height=len(ordered)),
        *(_numbers(ordered) if len(names) <= NUMBERS else ()),
        width="100%",
        height="100%",
        role="img",
    )
    square = element("div", square, class_="square", style=f"max-width:{min(30, 5 * len(names))}rem")
    if len(names) > NAMES:
        return element("div", square, class_="matrix bare")
    labels = [element("span", shorten(names[k], 26), title=names[k], class_="name") for k in order]
    return element("div", element("div", *labels, class_="rows"), square, class_="matrix")


def _cells(matrix: np.ndarray) -> list[Html]:
    """One path per shade: a cell each would be thousands of elements."""
    shade = np.round(_STRENGTHS * np.abs(matrix)).astype(int)
    paths = []
    for tone, sign in (("helped", 1), ("hurt", -1)):
        for strength in range(1, _STRENGTHS + 1):
            where = np.argwhere((shade == strength) & (np.sign(matrix) == sign))
            if len(where):
                squares = "".join(f"M{j} {i}h1v1h-1z" for i, j in where)
                paths.append(
                    element(
                        "path",
                        d=squares,
                        class_=f"cell {tone}",
                        fill_opacity=0.9 * strength / _STRENGTHS,
                        shape_rendering="crispEdges",
                    )
                )
    return paths


def _numbers(matrix: np.ndarray) -> list[Html]:
    size = len(matrix)
    return [
        element(
            "text",
            f"{matrix[i, j]:.2f}".replace("-", "−"),
            class_="value on" if abs(matrix[i, j]) > 0.55 else "value",
            x=f"{100 * (j + 0.5) / size:.2f}%",
            y=f"{100 * (i + 0.5) / size:.2f}%",
        )
        for i in range(size)
        for j in range(size)
        if i != j
    ]


def _blocks(matrix: np.ndarray, most: int) -> np.ndarray:
    """Means over square blocks, at most `most` a side."""
    if len(matrix) <= most:
        return matrix
    starts = np.unique(np.linspace(0, len(matrix), most, endpoint=False).astype(int))
    sizes = np.diff([*starts, len(matrix)])
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    return sums / np.outer(sizes, sizes)
