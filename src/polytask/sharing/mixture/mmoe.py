"""Multi-gate mixture of experts.

Ma, J., Zhao, Z., Yi, X., Chen, J., Hong, L., Chi, E. H. (2018). Modeling task relationships in multi-task
learning with multi-gate mixture-of-experts. KDD.
Gate dropout and experts above a common bottom: Zhao, Z. et al. (2019). Recommending what video to watch next:
a multitask ranking system. RecSys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from polytask.sharing.blocks import Encoder
from polytask.sharing.cards import Card
from polytask.sharing.mixture.common import CommonExperts
from polytask.sharing.mixture.gates import SoftmaxGates


class MMoE(CommonExperts):
    """``y_k = h^k(f^k(x))``, ``f^k(x) = Σ_i g^k(x)_i f_i(x)``, ``g^k(x) = softmax(W_gk x)``.

    Experts f_i are shared by all tasks; gate g^k and tower h^k are the task's own.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        From a batch of inputs to (n, width): the first expert; the others are copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    n_experts : int
    gate_dropout : float
        Probability with which an expert is left out of a gate for a row in training, against experts' collapse
        (0.1 in Zhao et al.).
    bottom : int
        So many of the encoder's first blocks are one network that all experts and gates take their input from.
        Gates see a row as it is, and of images, sequences and the like the means of their channels over places,
        so these want a bottom, and token ids need one (the embedding).
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    example : Tensor of shape (n, …), optional
        A few rows of input; not needed where inputs are tables.
    blocks : sequence of str, optional
        Names of the encoder's submodules that are its blocks; see `polytask.sharing.blocks.find_blocks`.

    Raises
    ------
    SettingError
        If a number is out of range, or the encoder's blocks or its input's shape cannot be found.
    """

    name = "mmoe"
    card = Card(
        "Ma et al. 2018, Modeling task relationships with multi-gate mixture-of-experts, KDD",
        "f^k = Σ_i softmax(W_gk x)_i f_i(x)",
        "all experts; gates choose",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        n_experts: int = 8,
        gate_dropout: float = 0.0,
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
        self.gate = SoftmaxGates(len(self.tasks), self.gate_width, n_experts, gate_dropout)
