"""The drawing of an architecture: layers as boxes from the input upwards, tasks as colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from polytask.errors import SettingError
from polytask.reporting.figures.architecture.boxes import KINDS, Box, boxes, complete
from polytask.reporting.figures.architecture.columns import Column, Description, columns
from polytask.reporting.figures.architecture.geometry import (
    BAR_HEIGHT,
    BOX_HEIGHT,
    HEADER,
    LABEL_PAD,
    WIDTH,
    Layout,
    Placed,
    layout,
)
from polytask.reporting.figures.architecture.routes import needs_a_side
from polytask.reporting.figures.architecture.rows import rows
from polytask.reporting.figures.architecture.shapes import TONES, back, outline, tip, wires
from polytask.reporting.figures.letters import fitted, width_of
from polytask.reporting.formats import count, shorten
from polytask.reporting.markup import Html, element

#: So many columns for tasks are tried one after another: where they do not fit, more tasks are folded.
_COLUMNS = (12, 8, 6, 4)

_ENOUGH = 0.9  # of a name must be left where it is cut

#: What a drawing in a file of its own lies on.
_AIR = 12
_PAPER = element("rect", x=-_AIR, y=-_AIR, width="100%", height="100%", fill="var(--surface)")

_SEGMENT = 4  # height of the bar of colours
_LEGEND, _LEGEND_WIDTH, _SWATCH = 24, 320, 26


def drawing(description: Description, *, style: str | None = None) -> Html:
    """An SVG element of fixed size.

    Parameters
    ----------
    description : dict
        As `polytask.sharing.Sharing.describe` gives it.
    style : str, optional
        Rules to put into it, for a file of its own; a page has them in its head.

    Raises
    ------
    SettingError
        If it has no parts.
    """
    if not description.get("parts") or not description.get("heads"):
        raise SettingError("There is nothing to draw: pass what sharing.describe() returns.")
    description = complete(description)
    made = (_arranged(description, most) for most in _COLUMNS)
    return _Picture(description, *_first_that_fits(made)).svg(style)


def _arranged(description: Description, most: int) -> tuple[list[Column], Layout, bool]:
    """Columns, places, and whether what is common has a column of its own."""
    tasks = columns(description, most)
    stacked = rows(boxes(description, tasks, apart=False))
    apart = needs_a_side(stacked)
    if apart:
        stacked = rows(boxes(description, tasks, apart=True))
    return tasks, layout(stacked, len(tasks) + apart), apart


def _first_that_fits(
    made: Iterable[tuple[list[Column], Layout, bool]],
) -> tuple[list[Column], Layout, bool]:
    """The one with most columns that is not too wide, or the last."""
    for found in made:
        if found[1].width <= WIDTH:
            break
    return found


class _Picture:
    """One drawing: what its pieces need to know of each other."""

    def __init__(
        self, description: Description, tasks: Sequence[Column], places: Layout, apart: bool
    ) -> None:
        self.description, self.tasks, self.places, self.apart = description, tasks, places, apart
        self.tone_of = tones(tasks)

    def svg(self, style: str | None) -> Html:
        parts = self.description["parts"]
        legend, right, below = self._legend(self.places.bar + BAR_HEIGHT + 16)
        air = 1 if style is None else _AIR
        width, height = round(max(self.places.width, right)) + 2 * air, round(below) + 2 * air
        name = str(self.description.get("name") or "network")
        return element(
            "svg",
            element("title", f"{name}: {len(parts)} parts, for {_tasks(len(self.description['heads']))}"),
            element("desc", in_words(self.places.cells)),
            *([] if style is None else [element("style", Html(style)), _PAPER]),
            *self._wires(),
            *self._bar(),
            *(self._cell(placed) for placed in self.places.cells),
            *self._headers(),
            *legend,
            xmlns=None if style is None else "http://www.w3.org/2000/svg",
            class_="drawing",
            width=width,
            height=height,
            viewBox=f"{-air} {-air} {width} {height}",
            role="img",
        )

    # ------------------------------------------------------------------ boxes

    def _cell(self, placed: Placed) -> Html:
        frame = ""
        if placed.is_framed:
            frame = element(
                "rect",
                x=placed.x0,
                y=placed.top,
                width=placed.x1 - placed.x0,
                height=placed.bottom - placed.top,
                rx=8,
                class_="frame",
            )
        top = (placed.top + placed.bottom - BOX_HEIGHT) / 2
        shown = [self._box(box, *placed.box_ends(k), top) for k, box in enumerate(placed.cell.boxes)]
        return element("g", frame, *shown)

    def _box(self, box: Box, x0: float, x1: float, y: float) -> Html:
        room, middle = x1 - x0 - 2 * LABEL_PAD, (x0 + x1) / 2
        ends = (box.kind, x0, y, x1, y + BOX_HEIGHT)
        folded = [outline(box.kind, x0 + 3, y - 3, x1 + 3, y + BOX_HEIGHT - 3)] if len(box.parts) > 1 else []
        return element(
            "g",
            element("title", _said(box)),
            *folded,
            back(*ends),
            outline(*ends),
            *self._segments(box, x0, x1, y),
            element("text", _label(box, room), x=middle, y=y + 15, class_="what"),
            element("text", fitted(count(box.parameters), room, 11), x=middle, y=y + 29, class_="size"),
            class_=self._class(box),
        )

    def _class(self, box: Box) -> str:
        """Its only task's colour; else grey, and pale where it stands for boxes of one task each."""
        if len(box.tasks) == 1:
            return self.tone_of[box.tasks[0]]
        return "same each" if all(len(part["tasks"]) == 1 for part in box.parts) else "same"

    def _segments(self, box: Box, x0: float, x1: float, y: float) -> list[Html]:
        """A piece of each task's colour, where some but not all tasks use a box."""
        if self._class(box) != "same" or len(box.tasks) == len(self.description["heads"]):
            return []
        used = [column for column in self.tasks if set(column.tasks) & set(box.tasks)]
        width = (x1 - x0 - 20) / len(used)
        return [
            element(
                "rect",
                x=x0 + 10 + k * width,
                y=y + BOX_HEIGHT - _SEGMENT,
                width=width,
                height=_SEGMENT,
                class_=f"segment {self.tone_of[column.tasks[0]]}",
            )
            for k, column in enumerate(used)
        ]

    # ------------------------------------------------------------------ lines

    def _wires(self) -> list[Html]:
        """Lines, and arrows where they arrive."""
        out = [wires(lines) for lines in self.places.lines.values()]
        ends = dict.fromkeys(line[-1] for lines in self.places.lines.values() for line in lines)
        for placed in self.places.cells:
            if placed.cell.takes_input:
                out += self._from_input(placed)
        return [*out, *(tip(x, y) for x, y in ends)]

    def _from_input(self, placed: Placed) -> list[Html]:
        if placed.cell.row == 0:
            x = placed.centre
            return [wires([[(x, self.places.bar), (x, placed.bottom)]]), tip(x, placed.bottom)]
        x = placed.x1 - 9
        return [
            wires([[(x, placed.bottom + 9), (x, placed.bottom)]]),
            tip(x, placed.bottom),
            element("text", "x", x=x, y=placed.bottom + 17, class_="size"),
        ]

    def _bar(self) -> list[Html]:
        right, y = self.places.columns[-1][1], self.places.bar
        rect = element("rect", x=0, y=y, width=right, height=BAR_HEIGHT, rx=4, class_="bar")
        return [rect, element("text", fitted("input x", right - 8), x=right / 2, y=y + 16)]

    # ------------------------------------------------------------------ around

    def _headers(self) -> list[Html]:
        """Names of the tasks above their columns, joined to what makes their outputs."""
        out = []
        for k, column in enumerate(self.tasks):
            x0, x1 = self.places.columns[k + self.apart]
            out += self._header(column, x0, x1, k + self.apart)
        return out

    def _header(self, column: Column, x0: float, x1: float, k: int) -> list[Html]:
        name = f"{len(column.tasks)} more" if column.is_folded else column.tasks[0]
        if len(column.tasks) == len(self.description["heads"]) > 1:
            name = f"{len(column.tasks)} tasks"
        shown = fitted(name, x1 - x0 - 12)
        middle, left = (x0 + x1) / 2, (x0 + x1 - width_of(shown)) / 2
        full = shorten(", ".join(column.tasks), 400)
        text = element("text", element("title", full), shown, x=middle + 6, y=14, class_="what")
        dot = element("circle", cx=max(x0 + 5, left), cy=10, r=4, class_="segment")
        tops = [p.top for p in self.places.cells if p.cell.first <= k <= p.cell.last]
        up = (
            [wires([[(middle, min(tops)), (middle, HEADER - 10)]])] if tops and min(tops) > HEADER - 8 else []
        )
        return [*up, element("g", dot, text, class_=self.tone_of[column.tasks[0]])]

    def _legend(self, y: float) -> tuple[list[Html], float, float]:
        """What shapes and colours mean, on as many lines as they need; how wide it is and where it ends."""
        out, x, right = [], 0.0, 0.0
        for symbol, words in self._symbols():
            width = _SWATCH + 6 + width_of(words)
            if x and x + width > max(self.places.width, _LEGEND_WIDTH):
                x, y = 0.0, y + _LEGEND
            text = element("text", words, x=_SWATCH + 6, y=12, class_="left")
            out.append(element("g", symbol, text, transform=f"translate({x:.1f} {y:.1f})"))
            right = max(right, x + width)
            x += width + 14
        return out, right, y + _LEGEND

    def _symbols(self) -> list[tuple[Html, str]]:
        found = [box for placed in self.places.cells for box in placed.cell.boxes]
        kinds = [kind for kind in KINDS if any(box.kind == kind for box in found)]
        other = sorted({box.kind for box in found} - set(KINDS))
        out = [(_swatch("same", kind), kind) for kind in [*kinds, *other]]
        n = len(self.description["heads"])
        if n > 1 and any(len(box.tasks) == n for box in found):
            out.append((_plain_swatch("same"), "used by all tasks"))
        if any(len(box.tasks) == 1 for box in found):
            out.append((_plain_swatch("task0"), "by one task" if n > 1 else "by the task"))
        if any(self._class(box) == "same" and len(box.tasks) < n for box in found):
            out.append((_striped_swatch(), "by the tasks of these colours"))
        if any(len(box.parts) > 1 for box in found):
            out.append((_stack_swatch(), "several equal ones"))
        return [*out, (element("text", "123", x=_SWATCH / 2, y=12, class_="size"), "its parameters")]


