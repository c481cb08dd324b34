"""A linear multi-task model as one HTML file: its zeros, its paths, and how its tasks hang together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from polytask.errors import SettingError
from polytask.files import write_atomic
from polytask.reporting.document import document
from polytask.reporting.figures import coef_paths
from polytask.reporting.figures import matrix as maps
from polytask.reporting.figures.similarity import as_matrix, clustered_order, similarity
from polytask.reporting.formats import NOTHING, count, number, share, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import (
    cell,
    data_table,
    details,
    figure,
    lead,
    name_cell,
    plural,
    section,
)
from polytask.reporting.sections.zeros import zeros

Model = Mapping[str, Any]

#: Tasks with a plot of their own, and coefficients in the table.
_PLOTS, _ROWS = 12, 40

_STYLE = ".tiles.few{display:flex;flex-wrap:wrap}.tiles.few .tile{flex:1 1 11rem}"

_PATHS = (
    "From strong penalties on the left to weak ones: blue curves end above zero, orange ones below. Where "
    "tasks share their features, curves leave zero at the same place in every plot."
)
_COVARIANCE = (
    "Correlation of the tasks’ coefficients as the model learned it, tasks that are alike next to each other: "
    "blue where two tasks ask for the same coefficients, orange where for opposite ones."
)
_PRECISION = (
    "Partial correlation of the errors: blue where two tasks err to the same side on the same row, given the "
    "others; empty where the model found no link."
)


class Along(Protocol):
    """Coefficients along a grid, as `polytask.linear.CoefPath`."""

    @property
    def grid(self) -> np.ndarray: ...
    @property
    def coef(self) -> np.ndarray: ...


class _Table(NamedTuple):
    name: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: np.ndarray


def render_linear(model: Model, *, path: Along | None = None, others: Sequence[Model] = ()) -> str:
    """A page about one linear model.

    Parameters
    ----------
    model : dict
        `describe()` of a linear model, or the same read back from JSON.
    path : CoefPath, optional
        Coefficients along a grid of the first penalty, such as ``model.coef_path(moments, grid)``; of several
        penalties, the part of the grid where the others are as at its end is drawn.
    others : sequence of dict
        Models of the same tasks and features, whose zeros are shown above this one's.

    Returns
    -------
    str
        An HTML document that needs nothing else.

    Raises
    ------
    SettingError
        If the path is not one of this model's tasks and features.
    """
    sections = [
        zeros({"sparsity": [_for_zeros(m) for m in (*others, model)]}),
        _paths(model, path),
        _relations(model, "task_covariance", "How the tasks’ coefficients vary together", _COVARIANCE),
        _relations(model, "error_precision", "How the tasks’ errors go together", _PRECISION),
        _members(model),
        _coefficients(model),
    ]
    return document(
        f"polytask: {model['model']}",
        _headline(model),
        element("main", *(made for made in sections if made)),
        element("footer", "Made with polytask"),
        style=maps.STYLE + coef_paths.STYLE + _STYLE,
    )


def write_linear(model: Model, path_to: str | Path, **settings: Any) -> Path:
    """Write the page under a temporary name, then rename: a file of this name is always a whole one.

    Parameters
    ----------
    model
        As for `render_linear`.
    path_to : path
    **settings
        As for `render_linear`.
    """
    write_atomic(path_to, render_linear(model, **settings))
    return Path(path_to)


# ---------------------------------------------------------------------- the top


def _headline(model: Model) -> Html:
    coef = _coef(model)
    q, p = coef.shape
    used = ~(coef == 0).all(axis=0)
    everywhere = ~(coef == 0).any(axis=0)
    tiles = [
        _tile("Features used", count(used.sum()), f"of {count(p)}"),
        _tile("Used by every task", count(everywhere.sum()), f"of {plural(q, 'task')}"),
        _tile("Zero coefficients", share((coef == 0).mean()), f"of {count(coef.size)}"),
    ]
    if "rank" in model:
        tiles.append(_tile("Rank", count(model["rank"]), f"of at most {count(min(q, p))}"))
    for name, value in (model.get("penalties") or {}).items():
        tiles.append(_tile(name, _shown(value), "penalty"))
    return element(
        "header",
        element("p", "Linear multi-task model", class_="eyebrow"),
        element(
            "h1",
            element("span", str(model["model"]), class_="claim"),
            f" predicts {plural(q, 'task')} from {plural(int(used.sum()), 'feature')}.",
        ),
        element("dl", *tiles, class_="tiles few"),
    )


def _tile(label: str, big: str, small: str) -> Html:
    content = element("dd", element("span", big, class_="mid"), element("span", small, class_="quiet"))
    return element("div", element("dt", label), content, class_="tile")


def _shown(value: Any) -> str:
    """A penalty, or the range of the tasks' penalties."""
    if isinstance(value, (list, tuple)):
        return f"{number(min(value))} – {number(max(value))}" if value else NOTHING
    return value if isinstance(value, str) else number(value)


