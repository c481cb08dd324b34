"""A fitted linear model as plain data, for reports and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from polytask.linear.base import LinearTaskModel

#: What a model may learn besides its coefficients.
_LEARNED = ("task_covariance", "error_precision", "groups", "outlier_tasks", "rank")


def describe(model: LinearTaskModel) -> dict[str, Any]:
    """Names, coefficients, penalties and what was learned besides.

    Returns
    -------
    dict
        ``model``; ``loss``; ``tasks`` and ``features``, names; ``coef`` (q, p) and ``intercept`` (q,) as lists;
        ``penalties``, those given or chosen; and of ``task_covariance``, ``error_precision``, ``groups``,
        ``outlier_tasks`` and ``rank`` those that the model learns.
    """
    check_is_fitted(model, "coef_")
    coef = np.atleast_2d(model.coef_)
    names = getattr(model, "feature_names_in_", None)
    content: dict[str, Any] = {
        "model": type(model).__name__,
        "loss": model.loss,
        "tasks": list(model.task_names_),
        "features": [f"x{j}" for j in range(coef.shape[1])]
        if names is None
        else [str(name) for name in names],
        "coef": coef.tolist(),
        "intercept": np.atleast_1d(model.intercept_).tolist(),
        "penalties": {name: _plain(_penalty(model, name)) for name in model.penalties},
    }
    for name in _LEARNED:
        if hasattr(model, f"{name}_"):
            content[name] = _plain(getattr(model, f"{name}_"))
    return content


def _penalty(model: LinearTaskModel, name: str) -> Any:
    """The chosen penalty, or the one that was set."""
    return getattr(model, f"{name}_", getattr(model, name, None))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
