"""Linear layers' terms of the Gramian from rows: inputs X (n, d_in) and tasks' output gradients D (T, n, d_out).

``⟨∂W_s, ∂W_t⟩ = ⟨D_sᵀ X, D_tᵀ X⟩ = ⟨D_s, (X Xᵀ) D_t⟩``; a bias adds one to every entry of ``X Xᵀ``.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Entries of the tasks' weight gradients that are formed at a time.
BLOCK = 1 << 22


def ghost_is_cheaper(n: int, d_in: int, d_out: int, n_tasks: int) -> bool:
    """Whether products through X Xᵀ take fewer multiplications than the tasks' weight gradients."""
    ghost = n * n * (d_in + n_tasks * d_out) + n_tasks**2 * n * d_out
    direct = n_tasks * n * d_in * d_out + n_tasks**2 * d_in * d_out
    return ghost <= direct


def rows_gramian(x: Tensor, d: Tensor, bias: bool) -> Tensor:
    """The term of one layer, shape (T, T)."""
    n_tasks, n, d_out = d.shape
    if ghost_is_cheaper(n, x.shape[1], d_out, n_tasks):
        kernel = x @ x.T
        if bias:
            kernel += 1
        flat = d.reshape(n_tasks, -1)
        return flat @ torch.matmul(kernel, d).view(n_tasks, -1).T
    out = x.new_zeros(n_tasks, n_tasks)
    step = max(1, BLOCK // (n_tasks * x.shape[1]))
    for start in range(0, d_out, step):
        block = torch.matmul(d[:, :, start : start + step].transpose(1, 2), x).view(n_tasks, -1)
        out += block @ block.T
    if bias:
        sums = d.sum(1)
        out += sums @ sums.T
    return out


def rows_weighted(x: Tensor, d: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """``Σ_t w_t ∂W_t`` (d_out, d_in) and ``Σ_t w_t ∂b_t`` (d_out,)."""
    n_tasks, n, d_out = d.shape
    mixed = (weights.to(d.dtype) @ d.reshape(n_tasks, -1)).view(n, d_out)
    return mixed.T @ x, mixed.sum(0)
