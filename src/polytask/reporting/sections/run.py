"""The small print: what was run and how long, notes, tasks left out, versions, seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from polytask.reporting.formats import count, duration, finite, share, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import Report, details, plural, section


def run(report: Report) -> Html:
    """The section; always there."""
    facts = report.get("run") or {}
    return section(
        "run",
        "What was run",
        _notes(report.get("notes") or []),
        _left_out(report.get("left_out") or {}),
        _list(_plan(report, facts)),
        details("Versions and hardware", _list(_environment(report, facts))),
    )


def _notes(notes: Any) -> Html | str:
    return element("ul", *(element("li", str(n)) for n in notes)) if notes else ""


def _left_out(left_out: Mapping[str, Any]) -> Html | str:
    """Tasks that could not be compared; many of them are folded up."""
    if not left_out:
        return ""
    items = [
        element("li", element("strong", shorten(t, 60), class_="name"), f": {why}")
        for t, why in left_out.items()
    ]
    says = f"Not compared, but still predicted by the best model: {plural(len(left_out), 'task')}"
    if len(items) <= 5:
        return element("div", element("p", says), element("ul", *items))
    return details(says, element("ul", *items))


def _plan(report: Report, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Terms and what they were; terms that the report does not know are left out."""
    budget = "" if finite(facts.get("budget")) is None else f" (budget {duration(facts['budget'])})"
    form = {"wide": "a column per task", "long": "a task column", "dict": "a table per task"}
    words: dict[str, tuple[str, Callable[[Any], str]]] = {
        "n_rows": ("Rows", count),
        "n_features": ("Features", count),
        "form": ("Tasks given as", lambda v: form.get(v, str(v))),
        "folds": ("Outer folds", count),
        "repeats": ("Repeats", count),
        "inner_folds": ("Inner folds", count),
        "settings": ("Settings", lambda v: f"up to {count(v)} per family"),
        "seed": ("First seed", str),
        "level": ("Level of intervals", share),
        "seconds": ("Time", lambda v: duration(v) + budget),
    }
    rows = [(term, says(facts[key])) for key, (term, says) in words.items() if facts.get(key) is not None]
    candidates = ", ".join(str(c.get("name")) for c in report.get("candidates") or [])
    return [*rows, ("Candidates", candidates)] if candidates else rows


def _environment(report: Report, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("polytask", str(report.get("polytask") or "")), ("Created", str(report.get("created") or ""))]
    rows += [(str(k), str(v)) for k, v in (facts.get("versions") or {}).items() if k != "polytask"]
    rows += [(str(k).replace("_", " "), str(v)) for k, v in (facts.get("hardware") or {}).items()]
    return [(term, text) for term, text in rows if text]


def _list(rows: list[tuple[str, str]]) -> Html:
    pairs = [part for term, text in rows for part in (element("dt", term), element("dd", text))]
    return element("dl", *pairs, class_="run")
