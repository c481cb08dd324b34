from __future__ import annotations

import torch
from torch import nn

from polytask.sharing.conditioning.steps import Asked, cut_at_flatten, cut_at_layer

Z = torch.zeros(2, 1)


def test_every_row_for_every_task() -> None:
    asked = Asked([4, 1], Z)
    h = asked.part(torch.arange(6.0).view(3, 2))
    assert h.shape == (2, 3, 2)
    out = asked.run(nn.Flatten(), h.unsqueeze(-1) * torch.ones(5))
    assert out.shape == (2, 3, 10)
    maps = torch.zeros(2, 3, 4, 6, 6)
    values = torch.arange(8.0).view(2, 4)
    first = maps + asked.spread(values, maps, 1)
    assert torch.equal(first[1, 2, :, 5, 5], values[1])
    sequence = torch.zeros(2, 3, 7, 4)
    last = sequence + asked.spread(values, sequence, -1)
    assert torch.equal(last[1, 2, 6], values[1])


def test_a_row_for_its_own_task() -> None:
    x = torch.arange(6.0).view(3, 2)
    rows, of_row = torch.tensor([2, 0, 2, 1]), torch.tensor([0, 0, 1, 1])
    asked = Asked([4, 1], Z, of_row, rows)
    assert torch.equal(asked.part(x), x[rows])
    assert torch.equal(Asked([4, 1], Z, of_row).part(x), x)
    maps, values = torch.zeros(4, 3, 6), torch.arange(6.0).view(2, 3)
    out = maps + asked.spread(values, maps, 1)
    assert torch.equal(out[2, :, 4], values[1])
    whole = asked.spread(torch.arange(36.0).view(2, 3, 6), maps, 1)
    assert torch.equal(whole[2], torch.arange(18.0, 36.0).view(3, 6))


def test_blocks_are_cut_after_their_first_layer() -> None:
    norm, linear, act = nn.LayerNorm(3), nn.Linear(3, 4), nn.ReLU()
    assert cut_at_layer(nn.Sequential(nn.Flatten(), nn.Sequential(norm, linear), act))[1] is linear
    assert cut_at_layer(nn.Sequential(norm, linear, act)) == ([norm], linear, [act])
    assert cut_at_layer(linear) == ([], linear, [])
    assert cut_at_layer(nn.Sequential(nn.Embedding(3, 3), linear)) is None
    assert cut_at_layer(nn.ConvTranspose1d(1, 1, 2)) is None
    assert cut_at_layer(nn.Flatten()) is None


def test_feature_maps_are_found_before_they_are_flattened() -> None:
    conv, flat = nn.Conv2d(1, 5, 3), nn.Flatten()
    norm, act = nn.BatchNorm2d(5), nn.ReLU()
    assert cut_at_flatten(nn.Sequential(conv, norm, act, flat)) == ([conv, norm, act], 5, [flat])
    assert cut_at_flatten(nn.Sequential(conv, act)) is None
    assert cut_at_flatten(nn.Sequential(nn.Linear(3, 3), flat)) is None
    assert cut_at_flatten(nn.Sequential(conv, nn.Linear(3, 3), flat)) is None
    assert cut_at_flatten(nn.Sequential()) is None
