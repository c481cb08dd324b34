from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polytask.errors import SettingError
from polytask.sharing import HardSharing
from polytask.sharing.attention import MTAN
from polytask.testing import check_sharing

HEADS = {"a": 1, "b": 2, "c": 1}


def table_network(**settings: object) -> MTAN:
    torch.manual_seed(0)
    return MTAN.for_table(5, HEADS, hidden=(6, 4, 3), **settings).double()


def image_blocks() -> list[nn.Module]:
    """Three blocks as the paper's: two layers each, pooling between the blocks; the last returns vectors."""
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(5, 6, 3, padding=1),
            nn.ReLU(),
        ),
        nn.Sequential(nn.Flatten(), nn.Linear(6 * 4, 7), nn.ReLU(), nn.Linear(7, 3), nn.ReLU()),
    ]


def image_network() -> MTAN:
    return MTAN(HEADS, image_blocks(), example=torch.zeros(2, 1, 4, 4)).double()


def mask_of(net: MTAN, j: int, i: int, seen: Tensor) -> Tensor:
    """h(g(·)) as 1×1 convolutions of one row: (channels, *positions)."""
    g, h = (net.masks[j].members[i][k] for k in (0, 2))
    one = [1] * (seen.dim() - 1)
    convolve = {1: F.linear, 3: F.conv2d}[seen.dim()]
    inner = torch.relu(convolve(seen[None], g.weight.view(*g.weight.shape, *one), g.bias))
    return torch.sigmoid(convolve(inner, h.weight.view(*h.weight.shape, *one), h.bias))[0]


def literal_table(net: MTAN, x: Tensor) -> dict[str, Tensor]:
    """The paper's formula, task by task and row by row, over an MLP: one layer a block, so u = p."""
    out: dict[str, list[Tensor]] = {task: [] for task in net.tasks}
    for row in x:
        for i, task in enumerate(net.tasks):
            p, a_hat = row, None
            for j, block in enumerate(net.first):
                u = p = torch.relu(block[0].weight @ p + block[0].bias)
                seen = u
                if a_hat is not None:
                    f = net.extractors[j - 1].layer
                    seen = torch.cat([u, torch.relu(f.weight @ a_hat + f.bias)])
                a_hat = mask_of(net, j, i, seen) * p
            out[task].append(net.towers.module(task)(a_hat))
    return {task: torch.stack(rows) for task, rows in out.items()}


