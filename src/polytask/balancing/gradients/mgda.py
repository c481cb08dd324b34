"""MGDA and MGDA-UB: the shortest vector in the convex hull of the tasks' gradients."""

from __future__ import annotations

from abc import ABC

import numpy as np
from torch import Tensor

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses
from polytask.balancing.gradients.warm import start
from polytask.balancing.solvers import min_norm, on_device
from polytask.balancing.state import PerTask
from polytask.errors import SettingError

PAPER = "Sener & Koltun 2018, Multi-task learning as multi-objective optimization, NeurIPS"
NORMALIZATIONS = ("none", "loss", "l2", "loss+")


class MinNorm(GramianBalancer, ABC):
    """What MGDA and its upper bound share.

    Parameters
    ----------
    normalization : {"none", "loss", "l2", "loss+"}
        What each gradient is divided by in the search for the weights: nothing, the task's loss, the
        gradient's norm, or both.
    gradients : {"parameters", "features"}
    update_every : int
    """

    STATE = ("found",)

    def __init__(self, normalization: str, gradients: str, update_every: int) -> None:
        super().__init__(gradients, update_every)
        if normalization not in NORMALIZATIONS:
            raise SettingError(
                f"normalization must be one of {', '.join(NORMALIZATIONS)}; got {normalization!r}."
            )
        self.normalization = normalization
        self.found = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        if self.normalization != "none":
            scale = self._scale(tasks, losses, gramian)
            gramian = gramian / np.outer(scale, scale)
        weights = min_norm(gramian, start(self.found, tasks))
        self.found.write(tasks, weights)
        return weights

    def weights_on_device(self, gramian: Tensor) -> Tensor | None:
        return on_device.min_norm(gramian) if self.normalization == "none" else None

    def _scale(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        scale = np.ones(len(tasks))
        if self.normalization in ("l2", "loss+"):
            scale = scale * np.sqrt(np.diag(gramian))
        if self.normalization in ("loss", "loss+"):
            check_losses(self.name, tasks, losses, zero=False)
            scale = scale * losses
        return scale


class MGDA(MinNorm):
    """``min_w ‖Σ_t w_t g_t‖²`` over ``w ≥ 0, Σ_t w_t = 1``: `d` is a weighted mean of the gradients.

    `d` makes no task worse (``⟨g_t, d⟩ ≥ ‖d‖²``) and is zero at Pareto-stationary points only. Small
    gradients get large weights: unscaled losses matter.

    Parameters
    ----------
    normalization : {"none", "loss", "l2", "loss+"}
        What each gradient is divided by in the search for the weights: nothing, the task's loss, the
        gradient's norm, or both. It is in the authors' code and not in the paper; the weights then apply to
        the gradients as they are, as in that code, so that the promises above hold for "none" only.
    gradients, update_every
        See `GramianBalancer`; "features" is MGDA-UB.

    Raises
    ------
    SettingError
        For a setting that is not known.
    TrainingError
        For a loss that is not positive where the normalization divides by it.

    See Désidéri, J.-A. (2012). Multiple-gradient descent algorithm (MGDA) for multiobjective optimization.
    Comptes Rendus Mathématique, and Sener, O., Koltun, V. (2018). Multi-task learning as multi-objective
    optimization. NeurIPS, eq. 3. The paper searches by Frank–Wolfe steps; here the minimum is exact.
    """

    name = "mgda"
    card = Card(PAPER, "min_{α∈Δ} ‖Σ_t α_t ∇_θ L_t‖²", backward="1 + a sweep of T")

    def __init__(
        self, normalization: str = "none", gradients: str = "parameters", update_every: int = 1
    ) -> None:
        super().__init__(normalization, gradients, update_every)


class MGDAUB(MinNorm):
    """MGDA on gradients with respect to the shared representation Z: an upper bound of its problem.

    ``min_w ‖Σ_t w_t ∇_Z L_t‖²`` over the simplex. Where ∂Z/∂θ has full rank the solutions are
    Pareto-stationary too, and a step costs hardly more than a plain one.

    Parameters
    ----------
    normalization, update_every
        As for `MGDA`.

    See Sener, O., Koltun, V. (2018). Multi-task learning as multi-objective optimization. NeurIPS, section
    3.3 and theorem 1.
    """

    name = "mgda_ub"
    needs = "features"
    card = Card(PAPER, "min_{α∈Δ} ‖Σ_t α_t ∇_Z L_t‖²", backward="1", memory="T × the representation")

    def __init__(self, normalization: str = "none", update_every: int = 1) -> None:
        super().__init__(normalization, "features", update_every)
