"""What a solver is given: scaled data of one loss, penalty factors and where to start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from polytask.errors import DataError
from polytask.linear.losses.base import Point, SmoothLoss
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.moments import Moments
from polytask.linear.penalties.base import blocks_alone
from polytask.linear.solvers.free_directions import FreeDirections
from polytask.linear.table import LabelledTable


@dataclass(frozen=True)
class Problem:
    """Scaled data, whose features and targets are divided by their scales.

    Attributes
    ----------
    data : Moments or LabelledTable
        Not scaled; the properties below are.
    loss : {"squared", "logistic", "poisson"}
    fit_intercept : bool
    x_scale : (p,) array
        Holds the penalty factors of models whose penalty scales with the coefficients.
    y_scale : (q,) array
    factors : (p,) array
        What is left of the penalty factors.
    positive : bool
    start : (q, p) array or None
        Coefficients to start from.
    """

    data: Moments | LabelledTable
    loss: str
    fit_intercept: bool
    x_scale: np.ndarray
    y_scale: np.ndarray
    factors: np.ndarray
    positive: bool = False
    start: np.ndarray | None = None

    @property
    def task_names(self) -> tuple[str, ...]:
        return self.data.task_names

    @property
    def n_tasks(self) -> int:
        return len(self.data.task_names)

    @property
    def n_features(self) -> int:
        return len(self.x_scale)

    @cached_property
    def task_weight(self) -> np.ndarray:
        """(q,) total weight of each task's labels."""
        if isinstance(self.data, Moments):
            return self.data.task_weight
        weight = np.zeros(self.n_tasks)
        for labels in self.data.patterns:
            weight[labels.tasks] = labels.weights.sum()
        return weight

    @cached_property
    def mean_weight(self) -> float:
        """Mean over tasks of the total weight of their labels; 1 where there is none."""
        return float(self.task_weight.mean()) or 1.0

    @cached_property
    def moments(self) -> Moments:
        """Moments of the scaled data, about zero where there is no intercept."""
        moments = self.data if isinstance(self.data, Moments) else Moments.from_table(self.data)
        centred = moments if self.fit_intercept else moments.about_zero()
        return centred.scaled(self.x_scale, self.y_scale)

    @cached_property
    def table(self) -> LabelledTable:
        """The rows of the scaled data."""
        if isinstance(self.data, Moments):
            raise DataError(
                "This model needs the rows of the data, which moments don't hold: call fit(X, y)."
            )
        return self.data.scaled(self.x_scale, self.y_scale)

    @cached_property
    def smooth(self) -> SmoothLoss:
        """The loss as a function of the coefficients, from whichever of moments and rows is cheaper."""
        if self.loss == "squared" and not is_wide(self.data):
            return GramLoss(self.moments)
        return RowLoss(self.table, self.loss, self.fit_intercept)

    @cached_property
    def null_slope(self) -> np.ndarray:
        """(q, p) slope −∇f of the loss at zero coefficients; intercepts and unpenalised features at their best."""
        blocks = blocks_alone(self.factors == 0, (self.n_tasks, self.n_features))
        if blocks is not None:
            return self.best_along(blocks).slope
        if self.loss == "squared" and not is_wide(self.data):
            return self.moments.xty
        return self.smooth.at(np.zeros((self.n_tasks, self.n_features))).slope

    def best_along(self, blocks: np.ndarray) -> Point:
        """The loss where all coefficients are zero but those in blocks (q, p), whose common numbers are the best."""
        return FreeDirections(blocks).best(self.smooth, self.positive)


def is_wide(data: Moments | LabelledTable) -> bool:
    """Whether products with the rows cost less than products with the Grams."""
    if isinstance(data, Moments):
        return False
    labelled = sum(len(labels.rows) for labels in data.patterns)
    # A sparse product costs its nonzeros.
    width = (
        sparse.csr_matrix(data.X).nnz / max(data.n_rows, 1) if sparse.issparse(data.X) else data.n_features
    )
    return 2 * labelled * width < data.n_features**2 * len(data.patterns)
