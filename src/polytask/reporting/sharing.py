"""What an architecture shares, as one HTML file: the drawing, what was learned about sharing, and the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polytask.files import write_atomic
from polytask.reporting.document import document
from polytask.reporting.figures import branches as trees
from polytask.reporting.figures import matrix as maps
from polytask.reporting.figures.architecture import STYLE as DRAWING_STYLE
from polytask.reporting.figures.architecture import drawing
from polytask.reporting.figures.branches import Branches
from polytask.reporting.figures.matrix import Table
from polytask.reporting.formats import count, share, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import details, figure, lead, plural, section
from polytask.reporting.sharing_tables import (
    architectures_table,
    own_per_task,
    part_groups,
    parts_table,
    shared_share,
)
from polytask.reporting.style import STYLE

Description = Mapping[str, Any]
Tables = Sequence[Table]

_STYLE = (
    ".tiles.few{display:flex;flex-wrap:wrap}.tiles.few .tile{flex:1 1 12rem}"
    ".maps{display:flex;flex-wrap:wrap;gap:1.2rem 2.4rem}.maps>div{min-width:0;max-width:100%}"
)
_ALONE = "svg{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
_OPEN_PARTS = 16  # a longer table of parts is folded away

_DRAWING = (
    "Read it from the input upwards: each box is a part with its number of parameters, arrows say what it "
    "takes, and a box in a task’s colour serves that task alone."
)
_GATES = (
    "Each cell is the mean weight that a row’s gate gives to a column’s expert: a column that is faint "
    "throughout is an expert that hardly anyone uses, and rows that look alike share the same experts."
)
_STITCHES = (
    "Each cell says how much of the column’s features enters the row’s network: a strong diagonal means that "
    "tasks keep to themselves, and off it colour means that they take from each other."
)
_COVARIANCE = (
    "Blue: the weights of two tasks vary together; orange: one goes up where the other goes down; faint: "
    "they say little about each other."
)
_BRANCHES = (
    "Read it from the input on the left: tasks in one box have that block in common, and from where a box "
    "splits on they go separate ways."
)


def render_sharing(
    description: Description,
    *,
    gates: Tables = (),
    stitches: Tables = (),
    covariance: Tables = (),
    branches: Branches = (),
    flops: int | Mapping[str, int] | None = None,
    others: Sequence[Description] = (),
    title: str | None = None,
) -> str:
    """A page about one architecture.

    Parameters
    ----------
    description : dict
        `polytask.sharing.Sharing.describe()`, or the same read back from JSON.
    gates, stitches, covariance : sequence of Matrix
        What the methods of these names return.
    branches : sequence over blocks of groups of tasks
        What ``branches()`` returns.
    flops : int, or mapping of str to int
        Operations of one row's forward pass, ``flops()``; by name where `others` are compared with.
    others : sequence of dict
        Descriptions of architectures to compare the numbers of parameters with.
    title : str, optional
        In place of the architecture's name.

    Returns
    -------
    str
        An HTML document that needs nothing else.

    Raises
    ------
    SettingError
        If the description has no parts, or the branches are not a partition of the tasks at each block.
    """
    by_name = flops if isinstance(flops, Mapping) else {} if flops is None else {description["name"]: flops}
    sections = [
        section(
            "drawing",
            "What is shared",
            figure(_scrolled("Drawing of the architecture", drawing(description)), _DRAWING),
        ),
        _maps("gates", "Who uses which expert", gates, _GATES),
        _maps("stitches", "Who takes from whom", stitches, _STITCHES),
        _maps("covariance", "How tasks vary together", covariance, _COVARIANCE),
        _tree(branches),
        _parts(description),
        _compared([description, *others], by_name) if others else None,
    ]
    name = title or str(description.get("name") or "network").replace("_", " ")
    return document(
        f"polytask: {name}",
        _headline(name, description, by_name),
        element("main", *(made for made in sections if made)),
        element("footer", "Made with polytask"),
        style=DRAWING_STYLE + maps.STYLE + trees.STYLE + _STYLE,
    )


def write_sharing(description: Description, path: str | Path, **settings: Any) -> Path:
    """Write the page under a temporary name, then rename: a file of this name is always a whole one.

    Parameters
    ----------
    description
        As for `render_sharing`.
    path : path
    **settings
        As for `render_sharing`.
    """
    write_atomic(path, render_sharing(description, **settings))
    return Path(path)


def sharing_svg(description: Description) -> str:
    """The drawing alone, as the text of an SVG file; it follows the viewer's choice of light or dark.

    Parameters
    ----------
    description : dict
        As for `render_sharing`.
    """
    return f"{drawing(description, style=STYLE + DRAWING_STYLE + _ALONE)}\n"


# ---------------------------------------------------------------------- the top


def _headline(name: str, description: Description, flops: Mapping[str, int]) -> Html:
    n_tasks, total = len(description["heads"]), count(description["parameters"])
    part = share(shared_share(description))
    if description["shared_parameters"]:
        rest = f": {part} of {total} parameters are shared between {plural(n_tasks, 'task')}."
    else:
        rest = f": none of {total} parameters is shared between {plural(n_tasks, 'task')}."
    kinds: dict[str, int] = {}
    for group in part_groups(description):
        kinds[group.kind] = kinds.get(group.kind, 0) + group.in_all
    largest = max(kinds, key=lambda kind: kinds[kind])
    tiles = [
        _tile("Shared parameters", count(description["shared_parameters"]), f"of {total}"),
        _tile("Own parameters of a task", own_per_task(description), "that no other task uses"),
        _tile("Most parameters are in", f"{largest}s", f"{count(kinds[largest])} of {total}"),
    ]
    cost = flops.get(str(description["name"]))
    if cost is not None:
        tiles.append(_tile("Operations per row", count(cost), "of a forward pass for all tasks"))
    return element(
        "header",
        element("p", "Sharing between tasks", class_="eyebrow"),
        element("h1", element("span", shorten(name, 80), class_="claim"), rest),
        element("dl", *tiles, class_="tiles few"),
    )


def _tile(label: str, big: str, small: str) -> Html:
    return element(
        "div",
        element("dt", label),
        element("dd", element("span", big, class_="mid"), element("span", small, class_="quiet")),
        class_="tile",
    )


# ---------------------------------------------------------------------- sections


def _maps(id_: str, heading: str, tables: Tables, caption: str) -> Html | None:
    """Heat maps with one scale, so that they can be compared."""
    if not tables:
        return None
    limit = maps.limit_of(tables)
    shown = [
        element(
            "div",
            element("h3", shorten(t.name, 60)) if t.name else "",
            _scrolled(t.name or heading, maps.heat_map(t, limit)),
        )
        for t in tables
    ]
    return section(id_, heading, figure(element("div", *shown, class_="maps"), caption))


def _scrolled(label: str, picture: Html) -> Html:
    """A picture of fixed size in a box that scrolls where the page is narrow."""
    return element("div", picture, class_="scroll", tabindex="0", role="region", aria_label=label)


def _tree(branches: Branches) -> Html | None:
    if not branches:
        return None
    shown = _scrolled("Tree of branches", trees.tree(branches))
    return section("branches", "Where tasks part", figure(shown, _BRANCHES))


def _parts(description: Description) -> Html:
    table, n = parts_table(description), len(part_groups(description))
    if n > _OPEN_PARTS:
        table = details(f"{n} kinds of parts, as a table", table)
    return section("parts", "Part by part", lead("What each task has the same of stands in one line."), table)


def _compared(descriptions: Sequence[Description], flops: Mapping[str, int]) -> Html:
    words = lead("Shared: used by several tasks. Own: what one task alone uses, from the fewest to the most.")
    return section("compared", "Beside other architectures", words, architectures_table(descriptions, flops))
