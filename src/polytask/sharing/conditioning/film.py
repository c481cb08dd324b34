"""Feature-wise linear modulation.

Perez, E., Strub, F., de Vries, H., Dumoulin, V., Courville, A. (2018). FiLM: Visual reasoning with a general
conditioning layer. AAAI.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polytask.sharing.blocks import Blocks
from polytask.sharing.cards import Card
from polytask.sharing.conditioning.base import Conditioned, at_the_end, chain, rest
from polytask.sharing.conditioning.steps import Asked, Condition, Step


class FiLM(Conditioned):
    """``FiLM(F_c | γ_c, β_c) = γ_c F_c + β_c`` after blocks, c a channel of feature maps or a unit.

    γ and β are linear in z, ``γ = 1 + Δγ(z)`` as in the paper, with Δγ and β zero at first: training begins at
    hard sharing. In the paper a recurrent network that reads a question gives γ and β, and FiLM stands before
    the last ReLU of a residual block; here z takes the question's place, and FiLM acts on a block's output.

    Parameters are those of `polytask.sharing.conditioning.base.Conditioned`.
    """

    name = "film"
    card = Card(
        "Perez, Strub, de Vries, Dumoulin & Courville 2018, FiLM, AAAI",
        "h ← γ(z_t) ⊙ h + β(z_t)",
        "one network that is told the task",
    )

    def conditioned(self, number: int, blocks: Blocks) -> list[Step]:
        before, channels, dim, after = at_the_end(number, blocks)
        start = torch.stack([torch.ones(channels), torch.zeros(channels)])
        return [Step(chain(before), Modulation(self.descriptor.numbers(start), dim)), *rest(after)]


class Modulation(Condition):
    """``γ ⊙ h + β``; the numbers are γ above β, (2, channels)."""

    def forward(self, h: Tensor, asked: Asked, layer: nn.Module, taken: torch.Size) -> Tensor:
        gamma, beta = self.numbers(asked.tasks, asked.z).unbind(1)
        return torch.addcmul(asked.spread(beta, h, self.channel), asked.spread(gamma, h, self.channel), h)

    def tables(self, asked: Asked) -> dict[str, Tensor]:
        gamma, beta = self.numbers(asked.tasks, asked.z).unbind(1)
        return {"scale": gamma, "shift": beta}
