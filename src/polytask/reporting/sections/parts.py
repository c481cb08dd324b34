"""What sections are made of: headed boxes, figures with captions, tables of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polytask.reporting.formats import finite
from polytask.reporting.markup import Html, element

Report = Mapping[str, Any]


def section(id_: str, heading: str, *children: Any) -> Html:
    return element("section", element("h2", heading), *children, id=id_)


def lead(*children: Any) -> Html:
    return element("p", *children, class_="lead")


def figure(picture: Html, caption: Any = None) -> Html:
    return element("figure", picture, element("figcaption", caption) if caption else "")


def details(summary: str, *children: Any, open_: bool = False) -> Html:
    return element("details", element("summary", summary), *children, open=open_)


def cell(content: Any, class_: str | None = None, **attributes: Any) -> Html:
    return element("td", content, class_=class_, **attributes)


def name_cell(shown: str, full: str) -> Html:
    """The first cell of a row: its name, in full on hovering."""
    return element("th", shown, class_="text name", scope="row", title=full)


def data_table(label: str, columns: Sequence[tuple[str, str | None]], rows: Iterable[Sequence[Html]]) -> Html:
    """A table that scrolls sideways where the page is narrow.

    Parameters
    ----------
    label : str
        What the table holds, for screen readers.
    columns : sequence of (heading, style class)
    rows : iterable of cells
    """
    head = [element("th", heading, class_=class_, scope="col") for heading, class_ in columns]
    return wrapped(label, head, [element("tr", *cells) for cells in rows])


def wrapped(label: str, head: Sequence[Html], body: Sequence[Html]) -> Html:
    """Head and body rows as a table in a box of its own."""
    table = element("table", element("thead", element("tr", *head)), element("tbody", *body), class_="data")
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def tasks_of(report: Report) -> list[Mapping[str, Any]]:
    """Task results, the largest gain first; tasks without a gain last."""
    tasks = list(report.get("tasks") or [])
    return sorted(tasks, key=lambda t: _descending(t.get("gain_percent")))


def level_of(report: Report) -> float:
    return finite((report.get("run") or {}).get("level")) or 0.95


def plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _descending(value: Any) -> float:
    value = finite(value)
    return float("inf") if value is None else -value
