"""Softmax gates: how much each task takes of each expert, for every row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import parameters_of
from polytask.sharing.stacked import Stacked


class Gates(nn.Module, ABC):
    """How much each task takes of each expert."""

    @abstractmethod
    def forward(self, z: Tensor, gates: Sequence[int] | None = None) -> Tensor:
        """Weights of experts.

        Parameters
        ----------
        z : Tensor of shape (n, d), or (G, n, d) an input for each gate
        gates : sequence of int, optional
            Which G gates; None: all.

        Returns
        -------
        Tensor of shape (G, n, E), or (G, 1, E) where they are the same for all rows
        """

    @abstractmethod
    def parameters_of(self, gate: int) -> tuple[nn.Parameter, ...]:
        """Parameters of one gate."""


class SoftmaxGates(Gates):
    """``g^k(z) = softmax(W_g^k z)`` for all tasks k in one product; W_g^k has no bias, as in the papers.

    Parameters
    ----------
    n_gates : int
        Number of gates, a gate for each task.
    n_inputs, n_experts : int
        W_g^k is (n_experts, n_inputs).
    dropout : float
        Probability with which, in training, an expert is left out of a gate for a row. The other weights are
        scaled to sum to one; a row that would lose all its experts keeps them.
    common : bool
        Whether all tasks use all gates; then their weights are one parameter.
    """

    def __init__(
        self, n_gates: int, n_inputs: int, n_experts: int, dropout: float = 0.0, common: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise SettingError(f"gate_dropout must be a probability in [0, 1), got {dropout}.")
        self.n_gates, self.n_experts, self.dropout = n_gates, n_experts, dropout
        linear = [nn.Linear(n_inputs, n_experts, bias=False) for _ in range(n_gates)]
        self.linear = Stacked(linear) if common else Parallel(linear)

    def forward(self, z: Tensor, gates: Sequence[int] | None = None) -> Tensor:
        weight = self._weight(
            None if gates is None or list(gates) == list(range(self.n_gates)) else list(gates)
        )
        if z.dim() == 2:
            logits = (weight.flatten(0, 1) @ z.t()).unflatten(0, weight.shape[:2])
        else:
            logits = torch.bmm(weight, z.transpose(1, 2))
        if self.training and self.dropout:
            kept = torch.rand_like(logits) >= self.dropout
            kept |= ~kept.any(1, keepdim=True)
            logits = logits.masked_fill(~kept, -torch.inf)
        # Rows are innermost, (G, E, n): a softmax over a few neighbours takes many times as long.
        return logits.softmax(1).transpose(1, 2)

    def _weight(self, chosen: list[int] | None) -> Tensor:
        """(G, E, d)."""
        if isinstance(self.linear, Parallel):
            return self.linear.stacked(chosen)["weight"]
        weight = dict(self.linear.weights())["weight"]
        return weight if chosen is None else weight[chosen]

    def parameters_of(self, gate: int) -> tuple[nn.Parameter, ...]:
        """Parameters of one gate; of all of them where they are one parameter."""
        linear = self.linear
        return parameters_of(linear.members[gate] if isinstance(linear, Parallel) else linear)


def mix(weights: Tensor, outputs: Tensor) -> Tensor:
    """``f_t = Σ_i w_ti h_i``, row by row and for all tasks in one product.

    Parameters
    ----------
    weights : Tensor of shape (T, n, E), or (T, 1, E) where they are the same for all rows
    outputs : Tensor of shape (n, E, d)

    Returns
    -------
    Tensor of shape (T, n, d)
    """
    if weights.shape[1] != len(outputs):
        return torch.tensordot(weights.squeeze(1), outputs.transpose(0, 1), 1)
    # Without neighbours in memory along E or T, bmm would take row after row by itself.
    return torch.bmm(weights.transpose(0, 1).contiguous(), outputs).transpose(0, 1)


def mix_own(weights: Tensor, own: Tensor, common: Tensor) -> Tensor:
    """As `mix`, where a task takes experts of its own besides those that all tasks share.

    Parameters
    ----------
    weights : Tensor of shape (T, n, O + S)
    own : Tensor of shape (T, O, n, d)
    common : Tensor of shape (n, S, d)

    Returns
    -------
    Tensor of shape (T, n, d)
    """
    mine, shared = weights.split([own.shape[1], common.shape[1]], -1)
    # Own experts are few: a product of matrices for each task and row would be one of almost nothing.
    weighted = mine.transpose(1, 2).unsqueeze(-1) * own
    return mix(shared, common) + (weighted.squeeze(1) if own.shape[1] == 1 else weighted.sum(1))
