"""What one worker of distributed task-relationship learning holds and does: the rows of its tasks never leave it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from polytask.linear.losses.kinds import KINDS
from polytask.linear.losses.rows import RowLoss
from polytask.linear.patterns import LabelPattern
from polytask.linear.solvers.dual_ascent import CODES, ascend
from polytask.linear.table import LabelledTable


class Order(NamedTuple):
    """What the master sends to k tasks: coefficients (k, p), steps κ (k,), and by how much of their last move the
    dual ascent runs ahead of the coefficients."""

    coef: np.ndarray
    kappa: np.ndarray
    lead: float


class Report(NamedTuple):
    """What k tasks send back.

    products (k, p), by how much B changed; loss (k,) at the coefficients received; conjugate (k,), Σ_i w_i ℓ*(−u_i)
    before the ascent; intercept (k,), the best for the coefficients received.
    """

    products: np.ndarray
    loss: np.ndarray
    conjugate: np.ndarray
    intercept: np.ndarray


class Start(NamedTuple):
    """What k tasks send first: B (k, p); null (k,), the loss at zero less that of a perfect fit; curvature (k,), of
    the loss."""

    products: np.ndarray
    null: np.ndarray
    curvature: np.ndarray


class TaskSite:
    """The tasks of one worker.

    Parameters
    ----------
    table : LabelledTable
        Their rows, scaled.
    positions : (k,) int array
        Of these tasks in the whole problem: the random order of their rows is the same wherever they are.
    loss : {"squared", "logistic", "poisson"}
    fit_intercept : bool
    epochs : int
        Steps per row and round.
    seed : int
    """

    def __init__(
        self, table: LabelledTable, positions: np.ndarray,
        loss: str, fit_intercept: bool, epochs: int, seed: int,
    ) -> None:  # fmt: skip
        tasks: dict[int, _Task] = {}
        for labels in table.patterns:
            rows = SharedRows.of(table.X[labels.rows], labels.weights, fit_intercept)
            for column, task in enumerate(labels.tasks):
                rng = np.random.default_rng([seed, positions[task]])
                tasks[int(task)] = _Task(rows, labels.targets[:, column], loss, epochs, rng)
        self.tasks = [tasks[task] for task in sorted(tasks)]

    def start(self, coef: np.ndarray) -> Start:
        """Begin at coefficients (k, p), with the dual variables that are best for them alone."""
        return Start(
            np.array([task.start(row) for task, row in zip(self.tasks, coef)]),
            np.array([task.primal.null for task in self.tasks]),
            np.array([task.primal.curvature for task in self.tasks]),
        )

    def work(self, order: Order) -> Report:
        """One round: evaluate the coefficients, then ascend."""
        reports = [
            task.work(coef, kappa, order.lead)
            for task, coef, kappa in zip(self.tasks, order.coef, order.kappa)
        ]
        return Report(*(np.array(values) for values in zip(*reports)))


class SharedRows(NamedTuple):
    """The m rows that some tasks share: CSR, less `centre` (p,); their squared norms and weights (m,)."""

    X: sparse.csr_matrix
    norms: np.ndarray
    weights: np.ndarray
    centre: np.ndarray
    fit_intercept: bool

    @classmethod
    def of(cls, X: np.ndarray | sparse.csr_matrix, weights: np.ndarray, fit_intercept: bool) -> SharedRows:
        """Rows in compressed form; with an intercept only their differences count, so dense ones are centred."""
        centre = np.zeros(X.shape[1])
        if not isinstance(X, np.ndarray):
            return cls(X, np.asarray(X.multiply(X).sum(axis=1)).ravel(), weights, centre, fit_intercept)
        if fit_intercept and len(X):
            centre = weights @ X / weights.sum()
            X = X - centre
        m, p = X.shape
        kind = np.int32 if m * p <= np.iinfo(np.int32).max else np.int64
        indices, starts = np.tile(np.arange(p, dtype=kind), m), p * np.arange(m + 1, dtype=kind)
        compressed = sparse.csr_matrix((X.ravel(), indices, starts), shape=(m, p))
        return cls(compressed, np.einsum("ij,ij->i", X, X), weights, centre, fit_intercept)


class _Task:
    """Labels and dual variables of one task."""

    def __init__(
        self, rows: SharedRows, labels: np.ndarray, loss: str, epochs: int, rng: np.random.Generator
    ) -> None:
        #: Intercepts of squared loss take up the mean of the labels, whose digits the conjugate would lose.
        centred = loss == "squared" and rows.fit_intercept and len(labels) > 0
        self.shift = float(rows.weights @ labels / rows.weights.sum()) if centred else 0.0
        labels = labels - self.shift
        self.rows, self.y = rows, labels
        self.epochs, self.rng, self.code, self.kind = epochs, rng, CODES[loss], KINDS[loss]
        own = LabelPattern(np.arange(len(labels)), rows.weights, np.zeros(1, dtype=np.int64), labels[:, None])
        self.primal = RowLoss(LabelledTable(rows.X, (own,), ("",)), loss, rows.fit_intercept)
        #: A task without rows, or with labels all on the border of their range, is fitted by its intercept alone.
        self.alive = bool(self.primal.parts)
        self.last, self.u = np.zeros(rows.X.shape[1]), np.zeros(len(labels))

    def start(self, coef: np.ndarray) -> np.ndarray:
        """Take the residuals of these coefficients as dual variables; their B = Σ_i w_i u_i x_i."""
        self.last = coef.copy()
        if self.alive:
            self.u = self.y - self.kind.mean(self._predictor(coef))
        return np.asarray(self.rows.X.T @ (self.rows.weights * self.u))

    def work(self, coef: np.ndarray, kappa: float, lead: float) -> tuple[np.ndarray, float, float, float]:
        """The change of B, and the loss, conjugate and intercept that go with what was known before."""
        X, norms, weights, centre, fit_intercept = self.rows
        intercept = 0.0
        if fit_intercept:
            intercept = float(self.primal.intercept(coef[None])[0] - centre @ coef) + self.shift
        if not self.alive:
            return np.zeros_like(coef), 0.0, 0.0, intercept
        loss = float(weights @ self.kind.value(self.y, self._predictor(coef)))
        conjugate = float(weights @ self.kind.conjugate(self.y, -self.u))
        ahead, self.last = coef + lead * (coef - self.last), coef.copy()
        change = ascend(
            X.indptr, X.indices, X.data, norms, self.y, weights, self.u, ahead, float(kappa),
            *self._steps(), self.code,
        )  # fmt: skip
        return change, loss, conjugate, intercept

    def _predictor(self, coef: np.ndarray) -> np.ndarray:
        """x·c plus the best intercept, for each row."""
        return self.primal.predictors(coef[None])[0][:, 0]

    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows in random order, `epochs` times, and where there is an intercept another row for each."""
        m = len(self.y)
        order = np.concatenate([self.rng.permutation(m) for _ in range(self.epochs)])
        if not self.rows.fit_intercept:
            return order, np.full(len(order), -1)
        return order, (order + self.rng.integers(1, max(m, 2), len(order))) % m
