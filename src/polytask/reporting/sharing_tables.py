"""Architectures, and the parts of one, as tables: for pages and as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from polytask.reporting.figures.architecture.columns import home
from polytask.reporting.formats import NOTHING, count, finite, share, shorten
from polytask.reporting.markup import Html
from polytask.reporting.sections.parts import cell, data_table, name_cell

Description = Mapping[str, Any]
Flops = Mapping[str, int]

_PARTS = ("Part", "Kind", "How many", "Used by", "Parameters each", "In all", "Share")
_ARCHITECTURES = ("Architecture", "Tasks", "Parameters", "Shared", "Share", "Own, per task", "FLOPs per row")
_TEXT = frozenset({"Part", "Kind", "Used by", "Architecture"})
_NAME = 44  # letters of a name


class PartGroup(NamedTuple):
    """Equal parts of several tasks, or one part."""

    name: str
    kind: str
    how_many: int
    used_by: str
    each: int
    share: float

    @property
    def in_all(self) -> int:
        return self.how_many * self.each


def part_groups(description: Description) -> list[PartGroup]:
    """The parts in their order; what each task has the same of counts as one."""
    tasks = list(description["heads"])
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for k, part in enumerate(description["parts"]):
        alike = len(tasks) > 1 and not part["shared"] and len(part["tasks"]) == 1
        key = (_label(part, tasks), part["kind"], part["layer"], part["parameters"]) if alike else (k,)
        found.setdefault(key, []).append(part)
    total = max(1, int(description["parameters"]))
    return [_group(equal, tasks, total) for equal in found.values()]


def own_per_task(description: Description) -> str:
    """Parameters that a task has for itself, from the fewest to the most."""
    own = dict.fromkeys(description["heads"], 0)
    for part in description["parts"]:
        if not part["shared"] and len(part["tasks"]) == 1:
            own[part["tasks"][0]] += int(part["parameters"])
    low, high = min(own.values()), max(own.values())
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def shared_share(description: Description) -> float | None:
    """Share of the parameters that are shared, between 0 and 1."""
    total = finite(description["parameters"])
    return description["shared_parameters"] / total if total else None


def parts_table(description: Description) -> Html:
    """The parts of an architecture, for a page."""
    return _html("Parts of the architecture", _PARTS, _part_rows(description))


def parts_text(description: Description) -> str:
    """The parts of an architecture as aligned lines."""
    return _text(_PARTS, _part_rows(description))


def architectures_table(descriptions: Sequence[Description], flops: Flops | None = None) -> Html:
    """Architectures side by side, for a page.

    Parameters
    ----------
    descriptions : sequence of dict
        As `polytask.sharing.Sharing.describe` gives them.
    flops : mapping of str to int, optional
        Name of an architecture → operations of one row's forward pass, `Sharing.flops`.
    """
    return _html("Architectures", *_architecture_rows(descriptions, flops))


def architectures_text(descriptions: Sequence[Description], flops: Flops | None = None) -> str:
    """Architectures side by side as aligned lines; parameters as for `architectures_table`."""
    return _text(*_architecture_rows(descriptions, flops))


def _part_rows(description: Description) -> list[tuple[str, ...]]:
    return [
        (g.name, g.kind, count(g.how_many), g.used_by, count(g.each), count(g.in_all), _share(g.share))
        for g in part_groups(description)
    ]


def _architecture_rows(
    descriptions: Sequence[Description], flops: Flops | None
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows: list[tuple[str, ...]] = [
        (
            str(d["name"]),
            count(len(d["heads"])),
            count(d["parameters"]),
            count(d["shared_parameters"]),
            _share(shared_share(d)),
            own_per_task(d),
            count((flops or {}).get(str(d["name"]))),
        )
        for d in descriptions
    ]
    known = any(row[-1] != NOTHING for row in rows)
    columns: tuple[str, ...] = _ARCHITECTURES
    return (columns, rows) if known else (columns[:-1], [row[:-1] for row in rows])


def _group(equal: Sequence[Mapping[str, Any]], tasks: Sequence[str], total: int) -> PartGroup:
    first, n = equal[0], len(equal)
    used = list(dict.fromkeys(task for part in equal for task in part["tasks"]))
    if n > 1:
        name, users = _label(first, tasks), f"{n} tasks, one each"
    else:
        name = str(first["name"])
        users = "all tasks" if len(used) == len(tasks) > 1 else shorten(", ".join(used), _NAME) or "no task"
    each = int(first["parameters"])
    return PartGroup(name, str(first["kind"]), n, users, each, n * each / total)


def _label(part: Mapping[str, Any], tasks: Sequence[str]) -> str:
    mine = home(part, tasks)
    return str(part["name"]).removesuffix(f" of {mine}")


def _share(value: float | None) -> str:
    """In per cent, with a trace that is not nothing."""
    return "<1 %" if value is not None and 0 < value < 0.005 else share(value)


def _html(label: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    heads = [(name, "text" if name in _TEXT else None) for name in columns]
    body = [
        [
            name_cell(shorten(first, _NAME), first),
            *(cell(value, "text" if name in _TEXT else None) for name, value in zip(columns[1:], rest)),
        ]
        for first, *rest in rows
    ]
    return data_table(label, heads, body)


def _text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, *([shorten(value, _NAME) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(
            value.ljust(width) if name in _TEXT else value.rjust(width)
            for name, value, width in zip(columns, line, widths)
        ).rstrip()
        for line in lines
    )
