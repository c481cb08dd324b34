"""Conditioning by concatenation: the task's descriptor beside a layer's input.

Finn, C. (2020). CS 330: Deep multi-task and meta learning, lecture 2, Stanford University: "concatenate with input
and/or activations".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call

from polytask.errors import SettingError
from polytask.sharing.blocks import Blocks
from polytask.sharing.cards import Card
from polytask.sharing.conditioning.additive import Shift
from polytask.sharing.conditioning.base import Conditioned, rest
from polytask.sharing.conditioning.numbers import TaskNumbers
from polytask.sharing.conditioning.steps import Asked, Condition, Layer, Step, cut_at_layer


class Concatenation(Conditioned):
    """``h ← σ(W' [h; z_t] + b)`` with ``W' = [W, U]``: z widens the input of a block's first layer.

    To a convolution z comes as channels that are constant over the map. W are the weights that the encoder
    brings; U is drawn as a layer of the wider input draws its weights. Computed is ``W h + b + U z``, the same
    by linearity, in which W h does not depend on z: of the first such layer it is computed once for all tasks,
    and U z is one vector (or map) per task. With a one-hot z, column t of U belongs to task t alone, and all
    else is shared.

    Parameters are those of `polytask.sharing.conditioning.base.Conditioned`.

    Raises
    ------
    SettingError
        For a block that does not begin with a linear layer or a convolution in one group; further as in the
        base.
    """

    name = "concatenation"
    card = Card(
        "Dumoulin et al. 2018, Feature-wise transformations, Distill",
        "h ← f([h; z_t])",
        "one network that is told the task",
    )
    enters = True

    def conditioned(self, number: int, blocks: Blocks) -> list[Step]:
        cut = cut_at_layer(blocks.modules[number - 1])
        if cut is None or (not isinstance(cut[1], nn.Linear) and cut[1].groups > 1):
            raise SettingError(
                f"Block {number} of the encoder, a {type(blocks.modules[number - 1]).__name__}, does not begin "
                "with a linear layer or a convolution in one group, so z has nothing to be concatenated to. "
                "Leave this block out, at=[…], or use sharing='additive' or 'film'."
            )
        before, layer, after = cut
        # Apart from the layer: a convolution of z needs the shape of what the layer takes.
        return [*rest(before), Step(layer, self._beside(layer)), *rest(after)]

    def _beside(self, layer: Layer) -> Condition:
        kernel = () if isinstance(layer, nn.Linear) else tuple(layer.kernel_size)
        inputs = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
        outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        bound = 1 / math.sqrt((inputs + self.descriptor.dimension) * math.prod(kernel))
        numbers: TaskNumbers = self.descriptor.numbers(torch.zeros(outputs, *kernel), bound)
        return ConvolvedShift(numbers, 1) if kernel else Shift(numbers, -1)


class ConvolvedShift(Condition):
    """``h + U * z`` with z constant over the map; at a padded border less of it counts.

    The numbers are the kernels that belong to a task's z, (channels, *kernel size).
    """

    def forward(self, h: Tensor, asked: Asked, layer: nn.Module, taken: torch.Size) -> Tensor:
        kernels = self.numbers(asked.tasks, asked.z)
        n_tasks, channels, *size = kernels.shape
        weights = {"weight": kernels.reshape(-1, 1, *size)}
        if layer.bias is not None:
            weights["bias"] = kernels.new_zeros(n_tasks * channels)
        ones = kernels.new_ones(1, 1, *taken[-len(size) :])
        maps = functional_call(layer, weights, ones)
        return h + asked.spread(maps.unflatten(1, (n_tasks, channels)).squeeze(0), h, self.channel)

    def tables(self, asked: Asked) -> dict[str, Tensor]:
        """What z adds far from the borders."""
        return {"shift": self.numbers(asked.tasks, asked.z).flatten(2).sum(2)}
