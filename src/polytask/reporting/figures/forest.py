"""The gain of every task with its interval, overall on top: a table whose rows hold the plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polytask.reporting.figures import tones
from polytask.reporting.formats import finite, interval, percent, percent_tick, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import Scale, robust

#: From this many tasks on, rows are lower; past the second number they have no labels.
DENSE, BARE = 25, 150

Verdict = Mapping[str, Any]


def forest(overall: Verdict, tasks: Sequence[Verdict], level: float) -> Html:
    """The forest plot; `tasks` are drawn in the order given."""
    x = _axis([overall, *tasks])
    top = _row(overall, "Overall", x, 38, overall=True)
    if len(tasks) > BARE:
        return _table([top, _all_in_one(tasks, x)], x, level)
    height = 22 if len(tasks) > DENSE else 32
    return _table([top, *(_row(t, str(t["task"]), x, height) for t in tasks)], x, level)


def _axis(verdicts: Sequence[Verdict]) -> Scale:
    points = [v for v in (finite(v.get("gain_percent")) for v in verdicts) if v is not None]
    ends = [
        v
        for v in (finite(v.get(k)) for v in verdicts for k in ("low_percent", "high_percent"))
        if v is not None
    ]
    return robust(points, ends)


def _table(rows: Sequence[Html], x: Scale, level: float) -> Html:
    head = element(
        "tr",
        element("th", "Task", class_="label", role="columnheader"),
        element("th", _labels(x), class_="plot", role="columnheader"),
        element("th", "Gain", class_="gain", role="columnheader"),
        element("th", f"{100 * level:g} % interval", class_="interval", role="columnheader"),
        element("th", "Verdict", class_="verdict", role="columnheader"),
        role="row",
    )
    return element(
        "table",
        element("thead", head, role="rowgroup"),
        element("tbody", *rows, role="rowgroup"),
        class_="forest",
        role="table",
        aria_label="Gain from sharing per task, with intervals",
    )


def _row(verdict: Verdict, name: str, x: Scale, height: int, overall: bool = False) -> Html:
    gain, word = percent(verdict.get("gain_percent")), str(verdict.get("verdict", ""))
    ends = interval(verdict.get("low_percent"), verdict.get("high_percent"))
    plot = element(
        "svg",
        element("title", f"{shorten(name, 80)}: {gain} ({ends}), {word}"),
        *_background(x),
        *_marks(verdict, x, overall),
        width="100%",
        height=height,
        role="img",
    )
    return element(
        "tr",
        element("th", shorten(name, 44), class_="label name", scope="row", role="rowheader", title=name),
        element("td", plot, class_="plot", role="cell"),
        element("td", gain, class_="gain", role="cell"),
        element("td", ends, class_="interval", role="cell"),
        element("td", element("span", word, class_="word"), class_="verdict", role="cell"),
        class_=f"{tones.of_verdict(word)}{' overall' if overall else ''}",
        role="row",
    )


def _labels(x: Scale) -> Html:
    texts = [
        element("text", percent_tick(v), x=x.percent(v), y=13, text_anchor="middle")
        for v in x.ticks(4)
        if 0.04 < x.place(v) < 0.96
    ]
    return element("svg", *texts, width="100%", height=18, aria_hidden="true")


def _background(x: Scale) -> list[Html]:
    return [
        element(
            "line", x1=x.percent(v), x2=x.percent(v), y1="0", y2="100%", class_="zero" if v == 0 else "grid"
        )
        for v in x.ticks(4)
    ]


def _marks(verdict: Verdict, x: Scale, overall: bool) -> list[Html]:
    gain = finite(verdict.get("gain_percent"))
    if gain is None:
        return []
    ends = [finite(verdict.get(k)) for k in ("low_percent", "high_percent")]
    low, high = (gain if end is None else end for end in ends)
    marks = [element("line", x1=x.percent(low), x2=x.percent(high), y1="50%", y2="50%", class_="range")]
    if low < x.low:
        marks.append(_at("0.5%", "M7 -4 0 0 7 4", "range"))
    if high > x.high:
        marks.append(_at("99.5%", "M-7 -4 0 0 -7 4", "range"))
    if overall:
        marks.append(_at(x.percent(gain), "M0 -8 8 0 0 8 -8 0z", "mark"))
    else:
        marks.append(element("circle", cx=x.percent(gain), cy="50%", r=4.5, class_="mark"))
    return marks


def _at(x: str, path: str, class_: str) -> Html:
    """A shape of fixed size at a place along the width."""
    fill = "none" if class_ == "range" else None
    return element("svg", element("path", d=path, class_=class_, fill=fill), x=x, y="50%", overflow="visible")


def _all_in_one(tasks: Sequence[Verdict], x: Scale) -> Html:
    """One row for all tasks, when they are too many for a row each."""
    return element(
        "tr",
        element("th", f"{len(tasks)} tasks", class_="label", scope="row", role="rowheader"),
        element("td", _caterpillar(tasks, x), class_="plot", role="cell"),
        class_="all",
        role="row",
    )


def _caterpillar(tasks: Sequence[Verdict], x: Scale) -> Html:
    """Hundreds of tasks as thin lines without labels; their names show on hovering and in the table."""
    step = 5 if len(tasks) <= 400 else 3
    lines = []
    for k, task in enumerate(tasks):
        gain = finite(task.get("gain_percent"))
        if gain is None:
            continue
        low, high = (finite(task.get(key)) for key in ("low_percent", "high_percent"))
        y = k * step + step / 2
        lines.append(
            element(
                "g",
                element("title", f"{shorten(task['task'], 60)}: {percent(gain)}, {task.get('verdict')}"),
                element(
                    "line",
                    x1=x.percent(gain if low is None else low),
                    x2=x.percent(gain if high is None else high),
                    y1=y,
                    y2=y,
                    class_="range",
                    stroke_opacity=0.35,
                ),
                element("circle", cx=x.percent(gain), cy=y, r=1.8, fill="rgb(var(--tone))"),
                class_=tones.of_verdict(task.get("verdict")),
            )
        )
    title = element("title", f"Gain of each of {len(tasks)} tasks with its interval, in order of gain")
    return element("svg", title, *_background(x), *lines, width="100%", height=len(tasks) * step, role="img")
