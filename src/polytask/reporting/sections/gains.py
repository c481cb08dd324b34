"""Gain per task: the forest plot, and all its numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytask.reporting.figures import tones
from polytask.reporting.figures.forest import BARE, DENSE, forest
from polytask.reporting.formats import (
    NOTHING,
    count,
    finite,
    interval,
    number,
    p_value,
    percent,
    share,
    shorten,
)
from polytask.reporting.markup import Html, element, join
from polytask.reporting.sections.parts import (
    Report,
    cell,
    data_table,
    details,
    figure,
    lead,
    level_of,
    name_cell,
    section,
    tasks_of,
)


def gains(report: Report) -> Html | None:
    """The section, or nothing if no task was compared."""
    tasks = tasks_of(report)
    if not tasks:
        return None
    level = level_of(report)
    picture = forest(report.get("overall") or {}, tasks, level)
    return section(
        "gains",
        "Gain per task",
        lead(
            "How much lower the loss is when the tasks are learned together, in per cent of the loss when "
            "each is learned alone. Right of zero, sharing is better."
        ),
        figure(picture, _caption(len(tasks))),
        details("All numbers per task", _table(tasks, level)),
    )


def _caption(n: int) -> str:
    marks = (
        "Filled marks are decided verdicts, hollow ones are open; an arrow means that the interval goes on."
    )
    order = " Tasks are in order of gain." if n > DENSE else ""
    names = " Names show on hovering and in the table below." if n > BARE else ""
    return f"{marks}{order}{names}"


def _table(tasks: list[Mapping[str, Any]], level: float) -> Html:
    columns: list[tuple[str, str | None]] = [
        ("Task", "text name"),
        ("Gain", None),
        (f"{100 * level:g} % interval", None),
        ("p (Holm)", None),
        ("Verdict", "text"),
        ("Rows to settle", None),
        ("Loss apart", None),
        ("Loss together", None),
        ("Loss of a constant", None),
        ("Metric, apart → together", "text"),
        ("Labels", None),
        ("Kind", "text"),
        ("Chosen together", "text"),
        ("Chosen apart", "text"),
    ]
    return data_table("All numbers per task", columns, [_row(t) for t in tasks])


def _row(task: Mapping[str, Any]) -> list[Html]:
    name, word = str(task.get("task")), str(task.get("verdict"))
    return [
        name_cell(shorten(name, 36), name),
        cell(percent(task.get("gain_percent")), "strong"),
        cell(interval(task.get("low_percent"), task.get("high_percent"))),
        cell(p_value(task.get("p_adjusted"))),
        cell(element("span", word, class_=f"word {tones.of_verdict(word)}"), "text"),
        cell(_settle(task)),
        cell(number(task.get("loss_single"))),
        cell(number(task.get("loss_sharing"))),
        cell(number(task.get("loss_null"))),
        cell(_metrics(task), "text"),
        cell(count(task.get("labels", task.get("n")))),
        cell(str(task.get("kind") or NOTHING), "text"),
        cell(_shares(task.get("sharing")), "text"),
        cell(_shares(task.get("single")), "text"),
    ]


def _settle(task: Mapping[str, Any]) -> str:
    """Rows to settle an open verdict; a decided one needs none."""
    if task.get("verdict") != "no difference":
        return NOTHING
    rows = finite(task.get("rows_to_settle"))
    return "over 10 million" if rows is not None and rows > 1e7 else count(rows)


def _metrics(task: Mapping[str, Any]) -> Any:
    sides = task.get("metrics") or {}
    apart, together = sides.get("single") or {}, sides.get("sharing") or {}
    lines = [
        f"{m} {number(apart.get(m))} → {number(together.get(m))}" for m in dict.fromkeys([*apart, *together])
    ]
    return join(part for line in lines for part in (element("div", line),)) if lines else NOTHING


def _shares(chosen: Any) -> str:
    """Candidates with the share of folds that chose them, most chosen first."""
    pairs = sorted((chosen or {}).items(), key=lambda kv: -(finite(kv[1]) or 0.0))
    return ", ".join(f"{shorten(name, 30)} {share(value)}" for name, value in pairs) or NOTHING
