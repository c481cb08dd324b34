"""The sparsity structure of the linear models: which features each task uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polytask.reporting.figures.sparsity import NAMES, sparsity
from polytask.reporting.formats import count, share, shorten
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import Report, figure, lead, plural, section

#: Features drawn at most; of more, those that the models use most.
FEATURES = 1500

_NAMED = 8  # features listed by name


def zeros(report: Report) -> Html | None:
    """The section, or nothing if no sparse linear model took part; single-task models on top."""
    models = [(m, c) for m in report.get("sparsity") or [] if (c := _coefficients(m)) is not None]
    if not models:
        return None
    models.sort(key=lambda mc: mc[0].get("role") != "single")
    kept = _kept_features([c for _, c in models])
    panels = [_panel(m, c, kept) for m, c in models]
    legend = element(
        "span",
        *(
            part
            for class_, word in (
                ("zerocell", "zero"),
                ("weak", "small"),
                ("middle", "medium"),
                ("strong", "large coefficient"),
            )
            for part in (element("i", class_=f"swatch {class_}", aria_hidden="true"), word)
        ),
    )
    return section(
        "zeros",
        "Which features the linear models use",
        lead(
            "A row per task, a column per feature, zero coefficients in yellow. Learned alone, each task "
            "picks its own features; the group lasso picks them for all tasks at once: a column is all "
            "zero or all filled."
        ),
        figure(
            element("div", *panels), element("span", legend, element("br"), _order(models[0][1].shape, kept))
        ),
    )


def _coefficients(model: Mapping[str, Any]) -> np.ndarray | None:
    """The table of coefficients, or None if it does not fit its tasks and features."""
    coef = np.array(
        [[np.nan if v is None else v for v in row] for row in model.get("coef") or []], dtype=float
    )
    shape = (len(model.get("tasks") or []), len(model.get("features") or []))
    return np.nan_to_num(coef) if coef.shape == shape and coef.size else None


def _kept_features(tables: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
    """By number of features: which ones are drawn, in the order of the data."""
    kept = {}
    for p in {c.shape[1] for c in tables}:
        use = sum((c != 0).sum(axis=0) for c in tables if c.shape[1] == p)
        kept[p] = np.sort(np.argsort(-np.asarray(use), kind="stable")[:FEATURES])
    return kept


def _panel(model: Mapping[str, Any], coef: np.ndarray, kept: Mapping[int, np.ndarray]) -> Html:
    name = str(model.get("model"))
    q, p = coef.shape
    zero = coef == 0
    part = share(zero.mean())
    used, common = ~zero.all(axis=0), ~zero.any(axis=0)
    title = f"Coefficients of {name}: {plural(q, 'task')} by {plural(p, 'feature')}, {part} are zero"
    picture = sparsity(
        f"{shorten(name, 40)}: {part} zeros", title, [str(t) for t in model["tasks"]], coef[:, kept[p]]
    )
    says = f"Uses {count(used.sum())} of {plural(p, 'feature')}, {count(common.sum())} of them for every task"
    says += f"{_named(model, coef, common)}."
    return element("div", picture, element("p", says, class_="quiet"))


def _named(model: Mapping[str, Any], coef: np.ndarray, common: np.ndarray) -> str:
    """Names of the features that all tasks use, the largest coefficients first."""
    order = [j for j in np.argsort(-np.abs(coef).sum(axis=0), kind="stable") if common[j]]
    if not order:
        return ""
    names = ", ".join(shorten(model["features"][j], 28) for j in order[:_NAMED])
    more = f" and {len(order) - _NAMED:,} more" if len(order) > _NAMED else ""
    return f": {names}{more}"


def _order(shape: tuple[int, ...], kept: Mapping[int, np.ndarray]) -> str:
    q, p = shape
    rows = "" if q <= NAMES else " Tasks are in the order of the data."
    if len(kept[p]) < p:
        return f"The {len(kept[p]):,} features used most, of {p:,}, in the order of the data.{rows}"
    return f"Features in the order of the data.{rows}"
