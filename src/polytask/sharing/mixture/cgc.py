"""Customized gate control: experts that tasks share, and experts of their own.

Tang, H., Liu, J., Zhao, M., Gong, X. (2020). Progressive layered extraction (PLE): a novel multi-task learning
model for personalized recommendations. RecSys. Section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from polytask.sharing.blocks import Encoder
from polytask.sharing.cards import Card
from polytask.sharing.mixture.base import Mixture, at_least_one
from polytask.sharing.mixture.bottom import split
from polytask.sharing.mixture.top_level import TopLevel
from polytask.sharing.modes import evaluated
from polytask.sharing.parallel import fresh_copies
from polytask.sharing.parts import Matrix, Part


class CGC(Mixture):
    """``y^k = t^k(g^k(x))``, ``g^k(x) = w^k(x) S^k(x)``, ``w^k(x) = softmax(W_g^k x)``.

    S^k(x) holds the outputs of task k's own experts and of the shared ones, ``[E_k; E_s]``. A task's own
    experts, its gate and its tower t^k are not computed where the task is not asked for.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        From a batch of inputs to (n, width): the first expert; the others are copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    n_shared, n_own : int
        Number of shared experts, and of experts that each task has of its own.
    gate_dropout, bottom
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

    name = "cgc"
    card = Card(
        "Tang, Liu, Zhao & Gong 2020, Progressive layered extraction, RecSys",
        "g^k = softmax(W_g^k x) · [E_k; E_shared]",
        "some experts; others are the task's own",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        n_shared: int = 2,
        n_own: int = 1,
        gate_dropout: float = 0.0,
        bottom: int = 0,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        at_least_one(n_shared=n_shared, n_own=n_own)
        cut = split(encoder, bottom, blocks=blocks, example=example, width=width)
        super().__init__(heads, cut, task_hidden, dropout)
        experts = fresh_copies(cut.expert, len(self.tasks) * n_own + n_shared)
        self.level = TopLevel(experts, self.tasks, n_own, cut.gate_width, gate_dropout)

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        below, common = self._shared(x)
        return self.level(below, self.seen(below), common, tasks)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        self.check_input(x)
        below, common = self._shared(x)
        return self.towers.own(self.level.of_rows(below, self.seen(below), common, task_of_row), task_of_row)

    def _shared(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What experts take, and the outputs (n, S, width) of the shared ones."""
        below = self.below(x)
        common = self.level.common(below).transpose(0, 1)
        if self.bottom is None:
            (common,) = self.cut(common)
        else:
            below, common = self.cut(below, common)
        return below, common

    def gates(self, x: Tensor) -> list[Matrix]:
        with evaluated(self):
            below = self.below(x)
            common = self.level.common(below).transpose(0, 1)
            return [self.level.usage("", below, self.seen(below), common)]

    def parts(self) -> list[Part]:
        out = self.bottom_parts()
        below = tuple(part.name for part in out[-1:])
        out += self.level.parts("", below, dict.fromkeys(self.tasks, below))
        return out + self.head_parts(self.level.outputs_of(""))
