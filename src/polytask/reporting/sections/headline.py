"""The top of the report: the verdict in a sentence, then the numbers one looks for first."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from polytask.reporting.figures import tones
from polytask.reporting.formats import clean, count, duration, finite, interval, percent, share, shorten
from polytask.reporting.markup import Html, element, join
from polytask.reporting.sections.parts import Report, level_of, plural

_MINUS = re.compile(r"(?<!\w)-(?=\d)")
VERDICTS = ("helped", "no difference", "hurt")


def headline(report: Report) -> Html:
    """Verdict and key numbers."""
    claim, colon, rest = _MINUS.sub("−", clean(report.get("summary") or "No verdict")).partition(":")
    created = str(report.get("created") or "")[:10]
    when = [" · ", element("span", created, class_="date")] if created else []
    return element(
        "header",
        element("p", "Learning apart or together", *when, class_="eyebrow"),
        element("h1", element("span", claim + colon, class_="claim"), rest),
        element("dl", *_tiles(report), class_="tiles"),
    )


def favourite(report: Report, side: str) -> tuple[str, float] | None:
    """The candidate that a side chose most, with its mean share of folds over tasks."""
    shares: dict[str, float] = {}
    tasks = report.get("tasks") or []
    for task in tasks:
        for name, value in (task.get(side) or {}).items():
            shares[str(name)] = shares.get(str(name), 0.0) + (finite(value) or 0.0)
    if not shares:
        return None
    name, total = max(shares.items(), key=lambda pair: pair[1])
    return name, total / len(tasks)


def _tiles(report: Report) -> list[Html]:
    return [tile for tile in (_overall(report), _tasks(report), _chosen(report), _effort(report)) if tile]


def _tile(label: str, *content: Any) -> Html:
    return element("div", element("dt", label), element("dd", *content), class_="tile")


def _overall(report: Report) -> Html:
    overall = report.get("overall") or {}
    tone = tones.of_verdict(overall.get("verdict"))
    ends = interval(overall.get("low_percent"), overall.get("high_percent"))
    return _tile(
        "Gain from sharing, mean over tasks",
        element("span", percent(overall.get("gain_percent")), class_=f"big {tone}"),
        element("span", f"{100 * level_of(report):g} % interval {ends}", class_="quiet"),
    )


def _tasks(report: Report) -> Html:
    tasks = report.get("tasks") or []
    counts = Counter(str(t.get("verdict")) for t in tasks)
    bars = [
        element("i", class_=tones.of_verdict(v), style=f"flex:{counts[v]}") for v in VERDICTS if counts[v]
    ]
    words = [
        join([element("span", class_=f"key {tones.of_verdict(v)}", aria_hidden="true"), f"{counts[v]} {v}"])
        for v in VERDICTS
        if counts[v] or v != "no difference"
    ]
    spaced = join(
        part for word in words for part in (element("span", word, style="white-space:nowrap"), "  ")
    )
    return _tile(
        "Verdict per task",
        element("span", plural(len(tasks), "task"), class_="mid"),
        element("div", *bars, class_="stack", aria_hidden="true"),
        element("span", spaced, class_="quiet"),
    )


def _chosen(report: Report) -> Html | None:
    lines = []
    for side, label in (("sharing", "together"), ("single", "apart")):
        found = favourite(report, side)
        if found:
            lines.append(element("div", shorten(found[0], 40), class_="mid", title=found[0]))
            lines.append(element("span", f"{label}, in {share(found[1])} of choices", class_="quiet"))
    return _tile("Chosen most", *lines) if lines else None


def _effort(report: Report) -> Html | None:
    run = report.get("run") or {}
    if not run:
        return None
    seconds = {"single": 0.0, "sharing": 0.0}
    for candidate in report.get("candidates") or []:
        seconds[candidate["role"]] += finite(candidate.get("seconds")) or 0.0
    size = f"{count(run.get('n_rows'))} rows × {count(run.get('n_features'))} features"
    cost = (
        f"compute: {duration(seconds['single'])} apart, {duration(seconds['sharing'])} together"
        if seconds
        else ""
    )
    return _tile(
        "What it took",
        element("div", duration(run.get("seconds")), class_="mid"),
        element("span", cost, class_="quiet"),
        element("span", size, class_="quiet"),
    )
