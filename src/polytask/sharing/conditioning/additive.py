"""Conditioning by addition: a bias that the task's descriptor sets.

Finn, C. (2020). CS 330: Deep multi-task and meta learning, lecture 2, Stanford University: "additive conditioning".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polytask.sharing.blocks import Blocks
from polytask.sharing.cards import Card
from polytask.sharing.conditioning.base import Conditioned, at_the_end, chain, rest
from polytask.sharing.conditioning.steps import Asked, Condition, Step, cut_at_layer


class Additive(Conditioned):
    """``h ← σ(W h + b + U z_t)``: z adds to what a block's linear or convolutional layer returns.

    U begins at zero, which is hard sharing. Of a block that does not begin with such a layer, z adds to the
    output. For linear layers this is the same family of functions as `Concatenation`, and one with the same
    weights W and U is equal to it.

    Parameters are those of `polytask.sharing.conditioning.base.Conditioned`.
    """

    name = "additive"
    card = Card(
        "Dumoulin et al. 2018, Feature-wise transformations, Distill",
        "h ← h + U z_t",
        "one network that is told the task",
    )
    enters = True

    def conditioned(self, number: int, blocks: Blocks) -> list[Step]:
        cut = cut_at_layer(blocks.modules[number - 1])
        if cut is None:
            inner, channels, dim, after = at_the_end(number, blocks)
        else:
            before, layer, after = cut
            inner, dim = [*before, layer], -1 if isinstance(layer, nn.Linear) else 1
            channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        return [Step(chain(inner), Shift(self.descriptor.numbers(torch.zeros(channels)), dim)), *rest(after)]


class Shift(Condition):
    """``h + U z``, unit by unit or channel by channel."""

    def forward(self, h: Tensor, asked: Asked, layer: nn.Module, taken: torch.Size) -> Tensor:
        return h + asked.spread(self.numbers(asked.tasks, asked.z), h, self.channel)

    def tables(self, asked: Asked) -> dict[str, Tensor]:
        return {"shift": self.numbers(asked.tasks, asked.z)}