def literal_images(net: MTAN, images: Tensor, convolutions: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The same over convolutions: u after a block's first one, p after its second one."""
    c11, c12, c21, c22, l31, l32 = convolutions
    f2, f3 = (extractor.layer for extractor in net.extractors)
    out: dict[str, list[Tensor]] = {task: [] for task in net.tasks}
    for image in images:
        u1 = torch.relu(F.conv2d(image[None], c11.weight, c11.bias, padding=1))
        p1 = torch.relu(F.conv2d(u1, c12.weight, c12.bias, padding=1))
        u2 = torch.relu(F.conv2d(F.max_pool2d(p1, 2), c21.weight, c21.bias, padding=1))
        p2 = torch.relu(F.conv2d(u2, c22.weight, c22.bias, padding=1))
        u3 = torch.relu(l31.weight @ p2.flatten() + l31.bias)
        p3 = torch.relu(l32.weight @ u3 + l32.bias)
        for i, task in enumerate(net.tasks):
            a_hat = mask_of(net, 0, i, u1[0]) * p1[0]
            carried = torch.relu(F.conv2d(a_hat[None], f2.weight, f2.bias, padding=1))
            a_hat = mask_of(net, 1, i, torch.cat([u2[0], F.max_pool2d(carried, 2)[0]])) * p2[0]
            carried = torch.relu(F.conv2d(a_hat[None], f3.weight, f3.bias, padding=1))[0]
            a_hat = mask_of(net, 2, i, torch.cat([u3, carried.flatten(1).max(1).values])) * p3
            out[task].append(net.towers.module(task)(a_hat))
    return {task: torch.stack(rows) for task, rows in out.items()}


def assert_same(net: MTAN, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    parameters = list(net.parameters())
    grads = []
    for outputs in (ours, theirs):
        torch.manual_seed(3)
        loss = sum((torch.randn_like(o) * o).sum() for o in outputs.values())
        grads.append(torch.autograd.grad(loss, parameters))
    for task in net.tasks:
        torch.testing.assert_close(ours[task], theirs[task], rtol=0, atol=1e-10)
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("reduction", [1.0, 2.0])
def test_tables_equal_the_papers_formula(reduction: float) -> None:
    net = table_network(reduction=reduction)
    x = torch.randn(7, 5, dtype=torch.float64)
    assert_same(net, net(x), literal_table(net, x))


def test_images_equal_the_papers_formula() -> None:
    net = image_network()
    layers = [m for m in nn.ModuleList(zip_halves(net)).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    images = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    assert_same(net, net(images), literal_images(net, images, layers))


def zip_halves(net: MTAN) -> list[nn.Module]:
    return [half for pair in zip(net.first, net.rest) for half in pair]


def test_check_sharing() -> None:
    check_sharing(MTAN)


def test_masks_of_one_are_hard_sharing() -> None:
    net = image_network()
    hard = HardSharing(HEADS, nn.Sequential(*zip_halves(net)), 3, example=torch.zeros(2, 1, 4, 4)).double()
    hard.towers.load_state_dict(net.towers.state_dict())
    images = torch.randn(4, 1, 4, 4, dtype=torch.float64)
    assert float((net.table(images) - hard.table(images)).detach().abs().max()) > 1e-3
    open_masks(net, 60.0)
    torch.testing.assert_close(net.table(images), hard.table(images), rtol=0, atol=1e-12)


def open_masks(net: MTAN, bias: float) -> None:
    """All masks the sigmoid of `bias`."""
    for group in net.masks:
        for member in group.members:
            nn.init.zeros_(member[2].weight)
            nn.init.constant_(member[2].bias, bias)


def test_u_is_p_where_later_layers_move_positions() -> None:
    block = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU()]
    end = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    net = MTAN(HEADS, [nn.Sequential(*block), end], example=torch.zeros(2, 1, 6, 6))
    assert [len(rest) for rest in net.rest] == [0, 0]
    assert [m.members[0][0].in_features for m in net.masks] == [4, 3 + 3]
    padded = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    net = MTAN(
        HEADS,
        [padded, nn.Sequential(nn.Flatten(), nn.Linear(64, 3))],
        example=torch.zeros(2, 1, 6, 6),
    )
    assert [len(rest) for rest in net.rest] == [2, 0]
    assert [m.members[0][0].in_features for m in net.masks] == [3, 3 + 3]


class States(nn.GRU):
    """All states of a recurrent network: (n, length, d)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


class Last(nn.Module):
    """The last place of a sequence, through a linear layer."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[:, -1])


ENCODERS = {
    "sequence": ((6, 3), lambda: [States(3, 4, batch_first=True), States(4, 5, batch_first=True), Last(5)]),
    "strided sequence": (
        (1, 9),
        lambda: [nn.Conv1d(1, 3, 3, stride=2), nn.Conv1d(3, 4, 2, stride=2), nn.Flatten()],
    ),
    "maps to tokens": (
        (1, 4, 4),
        lambda: [
            nn.Conv2d(1, 4, 2, stride=2),
            nn.Sequential(nn.Flatten(2), nn.Linear(4, 5)),
            nn.Sequential(nn.Flatten(), nn.Linear(20, 3)),
        ],
    ),
    "vectors to maps": (
        (4,),
        lambda: [
            nn.Linear(4, 8),
            nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 3, 1)),
            nn.Sequential(nn.Flatten(), nn.Linear(12, 3)),
        ],
    ),
    "batch norm": ((4,), lambda: [nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)), nn.Linear(6, 3)]),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_any_encoder_of_blocks(kind: str) -> None:
    """Forms agree, everything learns, and a row's output does not depend on other rows."""
    shape, make = ENCODERS[kind]
    torch.manual_seed(0)
    net = MTAN(HEADS, make(), example=torch.zeros(2, *shape)).double()
    x = torch.randn(6, *shape, dtype=torch.float64)
    sum(o.square().sum() for o in net(x).values()).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.eval()
    outputs = net(x)
    own = net.own(x, torch.tensor([2, 1, 0, 1, 1, 0]))
    torch.testing.assert_close(own[1], outputs["b"][1], rtol=0, atol=1e-10)
    torch.testing.assert_close(own[5, :1], outputs["a"][5], rtol=0, atol=1e-10)
    torch.testing.assert_close(net(x[3:4])["c"], outputs["c"][3:4], rtol=0, atol=1e-10)


