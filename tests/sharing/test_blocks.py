"""Where an encoder is cut, what runs between the cuts, and what is said when it cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import mlp
from polytask.sharing.blocks import find_blocks, layer_parameters, output_width, running_statistics


class Residual(nn.Module):
    """Named blocks with nothing between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.top = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.body(self.stem(x)))


class Glued(Residual):
    """Something happens between its blocks."""

    def forward(self, x: Tensor) -> Tensor:
        return self.top(torch.relu(self.body(self.stem(x))))


class LastState(nn.Module):
    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(n_inputs, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0][:, -1]


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5), nn.ReLU(),
    )  # fmt: skip


def transformer() -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(8), enable_nested_tensor=False)


CASES = {
    "mlp": (mlp(3, (4, 5), dropout=0.1), None, [(3,), (4,), (5,)], [3, 4, 5]),
    "wrapped": (nn.Sequential(mlp(3, (4, 5))), None, [(3,), (4,), (5,)], [3, 4, 5]),
    "no layer": (mlp(3, ()), torch.zeros(2, 3), [(3,), (3,)], [3, 3]),
    "images": (cnn(), torch.zeros(4, 1, 8, 8), [(1, 8, 8), (4, 6, 6), (24,), (5,)], [1, 4, 24, 5]),
    "list": ([nn.Linear(3, 4), nn.Linear(4, 2)], None, [(3,), (4,), (2,)], [3, 4, 2]),
    "recurrent": ([LastState(3, 4), nn.Linear(4, 2)], torch.zeros(2, 7, 3), [(7, 3), (4,), (2,)], [3, 4, 2]),
    "tokens": (
        nn.Sequential(nn.Embedding(9, 8), LastState(8, 4)),
        torch.zeros(2, 7, dtype=torch.int64),
        [(7,), (7, 8), (4,)],
        [7, 8, 4],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_between_blocks(case: str) -> None:
    encoder, example, shapes, widths = CASES[case]
    found = find_blocks(encoder, example=example)
    assert found.shapes == shapes
    assert found.widths == widths
    assert len(found) == len(shapes) - 1


@pytest.mark.parametrize("case", ["mlp", "wrapped", "images"])
def test_blocks_in_order_are_the_encoder(case: str) -> None:
    encoder, example, shapes, _ = CASES[case]
    x = torch.randn(3, *shapes[0])
    encoder.eval()
    out = x
    for module in find_blocks(encoder, example=example).modules:
        out = module(out)
    assert torch.equal(out, encoder(x))


def test_a_transformers_layers_are_its_blocks() -> None:
    encoder = transformer()
    with pytest.raises(SettingError, match=r"one vector per row.*rows of shape \(5, 8\)"):
        find_blocks(encoder, example=torch.zeros(2, 5, 8))
    pooled = nn.Sequential(encoder, nn.AdaptiveAvgPool2d((1, 8)), nn.Flatten())
    assert len(find_blocks(pooled, example=torch.zeros(2, 5, 8))) == 1
    assert len(layer_parameters(encoder)) == 3
    assert sum(p.numel() for ps in layer_parameters(encoder) for p in ps) == sum(
        p.numel() for p in encoder.parameters()
    )


def test_named_blocks() -> None:
    found = find_blocks(Residual(), names=["stem", "body", "top"])
    assert found.shapes == [(3,), (4,), (4,), (2,)]
    with pytest.raises(SettingError, match=r"no submodule 'head'; it has \['stem', 'body', 'top'\]"):
        find_blocks(Residual(), names=["stem", "head"])
    with pytest.raises(SettingError, match=r"leave out the encoder's parameter 'top\.weight' and 1 more"):
        find_blocks(Residual(), names=["stem", "body"])
    with pytest.raises(SettingError, match="something happens between them"):
        find_blocks(Glued(), names=["stem", "body", "top"])


def test_what_cannot_be_found_is_asked_for() -> None:
    with pytest.raises(
        SettingError, match=r"a Residual, cannot be found.*blocks=\[…\] of \['stem', 'body', 'top'\]"
    ):
        find_blocks(Residual())
    with pytest.raises(SettingError, match=r"begins with a Conv2d\): pass a few rows"):
        find_blocks(cnn())
    with pytest.raises(SettingError, match="Block 1 of the encoder, a GRU, returns a tuple"):
        find_blocks([nn.GRU(3, 4, batch_first=True)], example=torch.zeros(2, 5, 3))
    with pytest.raises(SettingError, match=r"Block 2 .*cannot take rows of shape \(4,\)"):
        find_blocks([nn.Linear(3, 4), nn.Linear(5, 2)])
    with pytest.raises(SettingError, match="is empty"):
        find_blocks([])


def test_the_width_is_found_or_checked() -> None:
    assert output_width(mlp(3, (4, 5)), None, None) == 5
    assert output_width(Residual(), None, torch.zeros(1, 3)) == 2
    assert output_width(cnn(), 5, None) == 5
    with pytest.raises(SettingError, match="returns 5 features per row, but width=7"):
        output_width(mlp(3, (4, 5)), 7, torch.zeros(2, 3))


def test_looking_at_an_encoder_leaves_it_as_it_was() -> None:
    encoder = cnn().train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    find_blocks(encoder, example=torch.randn(4, 1, 8, 8))
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert all(m.training for m in encoder.modules())
    assert running_statistics(encoder) == ["1"]
