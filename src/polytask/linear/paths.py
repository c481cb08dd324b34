"""What solvers return, and coefficients along a grid of penalties in the data's units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Solution:
    """What a solver returns for k grid points, in the units of its scaled problem.

    Attributes
    ----------
    coef : (k, q, p) array
    gap : array of k rows or None
        Duality gaps, with a column per task where tasks are solved apart; None for closed forms.
    null : float or array or None
        What gaps are measured against: the objective at zero coefficients.
    n_iter : array of k rows or None
    intercept : (k, q) array or None
        None where the means of the data give it.
    learned : dict of str to array of k rows
        What the model learns besides, by the name of its attribute without the underscore.
    measure : str
        What `gap` holds, as warnings call it.
    """

    coef: np.ndarray
    gap: np.ndarray | None = None
    null: float | np.ndarray | None = None
    n_iter: np.ndarray | None = None
    intercept: np.ndarray | None = None
    learned: dict[str, np.ndarray] = field(default_factory=dict)
    measure: str = "duality gap"


@dataclass(frozen=True)
class CoefPath:
    """Coefficients along a grid.

    Attributes
    ----------
    grid : (k, ...) array
    coef : (k, q, p) array
    intercept : (k, q) array
    gap, null, n_iter, learned, measure
        See `Solution`; gaps are those of the scaled problem that was solved.
    """

    grid: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray | None = None
    null: float | np.ndarray | None = None
    n_iter: np.ndarray | None = None
    learned: dict[str, np.ndarray] = field(default_factory=dict)
    measure: str = "duality gap"

    @property
    def worst_gap(self) -> float:
        """The largest gap relative to the objective at zero; 0 for closed forms."""
        if self.gap is None or self.null is None or self.gap.size == 0:
            return 0.0
        return float(np.max(self.gap / np.where(np.asarray(self.null) > 0, self.null, 1.0)))

    def end(self) -> CoefPath:
        """The last grid point alone."""
        null = None if self.null is None else np.asarray(self.null)
        per_point = (
            null is not None and self.gap is not None and null.ndim > 0 and null.shape == self.gap.shape
        )
        return CoefPath(
            self.grid[-1:], self.coef[-1:], self.intercept[-1:], None if self.gap is None else self.gap[-1:],
            null[-1:] if null is not None and per_point else null, None if self.n_iter is None else self.n_iter[-1:],
            {name: values[-1:] for name, values in self.learned.items()}, self.measure,
        )  # fmt: skip
