"""Data drawn from a formula, whose tasks are as related as one asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytask.data import TaskData
from polytask.errors import SettingError


def mmoe_synthetic(
    n: int,
    correlation: float,
    seed: int = 0,
    *,
    n_features: int = 100,
    scale: float = 1.0,
    alphas: Sequence[float] = (1.0, 2.0, 3.0, 4.0),
    betas: Sequence[float] = (0.0, 1.0, 4.0, 9.0),
    noise: float = 0.01,
) -> TaskData:
    """Two regression tasks whose weight vectors have a given cosine.

    With orthogonal unit vectors u₁, u₂ drawn at random, scale c and correlation p::

        w₁ = c u₁,   w₂ = c (p u₁ + √(1 − p²) u₂)
        y_k = w_kᵀx + Σ_i sin(α_i w_kᵀx + β_i) + ε_k,   x ~ N(0, I)

    Parameters
    ----------
    n : int
        Number of rows.
    correlation : float
        p in [−1, 1]: the cosine of w₁ and w₂. The correlation of the targets grows with it, but is another
        number, because of the sines; at 1 the targets differ by their noise only.
    seed : int
        Rows, vectors and noise are the same for every `correlation`: the first task is the same, and only the
        second one turns.
    n_features : int
        At least 2.
    scale : float
        c.
    alphas, betas : sequence of float
        α_i and β_i, as many of one as of the other; none: linear tasks.
    noise : float
        Standard deviation of ε.

    Returns
    -------
    TaskData
        Features of shape (n, n_features); regression tasks "first" and "second", without missing labels.

    Raises
    ------
    SettingError
        For a correlation outside [−1, 1], fewer than 2 features, or α and β that are not as many.

    Notes
    -----
    Ma, J., Zhao, Z., Yi, X., Chen, J., Hong, L., Chi, E. H. (2018). Modeling task relationships in multi-task
    learning with multi-gate mixture-of-experts. KDD, section 3.2. The paper takes 100 features, and ε ~
    N(0, 0.01), here read as a standard deviation. It does not say α, β or c: those of this function are its
    own (α_i = i and β_i = (i − 1)², four of them).
    """
    if not -1 <= correlation <= 1:
        raise SettingError(f"correlation is a cosine and lies in [-1, 1], got {correlation!r}.")
    if n_features < 2:
        raise SettingError(f"Two orthogonal vectors need at least 2 features, got n_features={n_features}.")
    if len(alphas) != len(betas):
        raise SettingError(
            f"alphas and betas belong together, but there are {len(alphas)} and {len(betas)} of them."
        )
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.standard_normal((n_features, 2)))
    w = scale * np.stack([u[:, 0], correlation * u[:, 0] + np.sqrt(1 - correlation**2) * u[:, 1]])
    x = rng.standard_normal((n, n_features))
    z = x @ w.T
    waves = np.sin(z[..., None] * np.asarray(alphas) + np.asarray(betas)).sum(-1)
    y = z + waves + noise * rng.standard_normal((n, 2))
    return TaskData.from_wide(x, {"first": y[:, 0], "second": y[:, 1]})
