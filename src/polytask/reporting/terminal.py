"""A comparison on a terminal: the verdict first, then the tasks, then the methods.

Tables are drawn by rich where it is installed and the output is a terminal; otherwise as aligned plain text.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from polytask.reporting.formats import (
    NOTHING,
    clean,
    count,
    duration,
    finite,
    interval,
    number,
    p_value,
    percent,
    shorten,
)

#: With more tasks than this only the ends are listed, this many in all.
ROWS = 24

_WIDTH_OF_NAMES = 36
_COLOURS = {"helped": "green", "hurt": "red"}


@dataclass(frozen=True)
class Table:
    """Plain data of a table: text everywhere, the verdict of a row decides its colour."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    verdicts: list[str]
    left: tuple[int, ...]  # columns aligned to the left
    note: str = ""


def print_comparison(report: Mapping[str, Any], file: IO[str] | None = None) -> None:
    """Print a comparison.

    Parameters
    ----------
    report : dict
        As `Comparison.to_dict` gives it.
    file : text file, optional
        Standard output by default.
    """
    file = sys.stdout if file is None else file
    tables = [t for t in (_tasks(report), _methods(report)) if t.rows]
    if not (file.isatty() and _print_rich(report, tables, file)):
        print(_plain(report, tables), file=file)


def _tasks(report: Mapping[str, Any]) -> Table:
    tasks = sorted(report.get("tasks") or [], key=lambda t: -(finite(t.get("gain_percent")) or 0.0))
    level = finite((report.get("run") or {}).get("level")) or 0.95
    note = ""
    if len(tasks) > ROWS:
        note = f"{len(tasks) - ROWS} tasks in between are not shown; the report holds all {len(tasks)}."
        tasks = [*tasks[: ROWS // 2], *tasks[-ROWS // 2 :]]
    shown = [*tasks, {**(report.get("overall") or {}), "task": "overall"}] if tasks else []
    columns = ("task", "labels", "gain", f"{100 * level:g} % interval", "p (Holm)", "verdict", "metric")
    return Table(
        "Gain from learning together",
        columns,
        [_task_row(t) for t in shown],
        [str(t.get("verdict")) for t in shown],
        (0, 5, 6),
        note,
    )


def _task_row(task: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        shorten(task.get("task"), _WIDTH_OF_NAMES),
        count(task["labels"]) if "labels" in task else "",
        percent(task.get("gain_percent")),
        interval(task.get("low_percent"), task.get("high_percent")),
        p_value(task.get("p_adjusted")),
        str(task.get("verdict") or NOTHING),
        _metric(task.get("metrics") or {}),
    )


def _metric(sides: Mapping[str, Any]) -> str:
    """The task's first metric, apart → together."""
    apart, together = sides.get("single") or {}, sides.get("sharing") or {}
    name = next(iter([*apart, *together]), None)
    return "" if name is None else f"{name} {number(apart.get(name))} → {number(together.get(name))}"


def _methods(report: Mapping[str, Any]) -> Table:
    candidates = sorted(report.get("candidates") or [], key=_rank)
    rows: list[tuple[str, ...]] = []
    for c in candidates:
        words = [r.get("verdict") for r in (c.get("tasks") or {}).values()]
        role = {"single": "apart", "sharing": "together"}.get(str(c.get("role")), str(c.get("role")))
        rows.append(
            (
                shorten(c.get("name"), _WIDTH_OF_NAMES),
                role,
                percent(c.get("delta_percent")),
                count(words.count("helped")),
                count(words.count("hurt")),
                duration(c.get("seconds")),
            )
        )
    columns = ("method", "learns", "mean gain", "better", "worse", "time")
    return Table("Methods, against the chosen single-task side", columns, rows, [""] * len(rows), (0, 1))


def _rank(candidate: Mapping[str, Any]) -> float:
    delta = finite(candidate.get("delta_percent"))
    return float("inf") if delta is None else -delta


def _remarks(report: Mapping[str, Any]) -> list[str]:
    left_out = report.get("left_out") or {}
    remarks = [f"Note: {clean(note)}." for note in report.get("notes") or []]
    remarks += [
        f"Left out: {shorten(t, _WIDTH_OF_NAMES)} ({clean(why)})." for t, why in list(left_out.items())[:5]
    ]
    if len(left_out) > 5:
        remarks.append(f"Left out: {len(left_out) - 5} more tasks; the report names them.")
    return remarks


def _plain(report: Mapping[str, Any], tables: Sequence[Table]) -> str:
    parts = [clean(report.get("summary") or "")]
    for table in tables:
        lines = _aligned([table.columns, *table.rows], table.left)
        parts.append("\n".join([table.title, *lines, *([table.note] if table.note else [])]))
    remarks = _remarks(report)
    if remarks:
        parts.append("\n".join(remarks))
    return "\n\n".join(parts)


def _aligned(rows: Sequence[tuple[str, ...]], left: tuple[int, ...]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def _print_rich(report: Mapping[str, Any], tables: Sequence[Table], file: IO[str]) -> bool:
    """Draw with rich; False if it is not installed."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text
    except ImportError:
        return False
    console = Console(file=file, width=shutil.get_terminal_size().columns, highlight=False)
    verdict = str((report.get("overall") or {}).get("verdict"))
    console.print(Text(clean(report.get("summary") or ""), style=f"bold {_COLOURS.get(verdict, '')}".strip()))
    for table in tables:
        drawn = RichTable(
            title=table.title,
            title_justify="left",
            title_style="bold",
            caption=table.note or None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for k, name in enumerate(table.columns):
            drawn.add_column(
                Text(name), justify="left" if k in table.left else "right", no_wrap=True, overflow="ellipsis"
            )
        for row, word in zip(table.rows, table.verdicts):
            drawn.add_row(*(Text(c) for c in row), style=_COLOURS.get(word))
        console.print()
        console.print(drawn)
    for remark in _remarks(report):
        console.print(Text(remark, style="dim"))
    return True
