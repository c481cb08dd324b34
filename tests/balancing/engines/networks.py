"""Encoders of all kinds with heads, and the slow literal way to their tasks' gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]


class Case:
    """An encoder, T heads and a batch in float64."""

    def __init__(
        self, encoder: nn.Module, x: Tensor, read: Callable[[Tensor], Tensor] = lambda h: h, n_tasks: int = 4
    ) -> None:
        self.encoder, self.x, self.read = encoder.double(), x, read
        width = self.features().shape[-1]
        self.heads = nn.ModuleDict({f"t{k}": nn.Linear(width, 1) for k in range(n_tasks)}).double()

    def features(self) -> Tensor:
        out = self.encoder(self.x)
        return self.read(out[0] if isinstance(out, tuple) else out)

    def losses(self, h: Tensor | None = None) -> Losses:
        h = self.features() if h is None else h
        return {t: (head(h) - k).square().mean() for k, (t, head) in enumerate(self.heads.items())}

    @property
    def parameters(self) -> list[Tensor]:
        return [*self.encoder.parameters(), *self.heads.parameters()]


class Tied(nn.Module):
    """One layer used twice, and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        once = torch.tanh(self.layer(torch.tanh(self.layer(x))))
        return once @ self.layer.weight


class Scaled(nn.Module):
    """A parameter of one's own beside a layer without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.mix = nn.Parameter(torch.randn(6)), nn.Linear(5, 6, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.mix(x)) * self.scale


class Frozen(nn.Module):
    """A frozen weight with a trained bias, and a trained weight with a frozen bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 4)
        self.first.weight.requires_grad_(False)
        self.second.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def cases() -> dict[str, Case]:
    """One case per kind of layer and of graph."""
    torch.manual_seed(0)
    rows, images, tokens = (
        torch.randn(9, 5).double(),
        torch.randn(3, 2, 8, 8).double(),
        torch.randint(0, 10, (6, 3)),
    )
    sequence = torch.randn(3, 6, 8).double()
    mlp = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.LayerNorm(6), nn.Tanh())
    wide = nn.Sequential(nn.Linear(5, 3), nn.GELU(), nn.Linear(3, 2, bias=False))
    conv2 = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Conv2d(4, 40, 3, bias=False),
        nn.Flatten(),
    )
    conv1 = nn.Sequential(nn.Conv1d(6, 20, 3, padding=1, stride=2, dilation=2), nn.ReLU(), nn.Flatten())
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ConvTranspose2d(4, 3, 2), nn.Flatten())
    transformer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    embedding = nn.Sequential(nn.Embedding(10, 4, padding_idx=1), nn.Linear(4, 6), nn.Flatten())
    return {
        "mlp": Case(mlp, rows),
        "more rows than entries": Case(wide, torch.randn(60, 5).double()),
        "conv2d and group norm": Case(conv2, images),
        "conv1d": Case(conv1, sequence),
        "grouped and transposed convolutions": Case(grouped, images),
        "embedding": Case(embedding, tokens),
        "lstm": Case(nn.LSTM(8, 5, bidirectional=True, batch_first=True), sequence, lambda h: h[:, -1]),
        "gru cell": Case(nn.GRU(8, 5, batch_first=True), sequence, lambda h: h.mean(1)),
        "transformer": Case(transformer, sequence, lambda h: h.mean(1)),
        "tied weights": Case(Tied(), rows),
        "parameter of one's own": Case(Scaled(), rows),
        "partly frozen": Case(Frozen(), rows),
        "batch norm": Case(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU()), rows),
        "sequences through a layer": Case(nn.Sequential(nn.Linear(8, 4), nn.Tanh()), sequence, lambda h: h.mean(1)),
    }  # fmt: skip


def jacobian(losses: Losses, parameters: Iterable[Tensor]) -> Tensor:
    """The tasks' gradients (T, P), one backward pass after another."""
    parameters = [p for p in parameters if p.requires_grad]
    rows = []
    for loss in losses.values():
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat(
                [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, found)]
            )
        )
    return torch.stack(rows)


def flat_grad(parameters: Iterable[Tensor]) -> Tensor:
    """All ``.grad`` in a row; zero where there is none."""
    parameters = [p for p in parameters if p.requires_grad]
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
