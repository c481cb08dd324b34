"""Hard parameter sharing: one encoder for all tasks, a head per task ("shared bottom").

Caruana, R. (1997). Multitask learning. Machine Learning 28, 41–75.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import input_shape, output_width
from polytask.sharing.cards import Card
from polytask.sharing.parts import Part


class HardSharing(Architecture):
    """``y_t = h_t(f(x))``: encoder f is shared, head h_t is the task's own.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        From a batch of inputs to (n, width).
    width : int, optional
        Width of the encoder's output; found by running it on `example` where it is not given.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    example : Tensor of shape (n, …), optional
        A few rows of input, from which the width is found.
    """

    name = "hard"
    card = Card(
        "Caruana 1997, Multitask learning, Machine Learning 28",
        "y_t = h_t(f(x))",
        "the encoder f (shared bottom)",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int | None = None,
        *,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
    ) -> None:
        shape = input_shape(encoder, example)
        super().__init__(heads, output_width(encoder, width, example), task_hidden, dropout, shape)
        self.encoder = encoder

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        return self.remember(self.encoder(x))

    def parts(self) -> list[Part]:
        trunk = self.trunk_parts(self.encoder)
        return trunk + self.head_parts({task: [part.name for part in trunk[-1:]] for task in self.tasks})