def test_the_extractor_of_vectors_to_maps_repeats_them() -> None:
    shape, make = ENCODERS["vectors to maps"]
    torch.manual_seed(0)
    net = MTAN(HEADS, make(), example=torch.zeros(2, *shape)).double()
    a = torch.randn(5, 8, dtype=torch.float64)
    found = net.extractors[0](a, (2, 2))
    f = net.extractors[0].layer
    for row, one in zip(found, a):
        for place in row.flatten(0, 1):
            torch.testing.assert_close(place, torch.relu(f.weight @ one + f.bias))


def test_only_what_is_asked_for_is_computed() -> None:
    net = table_network()
    calls: Counter[int] = Counter()
    for j, block in enumerate(net.first):
        block.register_forward_hook(lambda *_, j=j: calls.update([j]))
    x = torch.randn(4, 5, dtype=torch.float64)
    net(x, {"c": None, "a": None})
    assert calls == {0: 1, 1: 1, 2: 1}
    # Blocks once; masks, extractors and the head for each task.
    shared = 2 * (5 * 6 + 6 * 4 + 4 * 3)
    task = 2 * (6 * 6 + 6 * 6 + 6 * 4 + 8 * 4 + 4 * 4 + 4 * 3 + 6 * 3 + 3 * 3)
    assert net.flops(["a"]) == shared + task + 2 * 3
    assert net.flops(["c", "a"]) == shared + 2 * (task + 2 * 3)


def test_a_task_that_is_absent_gets_no_gradient() -> None:
    net = table_network()
    x = torch.randn(4, 5, dtype=torch.float64)
    out = net(x, {"c": None, "a": torch.tensor([1, 3])})
    (out["c"].sum() + out["a"].sum()).backward()
    assert all(p.grad is None for p in net.task_parameters("b"))
    for task in ("a", "c"):
        assert all(p.grad is not None for p in net.task_parameters(task))
    assert all(p.grad is not None for p in net.shared_parameters())


def test_attention_is_the_mean_mask() -> None:
    net = image_network().train()
    images = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    whole, *blocks = net.attention(images)
    assert net.training
    assert whole.rows == net.tasks
    assert whole.columns == ("block 1", "block 2", "block 3")
    assert [b.values.shape for b in blocks] == [(3, 4), (3, 6), (3, 3)]
    first = torch.relu(net.first[0][0](images))
    for i, row in enumerate(blocks[0].values):
        masks = torch.stack([mask_of(net, 0, i, u) for u in first])
        np.testing.assert_allclose(row, masks.mean((0, 2, 3)).detach().numpy(), atol=1e-12)
    for j, block in enumerate(blocks):
        np.testing.assert_allclose(whole.values[:, j], block.values.mean(1), atol=1e-12)
    open_masks(net, 0.0)
    np.testing.assert_array_equal(net.attention(images)[0].values, 0.5)


def test_looking_changes_nothing() -> None:
    encoder = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
    net = MTAN(HEADS, encoder)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = net.attention(torch.randn(5, 4) + 3)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert len(found) == 2


def test_parts_chain_from_input_to_heads() -> None:
    parts = {part.name: part for part in table_network().parts()}
    assert parts["extractor 2"].inputs == ("attention 1 of a", "attention 1 of b", "attention 1 of c")
    assert parts["attention 2 of b"].inputs == ("block 2", "extractor 2")
    assert parts["attention 2 of b"].tasks == ("b",)
    assert parts["head of b"].inputs == ("attention 3 of b",)
    assert parts["extractor 2"].is_shared


def test_reduction_is_checked_and_narrows_masks() -> None:
    with pytest.raises(SettingError, match="reduction must be positive, got 0"):
        table_network(reduction=0)
    assert [m.members[0][0].out_features for m in table_network(reduction=3).masks] == [2, 1, 1]