def tones(tasks: Sequence[Column]) -> Mapping[str, str]:
    """The style class of each task; tasks that share a column are grey."""
    out, k = {}, 0
    for column in tasks:
        for task in column.tasks:
            out[task] = "same" if column.is_folded or k >= TONES else f"task{k}"
        k += not column.is_folded
    return out


def in_words(found: Sequence[Placed]) -> str:
    """The drawing as text, from the input upwards."""
    sentences = []
    for placed in found:
        names = ", ".join(shorten(box.label, 40) for box in placed.cell.boxes)
        box = placed.cell.boxes[0]
        users = shorten(", ".join(box.tasks), 60) if len(box.tasks) <= 3 else _tasks(len(box.tasks))
        total = sum(b.parameters for b in placed.cell.boxes)
        sentences.append(f"{names} (used by {users}; {count(total)} parameters).")
    return "From the input upwards: " + " ".join(sentences)


def _said(box: Box) -> str:
    """What a box says when pointed at."""
    names = [str(part["name"]) for part in box.parts]
    name = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    users = ", ".join(box.tasks) if len(box.tasks) <= 12 else _tasks(len(box.tasks))
    inputs = ["the input"] if box.takes_input else []
    inputs += list(dict.fromkeys(str(i) for part in box.parts for i in part["inputs"]))
    takes = ", ".join(inputs[:8]) + (f" and {len(inputs) - 8} more" if len(inputs) > 8 else "")
    each = f", {count(box.parameters)} parameters" + (" in all" if len(names) > 1 else "")
    return f"{shorten(name, 120)} ({box.kind}{each}). Used by: {shorten(users, 300)}. Takes: {takes or 'nothing'}."


