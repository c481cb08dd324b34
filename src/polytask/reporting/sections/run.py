"""The small print: what was run and how long, notes, tasks left out, versions, seeds."""

from __future__ import annotations

from collections.abc import Mapping
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
    says = f"{plural(len(left_out), 'task')} could not be compared and {'is' if len(left_out) == 1 else 'are'} still predicted by the best model"
    if len(items) <= 5:
        return element("div", element("p", f"{says}:"), element("ul", *items))
    return details(says, element("ul", *items))


def _plan(report: Report, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    budget = finite(facts.get("budget"))
    candidates = [str(c.get("name")) for c in report.get("candidates") or []]
    size = f"{count(facts.get('n_rows'))} rows × {count(facts.get('n_features'))} features, {facts.get('form', 'wide')} form"
    rows = [
        ("Data", size if facts.get("n_rows") is not None else ""),
        (
            "Outer folds",
            f"{count(facts.get('folds'))}, repeated {_times(facts.get('repeats'))}"
            if facts.get("folds")
            else "",
        ),
        ("Inner folds", count(facts.get("inner_folds")) if facts.get("inner_folds") else ""),
        ("Settings", f"up to {count(facts.get('settings'))} per family" if facts.get("settings") else ""),
        ("Seed", str(facts["seed"]) if facts.get("seed") is not None else ""),
        ("Level of intervals", share(facts.get("level")) if facts.get("level") is not None else ""),
        (
            "Time",
            f"{duration(facts.get('seconds'))}{'' if budget is None else f' (budget {duration(budget)})'}"
            if facts.get("seconds") is not None
            else "",
        ),
        ("Candidates", ", ".join(candidates)),
    ]
    return [(term, text) for term, text in rows if text]


def _times(repeats: Any) -> str:
    repeats = finite(repeats) or 1
    return "once" if repeats == 1 else "twice" if repeats == 2 else f"{repeats:.0f} times"


def _environment(report: Report, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("polytask", str(report.get("polytask") or "")), ("Created", str(report.get("created") or ""))]
    rows += [(str(k), str(v)) for k, v in (facts.get("versions") or {}).items() if k != "polytask"]
    rows += [(str(k).replace("_", " "), str(v)) for k, v in (facts.get("hardware") or {}).items()]
    return [(term, text) for term, text in rows if text]


def _list(rows: list[tuple[str, str]]) -> Html:
    pairs = [part for term, text in rows for part in (element("dt", term), element("dd", text))]
    return element("dl", *pairs, class_="run")
