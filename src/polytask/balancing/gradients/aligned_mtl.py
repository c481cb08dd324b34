"""Aligned-MTL: gradients made orthogonal and equally long."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.gradients.spectrum import spectrum


class AlignedMTL(GramianBalancer):
    """``d = Σ_t α_t g_t``, ``α = √λ_min V Λ^{−½} Vᵀ w`` with ``G = V Λ Vᵀ`` over its nonzero spectrum.

    The matrix of gradients is replaced by the nearest one whose singular values are all the smallest one,
    which has condition number 1; `d` is the mean (``w_t = 1/T``) of its rows. It improves the aligned tasks;
    a small gradient that a large one opposes can still become worse.

    Parameters
    ----------
    gradients, update_every
        See `GramianBalancer`.

    See Senushkin, D., Patakin, N., Kuznetsov, A., Konushin, A. (2023). Independent component alignment for
    multi-task learning. CVPR, algorithm 1. The rank is that of the gradients' cosines, to the precision of
    float32, so that what rounding leaves of a zero eigenvalue does not become the smallest one.
    """

    name = "aligned_mtl"
    card = Card(
        "Senushkin et al. 2023, Independent component alignment for multi-task learning, CVPR",
        "α = √λ_R V Λ^{−½} Vᵀ w",
        backward="1 + a sweep of T",
    )

    def __init__(self, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        values, vectors = spectrum(gramian)
        return vectors @ (np.sqrt(values[0] / values) * vectors.mean(0))
