"""Mean-regularized models for any smooth loss, through the features: a common part and a deviation per task."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone


class TaskDeviations(BaseEstimator):
    """Linear model with a common part and a deviation per task, by a plain penalised estimator.

    With features ``[x, ρ·x in the block of the task]`` a ridge penalty on all coefficients is the
    mean-regularized penalty of Evgeniou and Pontil (KDD 2004) on ``a_t = w₀ + v_t``, for any smooth loss: the
    larger ρ, the cheaper it is for a task to differ.

    Parameters
    ----------
    estimator : estimator
        With an L2 penalty, LogisticRegression or PoissonRegressor say.
    deviation : float
        ρ above.
    strength : float
        Set as ``C``, or ``alpha = 1/strength``, of the estimator.
    """

    def __init__(self, estimator: BaseEstimator, deviation: float = 0.5, strength: float = 1.0) -> None:
        self.estimator = estimator
        self.deviation = deviation
        self.strength = strength

    def fit(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> TaskDeviations:
        self.n_tasks_ = int(X[:, [-1]].max()) + 1
        key = {"C": self.strength} if "C" in self.estimator.get_params() else {"alpha": 1.0 / self.strength}
        self.estimator_ = clone(self.estimator).set_params(**key)
        self.estimator_.fit(self._design(X), y, sample_weight=sample_weight)
        if hasattr(self.estimator_, "classes_"):
            self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.estimator_.predict(self._design(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.estimator_.predict_proba(self._design(X))

    def _design(self, X: Any) -> sp.csr_matrix:
        features = sp.csr_matrix(X[:, :-1])
        number = np.asarray(X[:, [-1]].toarray() if sp.issparse(X) else X[:, [-1]]).ravel().astype(int)
        n = len(number)
        one_hot = sp.csr_matrix((np.ones(n), (np.arange(n), number)), shape=(n, self.n_tasks_))
        with_constant = sp.hstack([features, np.ones((n, 1))]).tocsr()
        # row-wise Kronecker product: the row's features in the block of its task
        width = with_constant.shape[1]
        blocks = sp.csr_matrix(
            (
                with_constant.data * self.deviation,
                with_constant.indices
                + np.repeat(one_hot.indices.astype(np.int64) * width, np.diff(with_constant.indptr)),
                with_constant.indptr,
            ),
            shape=(n, width * self.n_tasks_),
        )
        return sp.hstack([features, blocks]).tocsr()
