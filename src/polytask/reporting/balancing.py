"""How a balancer treated its tasks, as one HTML file: weights, gradient norms, cosines and conflicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from polytask.errors import SettingError
from polytask.files import write_atomic
from polytask.reporting.document import document
from polytask.reporting.figures import balancing as figures
from polytask.reporting.figures.series import LINES, POINTS, STYLE
from polytask.reporting.formats import count, number, share, shorten, tick
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

Records = Sequence[Mapping[str, Any]]

_MANY = " Line: the median. Bands: the middle half, and from the smallest to the largest."
_STYLE = (
    ".tiles.few{display:flex;flex-wrap:wrap}.tiles.few .tile{flex:1 1 15rem}"
    ".titled+.titled{margin-top:1.4rem}.pair>.titled+.titled{margin-top:0}"
)


def render_balancing(records: Records) -> str:
    """A page about one training run.

    Parameters
    ----------
    records : sequence of dict
        `polytask.balancing.Watch.records`, or the lines of its file read as JSON.

    Returns
    -------
    str
        An HTML document that needs nothing else.

    Raises
    ------
    SettingError
        If there are no records.
    """
    if not records:
        raise SettingError("There are no records to draw: set balancer.watch = Watch(…) before training.")
    return document(
        "polytask: balancing",
        _headline(records),
        element("main", _tasks(records), _pairs(records) or ""),
        element("footer", "Made with polytask"),
        style=STYLE + _STYLE,
    )


def write_balancing(records: Records, path: str | Path) -> Path:
    """Write the page under a temporary name, then rename: a file of this name is always a whole one.

    Parameters
    ----------
    records : sequence of dict
        As for `render_balancing`.
    path : path
    """
    write_atomic(path, render_balancing(records))
    return Path(path)


# ---------------------------------------------------------------------- the top


def _headline(records: Records) -> Html:
    n_tasks, rates = len(figures.task_names(records)), figures.conflict_rates(records)
    steps = f"steps {count(records[0]['step'])} to {count(records[-1]['step'])}"
    if np.isfinite(rates).any():
        claim = f"Gradients conflict in {share(np.nanmean(rates))} of the pairs of tasks"
        rest = f": {plural(n_tasks, 'task')}, {steps}."
    else:
        claim, rest = f"How {plural(n_tasks, 'task')} were weighted", f": {steps}."
    found = (
        _apart(records),
        _largest(records, "norms", "Largest gradient"),
        _largest(records, "weights", "Largest weight"),
    )
    tiles = [tile for tile in found if tile]
    return element(
        "header",
        element("p", "Balancing of tasks in training", class_="eyebrow"),
        element("h1", element("span", claim, class_="claim"), rest),
        element("dl", *tiles, class_="tiles few") if tiles else "",
    )


def _apart(records: Records) -> Html | None:
    """The pair whose gradients point most away from each other."""
    names, cosines = figures.task_names(records), figures.mean_cosines(records)
    pairs = [(cosines[i, j], i, j) for i, j in combinations(range(len(names)), 2)]
    known = [pair for pair in pairs if np.isfinite(pair[0])]
    if not known:
        return None
    cosine, i, j = min(known)
    who = f"{shorten(names[i], 24)} and {shorten(names[j], 24)}"
    return _tile("Least aligned pair", who, f"mean cosine {cosine:.2f}".replace("-", "−"))


def _largest(records: Records, key: str, label: str) -> Html | None:
    """Who has the largest of something on average, and how far ahead of the smallest."""
    names, means = figures.task_names(records), figures.means(figures.per_task(records, key))
    if np.isfinite(means).sum() < 2:
        return None
    top, bottom = int(np.nanargmax(means)), int(np.nanargmin(means))
    if not 0 < 1.005 * means[bottom] < means[top]:
        return None
    times = tick(float(f"{means[top] / means[bottom]:.2g}"))
    return _tile(
        label, shorten(names[top], 34), f"{times} times that of {shorten(names[bottom], 24)}, on average"
    )


def _tile(label: str, big: str, small: str) -> Html:
    return element(
        "div",
        element("dt", label),
        element("dd", element("span", big, class_="mid name"), element("span", small, class_="quiet")),
        class_="tile",
    )


# ---------------------------------------------------------------------- sections


def _tasks(records: Records) -> Html:
    """Curves per task, and their means as a table."""
    of = " or ".join(dict.fromkeys(r["gradients_of"] for r in records if r.get("gradients_of")))
    kinds = (
        ("weights", "Weight", "What the task's gradient was multiplied with.", True),
        ("norms", "Gradient norm", f"Of the gradient with respect to the {of}, before weighting.", False),
        ("parts", "Weight × gradient norm", "How hard the task pulls on what is shared.", True),
        ("losses", "Loss", "Of the batch, before weighting and before the step.", False),
    )
    shown = [kind for kind in kinds if np.isfinite(figures.per_task(records, kind[0])).any()]
    many = _MANY if len(figures.task_names(records)) > LINES else ""
    pictures = [
        _titled(name, figures.of_tasks(f"{name} per task, by step", records, key, zero), caption + many)
        for key, name, caption, zero in shown
    ]
    words = "Across: the step."
    if len(records) > POINTS:
        words += f" Of {count(len(records))} records; each point is the mean over neighbours."
    return section(
        "tasks",
        "Task by task",
        lead(words),
        element("div", *pictures, class_="pair"),
        details(
            "Means over the records, as a table", _means(records, [(key, name) for key, name, *_ in shown])
        ),
    )


def _means(records: Records, columns: Sequence[tuple[str, str]]) -> Html:
    means = [figures.means(figures.per_task(records, key)) for key, _ in columns]
    rows = [
        [name_cell(shorten(name, 60), name), *(cell(number(column[k])) for column in means)]
        for k, name in enumerate(figures.task_names(records))
    ]
    heads: list[tuple[str, str | None]] = [("Task", "text name"), *((name, None) for _, name in columns)]
    return data_table("Means per task", heads, rows)


def _pairs(records: Records) -> Html | None:
    """Cosines, conflicts, and who goes with whom."""
    cosines = figures.per_pair(records)
    if not np.isfinite(cosines).any():
        return None
    many = _MANY if cosines.shape[1] > LINES else ""
    parts = [
        _titled("Cosines", figures.of_pairs(records), f"Below 0 the two pull apart.{many}"),
        _titled(
            "Share of pairs in conflict",
            figures.of_conflicts(records),
            "A pair conflicts in a step when its cosine is negative.",
        ),
    ]
    if cosines.shape[1] > 1:
        words = "Blue: aligned. Orange: opposed. Tasks that go together lie next to each other."
        parts = [element("div", *parts), _titled("Mean cosine of each pair", figures.matrix(records), words)]
    question = lead("Do two tasks want to move what is shared the same way? Cosine of their gradients.")
    return section("pairs", "Alignment and conflicts", question, element("div", *parts, class_="pair"))


def _titled(heading: str, picture: Html, caption: str) -> Html:
    return element("div", element("h3", heading), figure(picture, caption), class_="titled")
