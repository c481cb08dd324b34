"""An order of the tasks in which those that share lie next to each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def neighbours(tasks: Sequence[str], groups: Iterable[Iterable[str]]) -> list[str]:
    """The tasks, reordered as little as needed so that the members of each group are neighbours.

    That is possible where of any two groups one holds the other or they have nothing in common; where it is
    not, smaller groups are kept together rather than larger ones.
    """
    order = list(tasks)
    distinct = {frozenset(group): None for group in groups}
    for group in sorted(distinct, key=len, reverse=True):
        if 1 < len(group) < len(order):
            first = min(order.index(task) for task in group)
            members = [task for task in order if task in group]
            others = [task for task in order[first:] if task not in group]
            order = [*order[:first], *members, *others]
    return order
