"""The relaxed lasso: select features with the penalty, then estimate them with less of it.

References
----------
Meinshausen, N. (2007). Relaxed Lasso. Computational Statistics & Data Analysis 52.
Hastie, T., Tibshirani, R., Tibshirani, R. (2020). Best subset, forward stepwise or lasso? Statistical Science 35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.errors import SettingError
from polytask.linear.moments import Moments
from polytask.linear.penalty import check_relax

if TYPE_CHECKING:
    from polytask.linear.problem import Problem

#: Ridge of the refit on features of unit scale: keeps supports with collinear features solvable.
_RIDGE = 1e-8


def check_relaxable(model: Any, problem: Problem) -> None:
    """Refuse to relax where the refit would not be plain least squares."""
    if check_relax(model.relax) < 1 and (problem.loss != "squared" or problem.positive):
        what = "positive=True" if problem.positive else f"loss={problem.loss!r}"
        raise SettingError(
            f"{type(model).__name__} can't take relax={model.relax:g} with {what}: set relax=1."
        )


def relax(moments: Moments, coef: np.ndarray, penalised: float) -> np.ndarray:
    """``φ B + (1 − φ) B_LS``: B_LS is least squares on the support of B, per task.

    Supports of more than half of a task's labels keep B: least squares on them is of no use.

    Parameters
    ----------
    moments : Moments
    coef : (k, q, p) array
        Penalised coefficients along a path.
    penalised : float in [0, 1]
        φ, the weight of the penalised coefficients.

    Returns
    -------
    (k, q, p) array
    """
    out = coef.copy()
    if penalised == 1.0:
        return out
    for t in range(coef.shape[1]):
        gram, xty = moments.gram[moments.pattern[t]], moments.xty[t]
        most = moments.task_weight[t] / 2
        for k in range(len(coef)):
            support = np.flatnonzero(coef[k, t])
            if 0 < len(support) <= most:
                refit = _least_squares(gram[np.ix_(support, support)], xty[support])
                out[k, t, support] = penalised * coef[k, t, support] + (1 - penalised) * refit
    return out


def _least_squares(gram: np.ndarray, xty: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(gram))  # positive: a feature that does not vary is never selected
    correlation = gram / np.outer(scale, scale) + _RIDGE * np.eye(len(gram))
    return np.linalg.solve(correlation, xty / scale) / scale
