"""The facts behind the verdicts: similarity of the tasks, sizes, noise, and the gain with fewer rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polytask.reporting.figures.scatter import Point, scatter
from polytask.reporting.figures.similarity import NAMES, as_matrix, clustered_order, similarity
from polytask.reporting.figures.thinning import known_points, thinning
from polytask.reporting.formats import count, finite, number, percent, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import (
    Report,
    cell,
    data_table,
    details,
    figure,
    lead,
    name_cell,
    section,
    tasks_of,
)

_FACTS = (
    ("labels", "Number of labels", count),
    ("noise", "Noise: best loss ÷ loss of a constant", number),
    ("similarity", "Mean similarity to the other tasks", number),
)
_ENOUGH = 6  # fewer points than this make no picture


def why(report: Report) -> Html | None:
    """The section, or nothing if no facts were gathered."""
    explain = report.get("explain") or {}
    facts = explain.get("tasks") or {}
    pictures = [
        p
        for p in (_similarity(explain.get("similarity") or {}), _thinning(explain.get("thinning") or []))
        if p
    ]
    parts: list[Html] = [element("div", *pictures, class_="pair")] if pictures else []
    if facts:
        parts += _facts(tasks_of(report), facts)
    if not parts:
        return None
    words = lead(
        "Sharing pays when tasks are alike, and most where labels are few or noisy. What the data say:"
    )
    return section("why", "Why", words, *parts)


def _similarity(found: Mapping[str, Any]) -> Html | None:
    names, values = [str(n) for n in found.get("tasks") or []], found.get("matrix") or []
    if len(names) < 2 or len(values) != len(names):
        return None
    matrix = as_matrix(values)
    order = clustered_order(matrix)
    legend = element(
        "span",
        *(
            part
            for tone, strength, word in (
                ("hurt", 0.9, "opposite (−1)"),
                ("same", 0, "unrelated (0)"),
                ("helped", 0.9, "alike (1)"),
            )
            for part in (_swatch(tone, strength), word)
        ),
    )
    caption = element(
        "span",
        legend,
        element("br"),
        "Do the same features act in the same way? Cosine of the tasks’ ridge coefficients.",
    )
    pairs = _pairs(names, matrix) if len(names) > NAMES else ""
    return element(
        "div",
        element("h3", "Similarity of the tasks"),
        figure(similarity(names, matrix, order), caption),
        pairs,
    )


def _swatch(tone: str, strength: float) -> Html:
    if not strength:
        return element("i", class_="swatch blank", aria_hidden="true")
    return element("i", class_=f"swatch tint {tone}", style=f"--a:{strength}", aria_hidden="true")


def _pairs(names: Sequence[str], matrix: np.ndarray) -> Html:
    """The pairs most and least alike, since names do not fit next to the matrix."""
    i, j = np.triu_indices(len(names), 1)
    order = np.argsort(-matrix[i, j], kind="stable")

    def says(k: int) -> str:
        value = f"{matrix[i[k], j[k]]:.2f}".replace("-", "−")
        return f"{shorten(names[i[k]], 24)} and {shorten(names[j[k]], 24)} ({value})"

    most, least = "; ".join(map(says, order[:3])), "; ".join(map(says, order[:-4:-1]))
    return element("p", f"Most alike: {most}. Least alike: {least}.", class_="quiet")


def _thinning(points: Sequence[Mapping[str, Any]]) -> Html | None:
    known = known_points(points)
    if len(known) < 2:
        return None
    caption = (
        "Share of the training rows used → overall gain with its interval. A gain that shrinks to the "
        "right is one that more data would also bring."
    )
    return element("div", element("h3", "The gain with fewer rows"), figure(thinning(known), caption))


def _facts(tasks: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    columns: list[tuple[str, str | None]] = [
        ("Task", "text name"),
        ("Labels", None),
        ("Noise", None),
        ("Similarity", None),
        ("Gain", None),
    ]
    table = data_table(
        "Facts per task", columns, [_row(t, facts.get(str(t.get("task"))) or {}) for t in tasks]
    )
    pictures = [_against(key, label, form, tasks, facts) for key, label, form in _FACTS]
    pictures = [p for p in pictures if p]
    if not pictures:
        return [element("h3", "Facts per task", style="margin-top:1.4rem"), table]
    return [
        element("h3", "Gain against …", style="margin-top:1.4rem"),
        element("div", *pictures, class_="multiples"),
        details("Facts per task as a table", table),
    ]


def _row(task: Mapping[str, Any], fact: Mapping[str, Any]) -> list[Html]:
    name = str(task.get("task"))
    values = [cell(form(fact.get(key))) for key, _, form in _FACTS]
    return [name_cell(shorten(name, 60), name), *values, cell(percent(task.get("gain_percent")))]


def _against(
    key: str,
    label: str,
    form: Any,
    tasks: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Mapping[str, Any]],
) -> Html | None:
    points: list[Point] = []
    for task in tasks:
        value, gain = finite((facts.get(str(task["task"])) or {}).get(key)), finite(task.get("gain_percent"))
        if value is not None and gain is not None:
            points.append((str(task["task"]), value, gain, str(task.get("verdict"))))
    if len(points) < _ENOUGH or len({p[1] for p in points}) < 2:
        return None
    return figure(scatter(f"Gain per task against: {label}", points, form), f"{label} → gain")
