"""Linear layers of single tasks on one common representation, as most heads begin.

Their tasks' gradients at the representation are ``D_t W_t``, with D_t the gradient at the output of task t's layer
and W_t its weight. Neither their Gramian, ``⟨D_s W_s, D_t W_t⟩ = Σ_ab (D_sᵀD_t)_ab (W_s W_tᵀ)_ab``, nor a weighted sum
of them needs one of them formed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.balancing.engines.graph import LEAF, Edge, Feeder
from polytask.balancing.engines.layers import wide

#: Node of a product with a weight → position of what is multiplied.
_PRODUCTS = {"AddmmBackward0": 1, "MmBackward0": 0}


class Heads:
    """The gradients ``D_t W_t`` of T tasks at a representation of d numbers for each of B rows.

    Parameters
    ----------
    outer : sequence of Tensor of shape (B, k)
        D of each layer.
    weight : sequence of Tensor of shape (k, d)
        W of each layer.
    task : sequence of int
        Whose they are.
    n_tasks : int
    """

    def __init__(
        self, outer: Sequence[Tensor], weight: Sequence[Tensor], task: Sequence[int], n_tasks: int
    ) -> None:
        self.n_tasks = n_tasks
        self._parts = list(zip(task, outer, weight))
        #: All D side by side, (B, K), all W below each other, (K, d), and whose each of the K outputs is.
        self._outer, self._weight = torch.cat(list(outer), 1), torch.cat(list(weight))
        owners = [t for t, _, w in self._parts for _ in range(len(w))]
        self._one_each = owners == list(range(n_tasks))
        self._owner = torch.tensor(owners, device=self._outer.device)

    def gramian(self) -> Tensor:
        """Shape (T, T)."""
        outer, weight = wide(self._outer), wide(self._weight)
        terms = (outer.T @ outer) * (weight @ weight.T)
        if self._one_each:
            return terms
        rows = terms.new_zeros(self.n_tasks, len(terms)).index_add_(0, self._owner, terms)
        return terms.new_zeros(self.n_tasks, self.n_tasks).index_add_(1, self._owner, rows)

    def weighted(self, w: Tensor) -> Tensor:
        """``Σ_t w_t D_t W_t``, shape (B, d)."""
        return (self._outer * w.to(self._outer)[self._owner]) @ self._weight

    def stack(self) -> Tensor:
        """All of them, shape (T, B, d)."""
        if self._one_each:
            return self._outer.T.unsqueeze(2) * self._weight.unsqueeze(1)
        out = self._outer.new_zeros(self.n_tasks, len(self._outer), self._weight.shape[1])
        for task, outer, weight in self._parts:
            out[task].addmm_(outer, weight)
        return out


def linear_weights(feeders: Sequence[Feeder], cut: Edge) -> list[Tensor] | None:
    """W (k, d) of each node that leads to the representation; None unless all are plain linear layers on it.

    Parameters
    ----------
    feeders : sequence of Feeder
    cut : Edge
        Where the gradient of the representation comes in.
    """
    node, index = cut
    if node.name() == LEAF:
        return None
    like = node._input_metadata[index]
    out = []
    for node, position, _ in feeders:
        at = _PRODUCTS.get(node.name())
        if at != position or len(like.shape) != 2:
            return None
        if at == 1 and node._saved_alpha != 1:
            return None
        weight = node._saved_mat2
        if weight is None or weight.dtype != like.dtype or weight.layout != torch.strided:
            return None
        out.append(weight.detach().T)
    return out


def heads_of(
    outers: Sequence[Tensor | None], weights: Sequence[Tensor], feeders: Sequence[Feeder], n_tasks: int
) -> Heads | None:
    """`Heads` from what arrived at each feeder's output; None where nothing arrived at all."""
    there = [(d, w, task) for d, w, (_, _, task) in zip(outers, weights, feeders) if d is not None]
    if not there:
        return None
    outer, weight, task = zip(*there)
    return Heads(outer, weight, task, n_tasks)