# ---------------------------------------------------------------------- sections


def _for_zeros(model: Model) -> dict[str, Any]:
    return {key: model[key] for key in ("model", "tasks", "features", "coef")}


def _paths(model: Model, path: Along | None) -> Html | None:
    if path is None:
        return None
    q, p = _coef(model).shape
    if np.shape(path.coef)[1:] != (q, p):
        raise SettingError(
            f"The path has coefficients of {np.shape(path.coef)[1:]} tasks and features; the model has {(q, p)}."
        )
    plots = []
    for t, task in enumerate(model["tasks"][:_PLOTS]):
        strengths, coef = _one_task(path, t)
        chosen = (model.get("penalties") or {}).get("alpha")
        plot = coef_paths.coef_path(
            f"{shorten(task, 60)}: coefficients by penalty", strengths, coef, model["features"],
            chosen=chosen[t] if isinstance(chosen, list) else chosen,
        )  # fmt: skip
        plots.append(element("div", element("h3", shorten(task, 34), title=task, class_="name"), plot))
    rest = "" if q <= _PLOTS else f" The first {_PLOTS} of {q} tasks."
    return section(
        "paths",
        "Which features come in first",
        figure(element("div", *plots, class_="multiples"), _PATHS + rest),
    )


def _one_task(path: Along, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Strengths (k,), decreasing, and coefficients (k, p) of a task, the other penalties as at the end."""
    grid = np.asarray(path.grid, dtype=float)
    per_task = grid.ndim == 2 and grid.shape[1] == path.coef.shape[1] and not _is_product(grid)
    if grid.ndim == 1 or per_task:
        strengths, kept = (grid if grid.ndim == 1 else grid[:, t]), np.arange(len(grid))
    else:
        kept = np.flatnonzero(np.all(grid[:, 1:] == grid[-1, 1:], axis=1))
        strengths = grid[kept, 0]
    kept = kept[strengths > 0]
    order = kept[np.argsort(-strengths[strengths > 0], kind="stable")]
    return np.sort(strengths[strengths > 0])[::-1], np.asarray(path.coef)[order, t]


def _is_product(grid: np.ndarray) -> bool:
    """Whether the columns after the first repeat few values, as those of several penalties do."""
    return len(np.unique(grid[:, 1:], axis=0)) < len(grid)


def _relations(model: Model, name: str, heading: str, caption: str) -> Html | None:
    """A matrix of tasks as correlations, its rows clustered, and its numbers as they are."""
    if model.get(name) is None:
        return None
    values = np.asarray(model[name], dtype=float)
    root = np.sqrt(np.clip(np.diag(values), 0.0, None))
    unit = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    alike = as_matrix((values * np.outer(unit, unit) * (-1.0 if name == "error_precision" else 1.0)).tolist())
    np.fill_diagonal(alike, 1.0)
    order = clustered_order(alike)
    tasks = list(model["tasks"])
    named = [tasks[k] for k in order]
    table = _Table("", named, named, values[np.ix_(order, order)])
    picture = similarity(tasks, alike, order)
    folded = element(
        "div", maps.heat_map(table), class_="scroll", tabindex="0", role="region", aria_label=heading
    )
    return section(
        name.replace("_", "-"), heading, figure(picture, caption), details("The matrix itself", folded)
    )


def _members(model: Model) -> Html | None:
    """Groups of tasks, and tasks that stand apart."""
    items = []
    for k, group in enumerate(model.get("groups") or (), 1):
        names = ", ".join(map(str, group))
        items.append(element("li", element("b", f"Group {k}: "), names, class_="name"))
    outliers = model.get("outlier_tasks")
    if outliers is not None:
        names = ", ".join(map(str, outliers)) or "none"
        items.append(element("li", element("b", "Tasks that stand apart: "), names, class_="name"))
    return section("groups", "Which tasks go together", element("ul", *items)) if items else None


def _coefficients(model: Model) -> Html:
    coef = _coef(model)
    order = [j for j in np.argsort(-np.abs(coef).max(axis=0), kind="stable")[:_ROWS] if coef[:, j].any()]
    tasks = list(model["tasks"])[:_PLOTS]
    columns = [("Feature", "text name"), *((shorten(task, 18), None) for task in tasks)]
    rows = [
        [
            name_cell(shorten(model["features"][j], 40), str(model["features"][j])),
            *(cell(number(value)) for value in coef[: len(tasks), j]),
        ]
        for j in order
    ]
    words = f"The {plural(len(order), 'feature')} with the largest coefficients, in the units of the data."
    if len(tasks) < len(coef):
        words += f" The first {len(tasks)} of {len(coef)} tasks."
    table = details("Coefficients as a table", data_table("Coefficients", columns, rows))
    return section("coefficients", "The coefficients", lead(words), table)


def _coef(model: Model) -> np.ndarray:
    return np.asarray(model["coef"], dtype=float)
