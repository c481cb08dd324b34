"""The tree of branches: block by block from the input on the left, tasks with a branch of their own on the right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from polytask.errors import SettingError
from polytask.reporting.figures.architecture.shapes import TONES
from polytask.reporting.figures.letters import fitted, width_of
from polytask.reporting.figures.ordering import neighbours
from polytask.reporting.formats import shorten
from polytask.reporting.markup import Html, element

Branches = Sequence[Sequence[Sequence[str]]]

_WIDTH, _BETWEEN, _TOP, _NAME = 88, 34, 26, 220
_LOW, _HIGH, _MANY = 16, 24, 20  # heights of a task's line, and from how many tasks on it is low

#: Rules that a page with a tree needs, beside those of drawings.
STYLE = (
    ".tree .flow{fill:var(--faint)}.tree text.heading{text-anchor:middle}"
    ".tree text.task{text-anchor:start;dominant-baseline:central;fill:var(--ink)}"
    ".tree text.many{dominant-baseline:central}"
)


def tree(branches: Branches, blocks: Sequence[str] | None = None) -> Html:
    """An SVG element of fixed size.

    Parameters
    ----------
    branches : sequence over blocks, the input's first
        Groups of task names: the tasks of a group have the block in common.
    blocks : sequence of str, optional
        Names of the blocks; "block 1" and so on by default.

    Raises
    ------
    SettingError
        If there is no block, or a block does not name each task once.
    """
    tasks = _checked(branches)
    order = neighbours(tasks, (group for layer in reversed(branches) for group in layer))
    names = [f"block {k + 1}" for k in range(len(branches))] if blocks is None else list(blocks)
    step = _LOW if len(order) > _MANY else _HIGH
    runs = [[_runs(group, order) for group in layer] for layer in branches]
    shown = [fitted(task, _NAME) for task in order]
    right = len(branches) * (_WIDTH + _BETWEEN)
    width = round(right + 12 + max(map(width_of, shown)))
    height = _TOP + step * len(order) + 6
    leaves = len(branches[-1])
    return element(
        "svg",
        element("title", f"{len(order)} tasks in {leaves} branches at the last of {len(branches)} blocks"),
        element("desc", _in_words(branches, names)),
        *_flows(runs, step),
        *(box for k, layer in enumerate(runs) for group in layer for box in _boxes(group, k, order, step)),
        *(_heading(name, k) for k, name in enumerate(names)),
        *(_task(order[i], text, i, right, step) for i, text in enumerate(shown)),
        class_="drawing tree",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        role="img",
    )


def _checked(branches: Branches) -> list[str]:
    """The tasks in the order of the first block."""
    if not branches or not branches[0]:
        raise SettingError("There are no branches to draw: pass what branches() returns.")
    tasks = [task for group in branches[0] for task in group]
    for k, layer in enumerate(branches, start=1):
        if sorted(task for group in layer for task in group) != sorted(set(tasks)):
            raise SettingError(f"Block {k} does not name each task once: {list(map(list, layer))}.")
    return tasks


def _runs(group: Sequence[str], order: Sequence[str]) -> list[tuple[int, int]]:
    """Where a group lies: first and last line of each stretch of neighbours."""
    places = sorted(order.index(task) for task in group)
    cuts = [i for i, (a, b) in enumerate(pairwise(places), start=1) if b > a + 1]
    return [(places[a], places[b - 1]) for a, b in pairwise([0, *cuts, len(places)])]


def _flows(runs: Sequence[Sequence[Sequence[tuple[int, int]]]], step: int) -> list[Html]:
    """From each block to the next, a stripe for each stretch there; to the names at the end."""
    out = []
    ends = [
        *runs[1:],
        [[(i, i)] for group in runs[-1] for first, last in group for i in range(first, last + 1)],
    ]
    for k, layer in enumerate(ends):
        for group in layer:
            for first, last in group:
                y0, y1 = _place(first, last, step)
                x = k * (_WIDTH + _BETWEEN) + _WIDTH
                out.append(element("rect", x=x, y=y0 + 2, width=_BETWEEN, height=y1 - y0 - 4, class_="flow"))
    return out


def _boxes(group: Sequence[tuple[int, int]], k: int, order: Sequence[str], step: int) -> list[Html]:
    members = [task for first, last in group for task in order[first : last + 1]]
    words = "all tasks" if len(members) == len(order) > 1 else f"{len(members)} tasks"
    class_ = _tone(order.index(members[0])) if len(members) == 1 else "same"
    x, out = k * (_WIDTH + _BETWEEN), []
    for first, last in group:
        y0, y1 = _place(first, last, step)
        text = (
            ""
            if len(members) == 1
            else element("text", words, x=x + _WIDTH / 2, y=(y0 + y1) / 2, class_="what many")
        )
        out.append(
            element(
                "g",
                element("title", shorten(", ".join(members), 400)),
                element("rect", x=x + 0.5, y=y0, width=_WIDTH, height=y1 - y0, rx=4, class_="back"),
                element("rect", x=x + 0.5, y=y0, width=_WIDTH, height=y1 - y0, rx=4, class_="box"),
                text,
                class_=class_,
            )
        )
    return out


def _place(first: int, last: int, step: int) -> tuple[float, float]:
    return _TOP + first * step + 1.5, _TOP + (last + 1) * step - 1.5


def _heading(name: str, k: int) -> Html:
    x = k * (_WIDTH + _BETWEEN) + _WIDTH / 2
    return element("text", element("title", name), fitted(name, _WIDTH + 20), x=x, y=14, class_="heading")


def _task(task: str, text: str, i: int, right: float, step: int) -> Html:
    y = _TOP + (i + 0.5) * step
    return element("text", element("title", task), text, x=right + 6, y=y, class_="task")


def _tone(place: int) -> str:
    return f"task{place}" if place < TONES else "same each"


def _in_words(branches: Branches, names: Sequence[str]) -> str:
    sentences = []
    for name, layer in zip(names, branches):
        groups = "; ".join(shorten(", ".join(group), 80) for group in list(layer)[:12])
        sentences.append(f"{name}: {groups}.")
    return "From the input on. " + " ".join(sentences)
