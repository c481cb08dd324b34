"""The boxes of the drawing: a part of the architecture each, or several equal ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polytask.reporting.figures.architecture.columns import (
    Column,
    Description,
    home,
    named_after,
    ordered_tasks,
)

#: Kinds in the order in which they are stacked within a layer, the lowest first.
KINDS = ("condition", "layer", "expert", "attention", "stitch", "gate", "head")


@dataclass(frozen=True)
class Box:
    """One or several parts at the same place.

    Attributes
    ----------
    parts : tuple of dict
        As `complete` gives them.
    label : str
    kind : str
    layer : int
    tasks : tuple of str
        Tasks whose outputs depend on it.
    first, last : int
        Columns that it spans.
    """

    parts: tuple[Mapping[str, Any], ...]
    label: str
    kind: str
    layer: int
    tasks: tuple[str, ...]
    first: int
    last: int

    @property
    def parameters(self) -> int:
        return sum(int(part["parameters"]) for part in self.parts)

    @property
    def takes_input(self) -> bool:
        """Whether it takes x itself."""
        return any(part["takes_input"] for part in self.parts)

    @property
    def short(self) -> str:
        """The label where there is little room."""
        return self.kind if len(self.parts) == 1 else f"{len(self.parts)} ×"

    @property
    def is_wide(self) -> bool:
        return self.last > self.first


def complete(description: Description) -> Description:
    """The description with more about each part than the drawing could see from the part alone.

    Parts that hold several equal modules are taken apart, where "members" names these. "takes_input" says
    whether a part takes x: one does that has no inputs, or none that depends on x. What describes a task
    has no inputs and does not depend on x; it is drawn just below what takes it.
    """
    parts: list[dict[str, Any]] = []
    reached: set[str] = set()
    for part in _apart(description):
        from_below = any(name in reached for name in part["inputs"])
        describes = part["kind"] == "condition" and not part["inputs"]
        if not describes:
            reached.add(part["name"])
        parts.append({**part, "takes_input": not describes and not from_below})
    for part in parts:
        if not part["inputs"] and not part["takes_input"]:
            above = [p["layer"] for p in parts if part["name"] in p["inputs"]]
            part["layer"] = max(part["layer"], min(above, default=1) - 1)
    return {**description, "parts": parts}


def _apart(description: Description) -> list[dict[str, Any]]:
    """A part for each member; where names say whose it is, it takes that of the same task alone."""
    held = {part["name"]: list(part.get("members") or [part["name"]]) for part in description["parts"]}
    tasks = list(description["heads"])
    parts = []
    for part in description["parts"]:
        names = held[part["name"]]
        for name in names:
            mine = named_after(name, tasks)
            inputs = [i for below in part["inputs"] for i in _of_task(held.get(below, []), mine, tasks)]
            each = int(part["parameters"]) // len(names)
            parts.append({**part, "name": name, "inputs": inputs, "parameters": each})
    return parts


def boxes(description: Description, columns: Sequence[Column], apart: bool) -> list[Box]:
    """A box for each part, parts of folded tasks as one.

    Parameters
    ----------
    description : dict
        As `complete` gives it.
    columns : sequence of Column
    apart : bool
        Whether parts that belong to no single task have a column of their own, on the left.
    """
    tasks = ordered_tasks(description)
    place = {task: k + apart for k, column in enumerate(columns) for task in column.tasks}
    folded = {k + apart for k, column in enumerate(columns) if column.is_folded}
    found: dict[tuple[Any, ...], list[Box]] = {}
    for k, part in enumerate(description["parts"]):
        made = _box(part, tasks, place, apart)
        alike = made.first in folded and not made.is_wide
        key = (made.first, made.layer, made.kind) if alike else (k,)
        found.setdefault(key, []).append(made)
    return [merged(equal) for equal in found.values()]


def merged(equal: Sequence[Box]) -> Box:
    """Several boxes at one place as one."""
    if len(equal) == 1:
        return equal[0]
    first = equal[0]
    labels = {box.label for box in equal}
    word = labels.pop() if len(labels) == 1 else first.kind
    parts = tuple(part for box in equal for part in box.parts)
    tasks = tuple(dict.fromkeys(task for box in equal for task in box.tasks))
    label = f"{len(parts)} × {word}"
    return Box(parts, label, first.kind, first.layer, tasks, first.first, first.last)


def links(found: Sequence[Box]) -> list[tuple[int, int]]:
    """Which box takes the output of which: (source, consumer) as positions in `found`."""
    holds = {str(part["name"]): k for k, box in enumerate(found) for part in box.parts}
    pairs = {
        (holds[name], k): None
        for k, box in enumerate(found)
        for part in box.parts
        for name in part["inputs"]
        if name in holds
    }
    return list(pairs)


def _box(part: Mapping[str, Any], tasks: Sequence[str], place: Mapping[str, int], apart: bool) -> Box:
    mine = home(part, tasks)
    if mine is not None:
        first = last = place[mine]
    elif apart:
        first = last = 0
    else:
        first, last = _ends(place[task] for task in part["tasks"] or tasks)
    label = str(part["name"])
    if mine is not None:
        label = label.removesuffix(f" of {mine}")
    names = tuple(str(task) for task in part["tasks"])
    return Box((part,), label, str(part["kind"]), int(part["layer"]), names, first, last)


def _of_task(names: Sequence[str], task: str | None, tasks: Sequence[str]) -> list[str]:
    mine = [name for name in names if task is not None and named_after(name, tasks) == task]
    return mine if len(names) > 1 and mine else list(names)


def _ends(numbers: Iterable[int]) -> tuple[int, int]:
    found = sorted(numbers)
    return found[0], found[-1]
