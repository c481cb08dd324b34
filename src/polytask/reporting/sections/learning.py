"""Learning curves of the networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytask.reporting.figures.curves import SEPARATE, curves, has_losses, task_names
from polytask.reporting.formats import shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import Report, details, figure, lead, section

_EACH = "Solid: validation loss. Dashed: training loss. Across: epoch."
_ALL = (
    "Change of the validation loss since the first epoch: the median task, and the middle half of the "
    "tasks as a band. Across: epoch."
)


def learning(report: Report) -> Html | None:
    """The section, or nothing if no network took part; sharing models are open, others folded up."""
    models = [m for m in report.get("curves") or [] if has_losses(m.get("history") or [])]
    if not models:
        return None
    open_ = len(models) <= 2
    return section(
        "curves",
        "How the networks learned",
        lead("Losses by epoch in the first fold, on standardised targets."),
        *(_model(m, open_ or k == 0) for k, m in enumerate(models)),
    )


def _model(model: Mapping[str, Any], open_: bool) -> Html:
    name, history = str(model.get("model")), model["history"]
    caption = _EACH if len(task_names(history)) <= SEPARATE else _ALL
    return details(shorten(name, 60), figure(element("div", curves(name, history)), caption), open_=open_)
