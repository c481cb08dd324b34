"""Task-relationship learning with logistic or Poisson loss: proximal Newton steps.

At C the loss is replaced by its second-order model, whose Hessians H_t are Grams weighted by w ℓ''. The model plus
the penalty is what `mtrl.alternate` solves; a line search on the true objective makes it never increase (Lee, Sun
& Saunders 2014, "Proximal Newton-type methods for minimizing composite functions"). Intercepts and unpenalised
features are profiled out of the model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from polytask.linear.losses.rows import RowLoss
from polytask.linear.solvers.mtrl import MTRLPath, RotatedGrams, alternate
from polytask.linear.solvers.relationship_penalty import RelationshipPenalty

#: The model is solved to this share of the duality gap at its centre.
_FORCING = 0.05
#: Most rounds on a model, halvings of a step, and the share of the promised decrease that a step must bring.
_ROUNDS, _HALVINGS, _ARMIJO = 200, 40, 1e-4
#: Rounding error of an objective, as a share of it: the gap goes on falling when differences drown in it.
_ROUNDING = 1e-15
#: Newton steps without a smaller gap after which there is none to be found.
_IDLE = 10


def mtrl_newton_path(
    loss: RowLoss,
    penalised: np.ndarray,
    grid: np.ndarray,
    *,
    target: float,
    max_iter: int = 100,
    start: np.ndarray | None = None,
) -> tuple[MTRLPath, np.ndarray]:
    """Coefficients for each pair of penalties, each solution starting the next, and intercepts (k, q).

    Parameters
    ----------
    loss : RowLoss
    penalised : (p,) bool array
        False for features that carry no penalty.
    grid : (k, 2) array
        Rows (ridge, coupling), zero or more, not both zero.
    target : float
        Duality gap at which to stop. With unpenalised features it includes the decrease that a Newton step in
        them promises, as their slopes need not be exactly zero.
    max_iter : int
        Most Newton steps per pair.
    start : (q, p) array, optional
    """
    coef = np.zeros(loss.shape) if start is None else start.copy()
    coefs, intercepts = np.empty((len(grid), *loss.shape)), np.zeros((len(grid), loss.shape[0]))
    gaps, n_iter = np.zeros(len(grid)), np.zeros(len(grid), dtype=np.int64)
    for k, pair in enumerate(grid):
        coef, gaps[k], n_iter[k] = _descend(
            loss, penalised, RelationshipPenalty(*pair), coef, target, max_iter
        )
        coefs[k], intercepts[k] = coef, loss.intercept(coef)
    return MTRLPath(coefs, gaps, n_iter), intercepts


def _descend(
    loss: RowLoss,
    penalised: np.ndarray,
    penalty: RelationshipPenalty,
    coef: np.ndarray,
    target: float,
    max_iter: int,
) -> tuple[np.ndarray, float, int]:
    """The coefficients of the least gap met, that gap and the number of Newton steps."""
    best, least, idle, n_iter = coef, np.inf, 0, 0
    while n_iter < max_iter:
        n_iter += 1
        model = QuadraticModel.of(loss, coef, penalised)
        gap = model.gap(penalty)
        idle = 0 if gap < least else idle + 1
        if gap < least:
            best, least = coef, gap
        if gap <= target or idle == _IDLE:
            break
        coef = _search(loss, penalty, penalised, coef, model.minimum(penalty, _FORCING * gap))
    return best, least, n_iter


def hessians(loss: RowLoss, coef: np.ndarray) -> np.ndarray:
    """(q, p, p) second derivatives of the loss of each task, its intercept profiled out."""
    n_tasks, n_features = coef.shape
    out = np.zeros((n_tasks, n_features, n_features))
    for part, z in zip(loss.parts, loss.predictors(coef)):
        # Weighted means are taken out below; a common shift first keeps far-away columns accurate.
        X: Any = part.X if sparse.issparse(part.X) else part.X - part.centre
        for t, weight in zip(part.tasks, (part.weights[:, None] * loss.kind.variance(z)).T):
            if sparse.issparse(X):
                out[t] = (X.T @ X.multiply(weight[:, None])).toarray()
            else:
                out[t] = X.T @ (weight[:, None] * X)
            if loss.fit_intercept and weight.sum() > 0:
                total = X.T @ weight
                out[t] -= np.outer(total, total) / weight.sum()
    return out


class QuadraticModel(NamedTuple):
    """½ (c − c₀)ᵀ H_t (c − c₀) − slope_tᵀ (c − c₀) in all coefficients, and what is left without the free ones.

    centre (q, p) holds c₀; hessian (q, r, r) and slope (q, r) are those of the r penalised features with the u
    unpenalised ones profiled out, whose best step is own (q, u) − step @ slopes (q, u, r)ᵀ, and promises a decrease
    of `decrement`.
    """

    centre: np.ndarray
    penalised: np.ndarray
    hessian: np.ndarray
    slope: np.ndarray
    own: np.ndarray
    slopes: np.ndarray
    decrement: float

    @classmethod
    def of(cls, loss: RowLoss, coef: np.ndarray, penalised: np.ndarray) -> QuadraticModel:
        """The model of a loss at coefficients (q, p)."""
        hessian, slope, free = hessians(loss, coef), loss.at(coef).slope, ~penalised
        inverse = np.linalg.pinv(hessian[:, free][:, :, free], hermitian=True)
        cross = hessian[:, free][:, :, penalised]
        slopes, own = inverse @ cross, np.einsum("tij,tj->ti", inverse, slope[:, free])
        rest = hessian[:, penalised][:, :, penalised] - cross.transpose(0, 2, 1) @ slopes
        left = slope[:, penalised] - np.einsum("tij,ti->tj", cross, own)
        return cls(coef, penalised, rest, left, own, slopes, float(np.vdot(own, slope[:, free])) / 2)

    def gap(self, penalty: RelationshipPenalty) -> float:
        """Duality gap of the loss and the penalty at the centre."""
        return penalty.gap(self.centre[:, self.penalised], self.slope) + self.decrement

    def minimum(self, penalty: RelationshipPenalty, target: float) -> np.ndarray:
        """Coefficients (q, p) that minimise the model and the penalty up to a duality gap of `target`."""
        kept = self.centre[:, self.penalised]
        grams = RotatedGrams.of(self.hessian, np.arange(len(kept)))
        xty = (np.einsum("tij,tj->ti", self.hessian, kept) + self.slope) @ grams.basis
        best, _, _ = alternate(grams, xty, penalty, kept @ grams.basis, target, _ROUNDS)
        new = self.centre.copy()
        new[:, self.penalised] = best @ grams.basis.T
        step = new[:, self.penalised] - kept
        new[:, ~self.penalised] += self.own - np.einsum("tij,tj->ti", self.slopes, step)
        return new


def _search(
    loss: RowLoss, penalty: RelationshipPenalty, penalised: np.ndarray, coef: np.ndarray, best: np.ndarray
) -> np.ndarray:
    """The first point of coef + (best − coef) / 2^i that lowers the objective enough; coef if there is none."""

    def value(point: np.ndarray) -> float:
        return penalty.value(np.linalg.svd(point[:, penalised], compute_uv=False))

    here, step, size = loss.at(coef), best - coef, value(coef)
    promised = value(best) - size - float(np.vdot(here.slope, step))
    rounding = _ROUNDING * (abs(here.value) + size)
    for share in 0.5 ** np.arange(_HALVINGS):
        point = coef + share * step
        change = loss.at(point).value - here.value + value(point) - size
        if change <= _ARMIJO * share * promised + rounding:
            return point
    return coef
