"""Unpenalised features, profiled out of moments as intercepts are.

Where some coefficients carry no penalty, their optimum given the others is least squares. What is left is a
problem in the others alone, on features and targets from which the unpenalised ones have been regressed out
(Frisch & Waugh 1933; Lovell 1963).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from polytask.errors import DataError

if TYPE_CHECKING:
    from polytask.linear.moments import Moments

#: Directions with less than this share of the unpenalised features' variance are rounding error, and so is
#: what is left of a feature or target below this share of its own.
_LOST = 1e-12


@dataclass(frozen=True)
class PartialledOut:
    """A problem in the r penalised features, and the way back to all p = r + u features.

    Attributes
    ----------
    moments : Moments
        Of residuals: features and targets after least squares on the unpenalised features. Means are those
        of the data, not of the residuals.
    kept, dropped : (r,), (u,) int arrays
        Positions of the penalised and of the unpenalised features.
    own : (q, u) array
        Coefficients of the unpenalised features when all others are zero.
    slopes : (P, u, r) array
        Regression of the penalised features on the unpenalised ones, per pattern.
    """

    moments: Moments
    kept: np.ndarray
    dropped: np.ndarray
    own: np.ndarray
    slopes: np.ndarray

    def recover(self, coef: np.ndarray) -> np.ndarray:
        """Coefficients (..., q, p) of all features from those (..., q, r) of the penalised ones."""
        n_features = len(self.kept) + len(self.dropped)
        full = np.zeros((*coef.shape[:-1], n_features))
        full[..., self.kept] = coef
        for index, slopes in enumerate(self.slopes):
            tasks = np.flatnonzero(self.moments.pattern == index)
            full[..., tasks[:, None], self.dropped] = self.own[tasks] - coef[..., tasks, :] @ slopes.T
        return full


def partial_out(moments: Moments, features: np.ndarray) -> PartialledOut:
    """Profile out some features.

    Parameters
    ----------
    moments : Moments
    features : (p,) bool array, or (u,) int array
        The unpenalised features.
    """
    dropped = _positions(features, moments.n_features)
    kept = np.setdiff1d(np.arange(moments.n_features), dropped)
    gram = moments.gram[:, kept][:, :, kept]
    xty, target_gram = moments.xty[:, kept], moments.target_gram.copy()
    own = np.zeros((moments.n_tasks, len(dropped)))
    slopes = np.zeros((len(moments.weight), len(dropped), len(kept)))
    for index, whole in enumerate(moments.gram):
        tasks = np.flatnonzero(moments.pattern == index)
        root = _root_of_inverse(whole[np.ix_(dropped, dropped)])
        on_features = root.T @ whole[np.ix_(dropped, kept)]
        on_targets = root.T @ moments.xty[tasks][:, dropped].T
        slopes[index], own[tasks] = root @ on_features, (root @ on_targets).T
        gram[index] -= on_features.T @ on_features
        xty[tasks] -= on_targets.T @ on_features
        target_gram[np.ix_(tasks, tasks)] -= on_targets.T @ on_targets
    rest = replace(
        moments, x_mean=moments.x_mean[:, kept], x_rest=moments.x_rest[:, kept],
        gram=gram, xty=xty, target_gram=target_gram,
        feature_names=None if moments.feature_names is None else tuple(moments.feature_names[j] for j in kept),
    )  # fmt: skip
    rest = rest.without_rounding_error(moments.gram[:, kept, kept], moments.yty)
    return PartialledOut(rest, kept, dropped, own, slopes)


def _positions(features: np.ndarray, n_features: int) -> np.ndarray:
    features = np.asarray(features)
    if features.dtype == bool:
        if features.shape != (n_features,):
            raise DataError(
                f"The mask of features has shape {features.shape}, but there are {n_features} features."
            )
        return np.flatnonzero(features)
    positions = np.unique(features).astype(np.int64)
    unknown = positions[(positions < 0) | (positions >= n_features)]
    if len(unknown):
        raise DataError(f"There is no feature {unknown[0]}; positions run from 0 to {n_features - 1}.")
    return positions


def _root_of_inverse(gram: np.ndarray) -> np.ndarray:
    """R with R Rᵀ the pseudo-inverse of a Gram, of features in any units."""
    scale = np.sqrt(gram.diagonal())
    unit = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values, vectors = np.linalg.eigh(gram * np.outer(unit, unit))
    held = values > _LOST * max(values.max(initial=0.0), 1.0)
    return unit[:, None] * vectors[:, held] / np.sqrt(values[held])
