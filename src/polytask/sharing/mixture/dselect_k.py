"""Mixture of experts in which each task selects at most k of them; see `polytask.sharing.mixture.selectors`.

Hazimeh, H. et al. (2021). DSelect-k: differentiable selection in the mixture of experts with applications to
multi-task learning. NeurIPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from polytask.errors import SettingError
from polytask.sharing.blocks import Encoder
from polytask.sharing.cards import Card
from polytask.sharing.mixture.common import CommonExperts
from polytask.sharing.mixture.gates import mix
from polytask.sharing.mixture.selectors import SelectorGates
from polytask.sharing.mixture.usage import warn_of_unsettled
from polytask.sharing.parts import Matrix


class DSelectK(CommonExperts):
    """``y_k = h^k(Σ_i q^k(x)_i f_i(x))``, with weights q of which at most k are not zero once gates have settled.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        From a batch of inputs to (n, width): the first expert; the others are copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    n_experts, k : int
        Number of experts, and how many of them a task may take.
    per_example : bool
        Whether a task selects for each row, or for all rows alike. In the second case experts that no task
        asked for takes are not computed in prediction.
    gamma : float
        γ of the smooth-step function, the width of its region between 0 and 1.
    entropy : float
        Strength of the penalty that makes selectors settle on one expert; zero: they settle when they do.
    reach : float
        Strength of the penalty that keeps selectors to experts that exist, where n_experts is no power of 2.
    bottom : int
        As in `polytask.sharing.mixture.MMoE`.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    example, blocks
        As in `polytask.sharing.mixture.MMoE`.

    Raises
    ------
    SettingError
        If a number is out of range, or the encoder's blocks or its input's shape cannot be found.
    """

    name = "dselect_k"
    card = Card(
        "Hazimeh et al. 2021, DSelect-k, NeurIPS",
        "f^k = Σ_i q(α, z)_i f_i(x), q with at most k entries that are not zero once settled",
        "all experts; each task uses k of them",
    )
    sparse = True
    gate: SelectorGates

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        n_experts: int = 8,
        k: int = 2,
        per_example: bool = False,
        gamma: float = 1.0,
        entropy: float = 1e-2,
        reach: float = 1.0,
        bottom: int = 0,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            heads, encoder, width, n_experts=n_experts, bottom=bottom, task_hidden=task_hidden,
            dropout=dropout, example=example, blocks=blocks,
        )  # fmt: skip
        for setting, strength in (("entropy", entropy), ("reach", reach)):
            if not strength >= 0:
                raise SettingError(f"{setting} must be zero or more, got {strength}.")
        self.entropy, self.reach = entropy, reach
        self.gate = SelectorGates(len(self.tasks), self.gate_width, n_experts, k, gamma, per_example)

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        if self.gate.per_example or torch.is_grad_enabled():
            return super().representations(x, tasks)
        below = self.below(x)
        weights = self.gate(self.seen(below), tasks)
        taken = (weights > 0).any(0).squeeze(0).nonzero().squeeze(1).tolist()
        return mix(weights[..., taken], self.experts(below, taken).transpose(0, 1))

    def gates(self, x: Tensor) -> list[Matrix]:
        found = super().gates(x)
        if not self.gate.per_example:
            warn_of_unsettled(found[0], self.gate.k)
        return found

    def penalty(self) -> Tensor | None:
        """What makes selectors settle on one expert that exists; None where it is zero by its settings."""
        settles = self.entropy > 0 and self.gate.n_bits > 0
        strays = self.reach > 0 and self.gate.n_experts < 2**self.gate.n_bits
        return self.gate.penalty(self.entropy, self.reach) if settles or strays else None
