"""The picture in the README: verdicts of the demo's three data sets.

python docs/picture.py              draw docs/images/verdicts-{light,dark}.svg from docs/images/verdicts.json
python docs/picture.py --measure    run the comparisons first (up to half an hour) and rewrite the JSON
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

from polytask.reporting.formats import interval, percent, percent_tick
from polytask.reporting.markup import Html, element
from polytask.reporting.scales import Scale, robust

IMAGES = Path(__file__).parent / "images"
NUMBERS = IMAGES / "verdicts.json"

#: A network per school, tuned, would take hours; so would repeats of all else for 64 tasks.
SCHOOLS: dict[str, Any] = {
    "models": [
        "ridge", "lasso", "relaxed lasso", "forest", "boosting",
        "group lasso", "relaxed group lasso", "mean-regularized", "pooled boosting",
    ],
    "settings": 1, "repeats": 1, "inner_folds": 1,
}  # fmt: skip
CASES: tuple[tuple[str, str, dict[str, Any], bool], ...] = (
    ("london_schools", "London schools: exam scores, a task per school", SCHOOLS, False),
    ("meats", "Meat samples: contents from infrared spectra", {}, True),
    ("chicago", "Chicago “L”: daily rides, forward in time", {}, True),
)

LIGHT = {"ink": "#1b1d21", "muted": "#5c626c", "line": "#dcdcd6", "page": "#ffffff",
         "helped": "#1362b8", "hurt": "#ba460c", "no difference": "#70757e"}  # fmt: skip
DARK = {"ink": "#e7e9ec", "muted": "#a0a7b1", "line": "#363b43", "page": "#0d1117",
        "helped": "#68aefa", "hurt": "#f69256", "no difference": "#8c939d"}  # fmt: skip

WIDTH, LEFT, PLOT, ROW, HEAD = 880, 150, 390, 26, 34
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def measure() -> None:
    """Run the comparisons and keep what the picture shows."""
    import polytask
    from polytask import datasets

    out = []
    for name, title, settings, show_tasks in CASES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            comparison = polytask.compare(getattr(datasets, name)(), n_jobs=-1, progress=True, **settings)
        out.append(case(title, comparison.to_dict(), show_tasks))
    IMAGES.mkdir(exist_ok=True)
    NUMBERS.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n")


def case(title: str, report: dict[str, Any], show_tasks: bool) -> dict[str, Any]:
    """The part of a report that is drawn."""
    kept = ("task", "gain_percent", "low_percent", "high_percent", "verdict")
    verdicts = [report["overall"], *(report["tasks"] if show_tasks else [])]
    rows = [{k: v[k] for k in kept} for v in verdicts]
    rows[0]["task"] = f"All {len(report['tasks'])} tasks"
    return {"title": title, "summary": report["summary"], "rows": rows, "versions": report["run"]["versions"]}


def draw(cases: list[dict[str, Any]], colours: dict[str, str]) -> Html:
    """One standalone SVG."""
    rows = [row for each in cases for row in each["rows"]]
    x = robust(
        [r["gain_percent"] for r in rows], [r[k] for r in rows for k in ("low_percent", "high_percent")]
    )
    height = HEAD + sum(ROW * (len(each["rows"]) + 1) + 8 for each in cases) + 26
    parts, y = _axis(x, colours), HEAD
    for each in cases:
        parts.append(_text(each["title"], 0, y + 15, colours["ink"], weight=600))
        y += ROW
        parts += _grid(x, y, ROW * len(each["rows"]), colours)
        for k, row in enumerate(each["rows"]):
            parts += _row(row, x, y, colours, overall=k == 0)
            y += ROW
        y += 8
    caption = "Filled: decided. Hollow: open, the interval holds zero or Holm’s correction asks for more."
    parts.append(_text(caption, 0, height - 8, colours["muted"], size=12))
    title = element("title", " ".join(f"{each['title']}. {each['summary']}" for each in cases))
    return element(
        "svg", title, *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH, height=height, role="img", font_family=FONT,
    )  # fmt: skip


def _axis(x: Scale, colours: dict[str, str]) -> list[Html]:
    words, muted = "Gain from learning together, with 95 % interval", colours["muted"]
    ticks = [_text(percent_tick(v), _place(x, v), 27, muted, "middle", 12) for v in x.ticks(5)]
    return [_text(words, _place(x, 0.0), 10, muted, "middle", 12), *ticks]


def _grid(x: Scale, top: float, height: float, colours: dict[str, str]) -> list[Html]:
    lines = []
    for value in x.ticks(5):
        at, colour = _place(x, value), colours["muted" if value == 0 else "line"]
        lines.append(element("line", x1=at, x2=at, y1=top, y2=top + height, stroke=colour))
    return lines


def _row(row: dict[str, Any], x: Scale, top: float, colours: dict[str, str], overall: bool) -> list[Html]:
    y, tone = top + ROW / 2, colours[row["verdict"]]
    low, high, at = (_place(x, row[k]) for k in ("low_percent", "high_percent", "gain_percent"))
    fill = colours["page"] if row["verdict"] == "no difference" else tone
    marks = {"fill": fill, "stroke": tone, "stroke_width": 2}
    if overall:
        shape = element("path", d=f"M{at:.1f} {y - 7}l7 7-7 7-7-7z", **marks)
    else:
        shape = element("circle", cx=at, cy=y, r=4.5, **marks)
    label = row["task"].replace("_", " ")
    weight = 600 if overall else 400
    end = LEFT + PLOT
    return [
        _text(label, 14, y + 4.5, colours["ink"], weight=weight),
        element("line", x1=low, x2=high, y1=y, y2=y, stroke=tone, stroke_width=2),
        shape,
        _text(percent(row["gain_percent"]), end + 80, y + 4.5, colours["ink"], "end", weight=600),
        _text(
            interval(row["low_percent"], row["high_percent"]), end + 94, y + 4.5, colours["muted"], size=13
        ),
        _text(row["verdict"], end + 216, y + 4.5, tone, weight=weight),
    ]


def _place(x: Scale, value: float) -> float:
    return LEFT + PLOT * x.place(value)


def _text(
    text: str, x: float, y: float, colour: str, anchor: str = "start", size: int = 14, weight: int = 400
) -> Html:
    return element(
        "text", text, x=x, y=y, fill=colour, text_anchor=anchor, font_size=size, font_weight=weight
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="run the comparisons anew")
    if parser.parse_args().measure:
        measure()
    cases = json.loads(NUMBERS.read_text())
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        (IMAGES / f"verdicts-{name}.svg").write_text(draw(cases, colours) + "\n")


if __name__ == "__main__":
    main()
