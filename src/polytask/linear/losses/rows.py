"""Losses from the rows themselves: for labels that moments can't stand for, and for more features than rows."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from polytask.linear.losses.base import Evaluation, Point, SmoothLoss
from polytask.linear.losses.kinds import KINDS, Kind
from polytask.linear.patterns import LabelPattern
from polytask.linear.table import LabelledTable


class RowLoss(SmoothLoss):
    """Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t), the intercepts b0 always the best for B.

    Features are centred about their mean without touching the table, so sparse tables stay sparse. A task whose
    labels all lie on the border of their range, such as those of one class, is fitted perfectly by an infinite
    intercept whatever its coefficients: it has no term, and a finite intercept close to the border.

    Parameters
    ----------
    table : LabelledTable
        Scaled; logistic labels between 0 and 1, counts from 0.
    kind : {"squared", "logistic", "poisson"}
    fit_intercept : bool
    """

    def __init__(self, table: LabelledTable, kind: str, fit_intercept: bool = True) -> None:
        self.kind, self.fit_intercept = KINDS[kind], fit_intercept
        n_features = table.X.shape[1]
        self.shape = (len(table.task_names), n_features)
        self.centre = _mean_row(table) if fit_intercept else np.zeros(n_features)
        self._intercept = _first_intercepts(table, self.kind) if fit_intercept else np.zeros(self.shape[0])
        patterns = [labels for labels in table.patterns if len(labels.rows)]
        if fit_intercept:
            patterns = [
                part for labels in patterns if (part := _away_from_border(labels, self.kind)).tasks.size
            ]
        self.parts = [_Part(table, labels, self.centre, self.kind) for labels in patterns]
        self._last: RowPoint | None = None
        least = sum(float(part.weights @ self.kind.least(part.targets).sum(axis=1)) for part in self.parts)
        self.null = self.at(np.zeros(self.shape)).value - least
        self.curvature = max((part.curvature() for part in self.parts), default=0.0)

    def at(self, coef: np.ndarray) -> Evaluation:
        point = self.point(coef)
        return Evaluation(point.value, point.slope)

    def point(self, coef: np.ndarray) -> RowPoint:
        if self._last is None or not np.array_equal(self._last.coef, coef):
            coef = coef.copy()
            self._last = RowPoint(self, coef, [part.product(coef[part.tasks]) for part in self.parts])
        return self._last

    def beyond(self, last: Point, here: Point, stride: float) -> Point:
        assert isinstance(last, RowPoint)
        assert isinstance(here, RowPoint)
        products = [new + stride * (new - old) for new, old in zip(here.products, last.products)]
        return RowPoint(self, here.coef + stride * (here.coef - last.coef), products)

    def bend(self, start: Point, end: Point) -> float:
        assert isinstance(start, RowPoint)
        assert isinstance(end, RowPoint)
        return sum(
            float(part.weights @ ((high - low) * (z_end - z_start)).sum(axis=1))
            for part, low, high, z_start, z_end in zip(
                self.parts, start.means, end.means, start.predictors, end.predictors
            )
        )

    def dual(self, coef: np.ndarray, scale: float) -> float:
        total = 0.0
        for part, mean in zip(self.parts, self.point(coef).means):
            u = scale * (mean - part.targets)
            total -= float(part.weights @ self.kind.conjugate(part.targets, u).sum(axis=1))
        return total

    def best_scale(self, coef: np.ndarray, limit: float) -> float:
        return min(limit, 1.0)

    def intercept(self, coef: np.ndarray) -> np.ndarray:
        return self.point(coef).intercept - coef @ self.centre

    def predictors(self, coef: np.ndarray) -> list[np.ndarray]:
        """x·b + b0 of every part (m, k), with the best intercepts."""
        return self.point(coef).predictors

    def best_intercepts(self, products: list[np.ndarray]) -> np.ndarray:
        """(q,) the best intercepts for products of every part with the features."""
        if self.fit_intercept:
            for part, z in zip(self.parts, products):
                start = self._intercept[part.tasks]
                self._intercept[part.tasks] = self.kind.best_intercept(part.targets, z, part.weights, start)
        return self._intercept.copy()


class RowPoint(Point):
    """A `RowLoss` at coefficients, with the products (m, k) of every part, which are linear in them."""

    def __init__(self, loss: RowLoss, coef: np.ndarray, products: list[np.ndarray]) -> None:
        self.loss, self.coef, self.products = loss, coef, products
        self._rows = loss

    @cached_property
    def intercept(self) -> np.ndarray:
        """(q,) the best intercepts of the centred features."""
        return self._rows.best_intercepts(self.products)

    @cached_property
    def predictors(self) -> list[np.ndarray]:
        """Linear predictors of every part (m, k)."""
        return [z + self.intercept[part.tasks] for part, z in zip(self._rows.parts, self.products)]

    @cached_property
    def means(self) -> list[np.ndarray]:
        """Expected labels of every part (m, k)."""
        return [self._rows.kind.mean(z) for z in self.predictors]

    @cached_property
    def value(self) -> float:  # type: ignore[override]
        return sum(
            float(part.weights @ self._rows.kind.value(part.targets, z).sum(axis=1))
            for part, z in zip(self._rows.parts, self.predictors)
        )

    @cached_property
    def slope(self) -> np.ndarray:  # type: ignore[override]
        slope = np.zeros(self._rows.shape)
        for part, mean in zip(self._rows.parts, self.means):
            slope[part.tasks] = part.transposed_product(part.weights[:, None] * (part.targets - mean))
        return slope


class _Part:
    """The rows of one pattern, with centred products."""

    def __init__(self, table: LabelledTable, labels: LabelPattern, centre: np.ndarray, kind: Kind) -> None:
        whole = len(labels.rows) == table.n_rows
        self.X = table.X if whole else table.X[labels.rows]
        self.weights, self.targets, self.tasks = labels.weights, labels.targets, labels.tasks
        self.centre, self.kind = centre, kind

    def product(self, coef: np.ndarray) -> np.ndarray:
        return np.asarray(self.X @ coef.T) - coef @ self.centre

    def transposed_product(self, residual: np.ndarray) -> np.ndarray:
        return np.asarray(self.X.T @ residual).T - np.multiply.outer(residual.sum(axis=0), self.centre)

    def curvature(self) -> float:
        """A bound by power iteration; for Poisson loss a guess at the null model, which solvers correct."""
        bound = self.kind.curvature
        if bound is None:
            bound = float(np.max(self.weights @ self.targets / self.weights.sum(), initial=1e-12))
        vector = np.random.default_rng(0).normal(size=(1, self.X.shape[1]))
        value = 0.0
        for _ in range(30):
            vector /= np.linalg.norm(vector)
            vector = self.transposed_product(self.weights[:, None] * self.product(vector))
            value = float(np.linalg.norm(vector))
            if value == 0.0:
                return 0.0
        return 1.05 * bound * value


def _mean_row(table: LabelledTable) -> np.ndarray:
    weight = np.zeros(table.n_rows)
    for labels in table.patterns:
        weight[labels.rows] += labels.weights * len(labels.tasks)
    total = weight.sum()
    return np.asarray(weight @ table.X).ravel() / (total if total > 0 else 1.0)


def _first_intercepts(table: LabelledTable, kind: Kind) -> np.ndarray:
    """(q,) intercepts of each task's mean label; a task without labels has those of all tasks together."""
    total, weight = np.zeros(len(table.task_names)), np.zeros(len(table.task_names))
    for labels in table.patterns:
        total[labels.tasks], weight[labels.tasks] = labels.weights @ labels.targets, labels.weights.sum()
    everyone = total.sum() / weight.sum() if weight.any() else 0.0
    return kind.link(np.divide(total, weight, out=np.full_like(total, everyone), where=weight > 0))


def _away_from_border(labels: LabelPattern, kind: Kind) -> LabelPattern:
    """The tasks whose mean label lies inside the range of means."""
    low, high = kind.range
    inside = (labels.targets > low).any(axis=0) & (labels.targets < high).any(axis=0)
    return (
        labels
        if inside.all()
        else replace(labels, tasks=labels.tasks[inside], targets=labels.targets[:, inside])
    )
