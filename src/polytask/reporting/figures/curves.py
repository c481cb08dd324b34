"""Learning curves: losses by epoch, per task, or over all tasks where there are too many to tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polytask.reporting.figures.chart import band, chart, curve
from polytask.reporting.formats import finite, percent_tick, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import Scale, covering

#: Up to this many tasks each has its own small plot.
SEPARATE = 12

_POINTS = 150  # a curve on screen is no wider than a few hundred pixels

History = Sequence[Mapping[str, Any]]


def task_names(history: History) -> list[str]:
    """Tasks with any loss, in order of appearance."""
    return list(
        dict.fromkeys(
            t
            for record in history
            for t in {**(record.get("train") or {}), **(record.get("validation") or {})}
        )
    )


def has_losses(history: History) -> bool:
    """True if there is anything to draw."""
    return any(_series(history, part, t) for t in task_names(history) for part in ("train", "validation"))


def curves(model: str, history: History) -> Html:
    """The curves of one model."""
    names = task_names(history)
    if len(names) <= SEPARATE:
        return element("div", *(_one_task(model, name, history) for name in names), class_="multiples")
    return _all_tasks(model, names, history)


def _one_task(model: str, name: str, history: History) -> Html:
    train, validation = (_series(history, part, name) for part in ("train", "validation"))
    shown = [v for _, v in train + validation]
    x, y = _epochs(history), covering(shown)
    lines = [
        curve(_thin(points), x, y, class_)
        for points, class_ in ((train, "train"), (validation, "helped"))
        if points
    ]
    title = f"{model}, {shorten(name, 60)}: training and validation loss by epoch"
    plot = chart(title, x, y, lines, height=130)
    return element("div", element("h3", shorten(name, 34), title=name, class_="name"), plot)


def _all_tasks(model: str, names: Sequence[str], history: History) -> Html:
    """Median and middle half over tasks of the validation loss, in per cent of each task's first one."""
    table = np.full((len(history), len(names)), np.nan)
    for k, name in enumerate(names):
        points = _series(history, "validation", name) or _series(history, "train", name)
        if points and points[0][1] > 0:
            rows = {int(record["epoch"]): i for i, record in enumerate(history)}
            for epoch, value in points:
                table[rows[int(epoch)], k] = 100 * (value / points[0][1] - 1)
    known = np.flatnonzero(np.isfinite(table).any(axis=1)).tolist()
    if not known:
        return Html("")
    low, middle, high = np.nanquantile(table[known], [0.25, 0.5, 0.75], axis=1)
    epochs = [float(history[i]["epoch"]) for i in known]
    x, y = _epochs(history), covering([0.0, *low, *high])
    lower, upper, line = (_thin(list(zip(epochs, values))) for values in (low, high, middle))
    title = f"{model}: change of the validation loss by epoch over {len(names)} tasks, median and middle half"
    marks = [band(lower, upper, x, y, "helped"), curve(line, x, y, "helped")]
    return chart(title, x, y, marks, y_label=percent_tick, zero=True)


def _series(history: History, part: str, name: str) -> list[tuple[float, float]]:
    points = [(float(record["epoch"]), finite((record.get(part) or {}).get(name))) for record in history]
    return [(epoch, value) for epoch, value in points if value is not None]


def _epochs(history: History) -> Scale:
    epochs = [float(record["epoch"]) for record in history]
    return Scale(min(epochs), max(*epochs, min(epochs) + 1))


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every so many points, the last one always."""
    step = -(-len(points) // _POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]
