"""Method × task: what every candidate gained over the chosen single-task side, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polytask.reporting.figures import tones
from polytask.reporting.figures.strip import strip
from polytask.reporting.formats import NOTHING, count, duration, finite, p_value, percent, share, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import (
    Report,
    cell,
    figure,
    lead,
    name_cell,
    section,
    tasks_of,
    wrapped,
)

#: Up to these many tasks each has a column of numbers; beyond, a coloured strip.
COLUMNS = 7

Candidate = Mapping[str, Any]
_SIDES = (("sharing", "Learning together"), ("single", "Learning apart"))


def methods(report: Report) -> Html | None:
    """The section, or nothing if there are no candidates."""
    candidates = report.get("candidates") or []
    names = [str(t["task"]) for t in tasks_of(report)]
    if not candidates or not names:
        return None
    limit = tones.limit_of(r.get("gain_percent") for c in candidates for r in (c.get("tasks") or {}).values())
    few = len(names) <= COLUMNS
    head = _head(names, few)
    body: list[Html] = []
    for role, heading in _SIDES:
        group = sorted((c for c in candidates if c.get("role") == role), key=_rank)
        if group:
            body.append(
                element(
                    "tr",
                    element("th", heading, class_="text", colspan=len(head), scope="rowgroup"),
                    class_="group",
                )
            )
            body += [element("tr", *_row(c, names, few, limit, _share(report, c))) for c in group]
    return section(
        "methods",
        "Methods and tasks",
        lead(
            "Gain of every candidate over the chosen single-task side, with its compute time next to it. "
            "Each had the same folds and the same tuning effort."
        ),
        figure(wrapped("Gain of every candidate per task", head, body), _caption(few, limit)),
    )


def _caption(few: bool, limit: float) -> str:
    rule = "corrected by Holm over all tasks × candidates"
    start = (
        f"Bold numbers differ from zero, {rule}."
        if few
        else f"One cell a task, in order of the gains above; names on hovering. Better and worse: {rule}."
    )
    return (
        f"{start} Blue is better, orange worse, in full colour from {limit:.0f} % on. A single-task "
        "candidate is below zero where the chosen side is better than it. “Chosen” is the share of folds "
        "and tasks in which its side picked it by inner validation."
    )


def _head(names: Sequence[str], few: bool) -> list[Html]:
    tasks = (
        [element("th", shorten(n, 18), class_="name", scope="col", title=n) for n in names]
        if few
        else [_th("Gain by task", "text"), _th("Better"), _th("Worse")]
    )
    return [_th("Candidate", "text name"), _th("Mean gain"), _th("Time"), _th("Chosen"), *tasks]


def _th(text: str, class_: str | None = None) -> Html:
    return element("th", text, class_=class_, scope="col")


def _row(
    candidate: Candidate, names: Sequence[str], few: bool, limit: float, chosen: float | None
) -> list[Html]:
    name = str(candidate.get("name"))
    results = candidate.get("tasks") or {}
    delta = finite(candidate.get("delta_percent"))
    mean = (
        cell(percent(delta), "strong")
        if delta is not None
        else cell(NOTHING, title="It does not cover all tasks.")
    )
    tried = candidate.get("settings_tried")
    head = [
        name_cell(shorten(name, 40), name),
        mean,
        cell(
            duration(candidate.get("seconds")),
            title=None if tried is None else f"{count(tried)} settings tried",
        ),
        cell(NOTHING if chosen is None else share(chosen)),
    ]
    if few:
        return [*head, *(_heat(results.get(n), limit) for n in names)]
    gains = [finite((results.get(n) or {}).get("gain_percent")) for n in names]
    picture = strip(f"{shorten(name, 40)}: gain in each of {len(names)} tasks", names, gains, limit)
    words = [r.get("verdict") for r in results.values()]
    return [
        *head,
        cell(picture, "text stripcell"),
        cell(count(words.count("helped"))),
        cell(count(words.count("hurt"))),
    ]


def _heat(result: Mapping[str, Any] | None, limit: float) -> Html:
    if result is None:
        return cell(NOTHING, title="It cannot learn this task.")
    tone, strength = tones.of_value(result.get("gain_percent"), limit)
    decided = result.get("verdict") in ("helped", "hurt")
    return cell(
        percent(result.get("gain_percent")),
        f"heat {tone}{' strong' if decided else ''}",
        style=f"--a:{strength:.2f}",
        title=f"{result.get('verdict')}, p {p_value(result.get('p_adjusted'))}",
    )


def _share(report: Report, candidate: Candidate) -> float | None:
    tasks = report.get("tasks") or []
    side = str(candidate.get("role"))
    shares = [finite((t.get(side) or {}).get(candidate.get("name"))) or 0.0 for t in tasks]
    return sum(shares) / len(shares) if shares else None


def _rank(candidate: Candidate) -> float:
    delta = finite(candidate.get("delta_percent"))
    return float("inf") if delta is None else -delta
