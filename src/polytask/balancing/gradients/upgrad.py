"""UPGrad: the mean of the gradients after each is freed of conflict with all."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.solvers import dual_cone, on_device


class UPGrad(GramianBalancer):
    """``d = (1/T) Σ_i π(g_i)``, π the projection on the dual cone ``{d: ⟨g_t, d⟩ ≥ 0 for all t}``.

    ``π(g_i) = Jᵀ v_i`` with ``v_i`` the minimiser of ``vᵀGv`` over ``v ≥ e_i``. No task becomes worse, `d`
    grows linearly with each task's gradient under positive scaling of it, and it is zero at Pareto-stationary
    points only.

    Parameters
    ----------
    gradients, update_every
        See `GramianBalancer`.

    See Quinton, P., Rey, V. (2024). Jacobian descent for multi-objective optimization. arXiv:2406.16232,
    section 3.1 and proposition 1. TorchJD adds 1e-4 of the trace to the diagonal of G; here nothing is added.
    """

    name = "upgrad"
    card = Card(
        "Quinton & Rey 2024, Jacobian descent for multi-objective optimization, arXiv:2406.16232",
        "(1/m) Σ_i π_J(J_i), π_J(Jᵀu) = Jᵀ argmin_{v ≥ u} vᵀGv",
        backward="1 + a sweep of T",
    )

    def __init__(self, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        return dual_cone(gramian).mean(0)

    def weights_on_device(self, gramian: Tensor) -> Tensor | None:
        return on_device.dual_cone(gramian).mean(0)