def _label(box: Box, room: float) -> str:
    """Its name, or less where too little of the name would be left: without its level, or the kind.

    Words of a task's name are never dropped: "watch time 1" as "time 1" would be another expert's.
    """
    cut = fitted(box.label, room)
    if len(cut) >= _ENOUGH * len(box.label):
        return cut
    start, words = box.label.split(" of ")[0], box.label.split()
    shorter = [start] if start != box.label else []
    if len(box.parts) == 1 and words[0] == "level" and len(words) > 2:
        shorter.append(" ".join(words[2:]))
    whole = next((name for name in shorter if width_of(name) <= room), None)
    if whole is None and shorter:
        cut = fitted(shorter[-1], room)
        whole = cut if len(cut) >= _ENOUGH * len(shorter[-1]) else None
    return whole or fitted(box.short, room)


def _swatch(class_: str, kind: str) -> Html:
    return element("g", outline(kind, 0.5, 0.5, _SWATCH, 15.5), class_=class_)


def _plain_swatch(class_: str) -> Html:
    return element("g", outline("layer", 6, 1, _SWATCH - 4, 15), class_=class_)


def _striped_swatch() -> Html:
    pieces = [
        element("rect", x=8 + 6 * k, y=11, width=6, height=_SEGMENT, class_=f"segment task{k}")
        for k in range(2)
    ]
    return element("g", outline("layer", 6, 1, _SWATCH - 4, 15), *pieces, class_="same")


def _stack_swatch() -> Html:
    back_ = outline("layer", 9, 0.5, _SWATCH - 1, 12)
    front = ("layer", 6, 3, _SWATCH - 4, 15)
    return element("g", back_, back(*front), outline(*front), class_="same each")


def _tasks(n: int) -> str:
    return "1 task" if n == 1 else f"{n} tasks"
