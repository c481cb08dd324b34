"""Which column of the drawing each task has, and which tasks have to share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polytask.reporting.figures.ordering import neighbours

Description = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One task, or several whose parts look the same."""

    tasks: tuple[str, ...]

    @property
    def is_folded(self) -> bool:
        return len(self.tasks) > 1


def columns(description: Description, most: int) -> list[Column]:
    """Columns from left to right; tasks that share more lie next to each other.

    Tasks with the same shared parts are alike. Where there are more than `most` tasks, the first of each
    such class are drawn and the others stand for themselves in one column, "n more".
    """
    order = ordered_tasks(description)
    if len(order) <= most:
        return [Column((task,)) for task in order]
    classes = _classes(description, order)
    if len(classes) >= most:
        return [*(Column((task,)) for task in order[: most - 1]), Column(tuple(order[most - 1 :]))]
    alone = {task for tasks, n in zip(classes, _shown(classes, most)) for task in tasks[:n]}
    rest = {tasks[n]: tasks[n:] for tasks, n in zip(classes, _shown(classes, most)) if n < len(tasks)}
    found = [Column((t,)) if t in alone else Column(tuple(rest[t])) for t in order if t in alone or t in rest]
    return found


def ordered_tasks(description: Description) -> list[str]:
    """Tasks such that those of a shared part are neighbours, in the order of the heads otherwise."""
    groups = [part["tasks"] for part in description["parts"]]
    return neighbours([str(task) for task in description["heads"]], groups)


def home(part: Mapping[str, Any], tasks: Sequence[str]) -> str | None:
    """The task in whose column a part belongs: its only one, or the one it is named after."""
    if len(part["tasks"]) == 1:
        return str(part["tasks"][0])
    return named_after(str(part["name"]), tasks)


def named_after(name: str, tasks: Sequence[str]) -> str | None:
    """The task whose part this is according to its name, such as "layer 1 of income"."""
    named = [task for task in tasks if name.endswith(f" of {task}")]
    return max(named, key=len) if named else None


def _classes(description: Description, order: Sequence[str]) -> list[list[str]]:
    """Tasks by the set of shared parts that they have, each class in order."""
    shared: dict[str, set[str]] = {task: set() for task in order}
    for part in description["parts"]:
        if 1 < len(part["tasks"]) < len(order) and home(part, order) is None:
            for task in part["tasks"]:
                shared[task].add(part["name"])
    classes: dict[frozenset[str], list[str]] = {}
    for task in order:
        classes.setdefault(frozenset(shared[task]), []).append(task)
    return list(classes.values())


def _shown(classes: Sequence[Sequence[str]], most: int) -> list[int]:
    """How many tasks of each class get a column of their own when there are `most` columns in all."""
    given = [1] * len(classes)
    left = most - len(classes)
    while left:
        before = left
        for k, tasks in enumerate(classes):
            if left and given[k] < len(tasks):
                given[k] += 1
                left -= 1
        if left == before:
            break
    return [n if n == len(tasks) else n - 1 for n, tasks in zip(given, classes)]
