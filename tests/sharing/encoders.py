"""Encoders as users bring them, each with a batch of rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LastState(nn.Module):
    """A recurrent network that returns one tensor."""

    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(n_inputs, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0][:, -1]


def convolutions() -> tuple[nn.Module, Tensor]:
    layers = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    top = [nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU()]
    return nn.Sequential(*layers, *top), torch.randn(4, 1, 6, 6)


def attention() -> tuple[nn.Module, Tensor]:
    layers = [nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True) for _ in range(3)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((1, 8)), nn.Flatten()), torch.randn(4, 5, 8)


def recurrent() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(LastState(3, 6), nn.Linear(6, 6), nn.ReLU()), torch.randn(4, 7, 3)


def tokens() -> tuple[nn.Module, Tensor]:
    encoder = nn.Sequential(nn.Embedding(9, 6), LastState(6, 6), nn.Linear(6, 6))
    return encoder, torch.randint(0, 9, (4, 7))


ENCODERS = {f.__name__: f for f in (convolutions, attention, recurrent, tokens)}

#: What cannot be done by nature, and the advice that comes with the refusal.
REFUSED = {
    ("concatenation", "attention"): "use sharing='additive' or 'film'",
    ("concatenation", "recurrent"): "use sharing='additive' or 'film'",
    ("concatenation", "tokens"): "use sharing='additive' or 'film'",
    ("mmoe", "tokens"): "bottom=1",
    ("dselect_k", "tokens"): "bottom=1",
    ("cgc", "tokens"): "bottom=1",
    ("ple", "tokens"): "bottom=1",
}
