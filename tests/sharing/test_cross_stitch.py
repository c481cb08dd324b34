from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import SingleTask
from polytask.sharing.cross_stitch import CrossStitch
from polytask.testing import check_sharing

HEADS = {"a": 1, "b": 3, "c": 2}
D, N = 5, 7


class Sequences(nn.Module):
    """The last state of a recurrent layer whose output is a sequence: a block of its own."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


class LastState(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


def mlp_blocks() -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(D, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 4), nn.Tanh())]


def convolutions() -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh()),
        nn.Sequential(nn.Conv2d(4, 2, 2), nn.Tanh(), nn.Flatten()),
        nn.Sequential(nn.Linear(2 * 9, 6), nn.Tanh()),
    ]


def recurrent() -> list[nn.Module]:
    return [Sequences(3, 4), nn.Sequential(Sequences(4, 6), LastState())]


def embedded() -> list[nn.Module]:
    return [nn.Embedding(9, 4), nn.Sequential(nn.Linear(4, 6), nn.Tanh(), LastState())]


DRAWS = torch.Generator().manual_seed(0)

#: Name → blocks, an example, and where channels are in one network's outputs.
ENCODERS = {
    "mlp": (mlp_blocks, torch.randn(N, D, generator=DRAWS), [-1, -1]),
    "convolutions": (convolutions, torch.randn(N, 2, 6, 6, generator=DRAWS), [1, -1, -1]),
    "sequences": (recurrent, torch.randn(N, 5, 3, generator=DRAWS), [-1, -1]),
    "tokens": (embedded, torch.randint(9, (N, 5), generator=DRAWS), [-1, -1]),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def randomised(network: nn.Module) -> nn.Module:
    """With all parameters drawn anew, so that no coefficient is equal to another."""
    network = network.double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) * 0.7)
    return network


def inputs(name: str) -> Tensor:
    x = ENCODERS[name][1]
    return x.double() if x.is_floating_point() else x


def member_weights(network: CrossStitch) -> list[list[dict[str, Tensor]]]:
    """Per block and task the parameters, as leaves cut off from the network."""
    out = []
    for block in network.blocks:
        tables = [dict[str, Tensor]() for _ in network.tasks]
        named = block.stacked().items() if hasattr(block, "stacked") else block.weights()
        for name, weight in named:
            for t, table in enumerate(tables):
                table[name] = weight.detach()[t].clone().requires_grad_()
        out.append(tables)
    return out


def literal(
    blocks: list[nn.Module],
    weights: list[list[dict[str, Tensor]]],
    alphas: list[Tensor],
    channels: list[int],
    x: Tensor,
) -> list[Tensor]:
    """Formula (1): task by task, and per channel value by value."""
    h = [x] * len(weights[0])
    for i, (block, tables) in enumerate(zip(blocks, weights)):
        outputs = [torch.func.functional_call(block, table, (h[t],)) for t, table in enumerate(tables)]
        if i >= len(alphas):
            h = outputs
            continue
        h = []
        for s in range(len(outputs)):
            mixed = torch.zeros_like(outputs[s])
            for t, output in enumerate(outputs):
                alpha = alphas[i][s, t]
                if alpha.dim() == 0:
                    mixed = mixed + alpha * output
                    continue
                slices = [alpha[c] * output.select(channels[i], c) for c in range(len(alpha))]
                mixed = mixed + torch.stack(slices, channels[i])
            h.append(mixed)
    return h


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("name", ENCODERS)
def test_equals_the_formula(name: str, per: str, last: bool) -> None:
    make, example, channels = ENCODERS[name]
    blocks = [block.double() for block in make()]
    network = randomised(CrossStitch(HEADS, make(), per=per, last=last, example=example))
    x = inputs(name)
    weights = member_weights(network)
    rows = network.last_alpha.stacked()["alpha"]
    alphas = [a.detach().clone().requires_grad_() for a in (*network.alphas, rows)]
    expected = literal(blocks, weights, alphas, channels, x)
    h = network.representations(x, range(3))
    torch.testing.assert_close(h, torch.stack(expected), rtol=0, atol=1e-10)
    outputs = network(x)
    for t, task in enumerate(HEADS):
        head = network.towers.module(task)
        torch.testing.assert_close(outputs[task], head(expected[t]), rtol=0, atol=1e-10)

    factor = torch.randn(h.shape, dtype=torch.float64)
    (factor * h).sum().backward()
    (factor * torch.stack(expected)).sum().backward()
    for alpha, ours in zip(alphas, [*network.alphas, None]):
        grad = torch.stack([m.alpha.grad for m in network.last_alpha.members]) if ours is None else ours.grad
        torch.testing.assert_close(grad, alpha.grad, rtol=0, atol=1e-10)
    for block, tables in zip(network.blocks, weights):
        for key in tables[0]:
            theirs = torch.stack([table[key].grad for table in tables])
            torch.testing.assert_close(gradient_of(block, key), theirs, rtol=0, atol=1e-10)


def gradient_of(block: nn.Module, key: str) -> Tensor:
    if hasattr(block, "module"):
        return block.module.get_parameter(key).grad
    return torch.stack([member.get_parameter(key).grad for member in block.members])


@pytest.mark.parametrize("settings", [{}, {"per": "channel"}, {"last": False}])
def test_conforms(settings: dict[str, object]) -> None:
    check_sharing(lambda n, heads: CrossStitch.for_table(n, heads, **settings))


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_identity_is_single_task(per: str) -> None:
    torch.manual_seed(0)
    stitched = CrossStitch.for_table(D, HEADS, hidden=(6, 4), own=1.0, per=per).double()
    single = SingleTask.for_table(D, HEADS, hidden=(6, 4)).double()
    weights = member_weights(stitched)
    with torch.no_grad():
        for t, encoder in enumerate(single.encoders.members):
            for layer, tables in zip((encoder[0], encoder[2]), weights):
                layer.weight.copy_(tables[t]["0.weight"])
                layer.bias.copy_(tables[t]["0.bias"])
    single.towers.load_state_dict(stitched.towers.state_dict())
    x = torch.randn(N, D, dtype=torch.float64)
    for task, out in stitched(x).items():
        torch.testing.assert_close(out, single(x)[task], rtol=0, atol=1e-10)


def test_equal_rows_give_equal_representations() -> None:
    """The other limit: where all rows of the last α are one, all tasks see the same."""
    network = randomised(CrossStitch.for_table(D, HEADS, hidden=(6, 4)))
    with torch.no_grad():
        for rows in network.last_alpha.members:
            rows.alpha.copy_(torch.tensor([0.5, -1.0, 2.0]))
    h = network.representations(torch.randn(N, D, dtype=torch.float64), range(3))
    torch.testing.assert_close(h, h[:1].expand(3, -1, -1), rtol=0, atol=1e-12)


def test_order_of_tasks_does_not_matter() -> None:
    """Renaming tasks (towers, rows and columns of α alike) renames outputs."""
    network = randomised(CrossStitch.for_table(D, {"a": 1, "b": 1, "c": 1}, hidden=(6, 4)))
    x = torch.randn(N, D, dtype=torch.float64)
    before = network.table(x)
    order = [2, 0, 1]
    with torch.no_grad():
        for block in network.blocks:
            for p in block.parameters():
                p.copy_(p[order].clone())
        for alpha in network.alphas:
            alpha.copy_(alpha[order][:, order].clone())
        rows = network.last_alpha.stacked()["alpha"][order][:, order].clone()
        heads = [[p.clone() for p in network.towers.parameters_of(network.tasks[t])] for t in order]
        for t, task in enumerate(network.tasks):
            network.last_alpha.members[t].alpha.copy_(rows[t])
            for p, value in zip(network.towers.parameters_of(task), heads[t]):
                p.copy_(value)
    torch.testing.assert_close(network.table(x), before[:, order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_tasks", [2, 5])
def test_start_is_a_convex_combination(n_tasks: int) -> None:
    network = CrossStitch.for_table(D, {f"t{i}": 1 for i in range(n_tasks)}, own=0.8)
    assert [m.name for m in network.stitches()] == ["stitch 1", "stitch 2"]
    for matrix in network.stitches():
        assert matrix.rows == matrix.columns == network.tasks
        np.testing.assert_allclose(np.diag(matrix.values), 0.8, rtol=1e-6)
        np.testing.assert_allclose(matrix.values.sum(1), 1, rtol=1e-6)
        assert math.isclose(matrix.values[0, 1], 0.2 / (n_tasks - 1), rel_tol=1e-5)


def test_stitches_per_channel_are_summed_up() -> None:
    network = randomised(CrossStitch.for_table(D, HEADS, hidden=(6, 4), per="channel"))
    matrices = network.stitches()
    assert [m.name for m in matrices] == [
        f"stitch {i}, {what} over channels" for i in (1, 2) for what in ("mean", "standard deviation")
    ]
    first = network.alphas[0].detach().numpy()
    assert first.shape == (3, 3, 6)
    np.testing.assert_allclose(matrices[0].values, first.mean(2))
    np.testing.assert_allclose(matrices[1].values, first.std(2))
    np.testing.assert_allclose(matrices[2].values[1], network.last_alpha.members[1].alpha.detach().mean(1))


def test_channels_of_feature_maps_have_a_stitch_each() -> None:
    network = CrossStitch(HEADS, convolutions(), per="channel", example=ENCODERS["convolutions"][1])
    assert [tuple(alpha.shape) for alpha in network.alphas] == [(3, 3, 4), (3, 3, 18)]
    assert network.last_alpha.members[0].alpha.shape == (3, 6)


def test_who_owns_what() -> None:
    with_last, without = (CrossStitch.for_table(D, HEADS, hidden=(6, 4), last=last) for last in (True, False))
    assert [p.name for p in with_last.parts() if p.is_shared] == [
        "layer 1 of 3 networks",
        "stitch 1",
        "layer 2 of 3 networks",
    ]
    of_b = [p for p in with_last.parts() if p.tasks == ("b",)]
    assert [(p.name, p.kind, p.inputs) for p in of_b] == [
        ("stitch 2 of b", "stitch", ("layer 2 of 3 networks",)),
        ("head of b", "head", ("stitch 2 of b",)),
    ]
    assert [p.name for p in without.parts() if p.is_shared] == ["layer 1 of 3 networks"]
    of_b = [p for p in without.parts() if p.tasks == ("b",)]
    assert [p.name for p in of_b] == ["stitch 1 of b", "layer 2 of b", "head of b"]
    assert [p.inputs[0] for p in of_b] == ["layer 1 of 3 networks", "stitch 1 of b", "layer 2 of b"]


def test_last_blocks_of_their_own_are_computed_for_the_tasks_asked_for() -> None:
    network = CrossStitch.for_table(D, HEADS, hidden=(6, 4), last=False)
    every, one = network.flops(), network.flops(["b"])
    block, stitch, heads = 2 * 6 * 4, 2 * 3 * 6, 2 * 4 * (HEADS["a"] + HEADS["c"])
    assert every - one == 2 * (block + stitch) + heads


def test_stitches_learn_faster() -> None:
    network = CrossStitch.for_table(D, HEADS, hidden=(6, 4), rate=25.0)
    rates = {id(p): factor for p, factor in network.learning_rates()}
    alphas = [p for name, p in network.named_parameters() if "alpha" in name]
    assert len(alphas) == 1 + 3
    assert rates == {id(p): 25.0 for p in alphas}


def test_one_task_is_a_plain_network() -> None:
    network = CrossStitch.for_table(D, {"only": 2}, hidden=(6, 4)).double()
    assert network.stitches() == network.learning_rates() == []
    assert sum(p.numel() for p in network.parameters()) == D * 6 + 6 + 6 * 4 + 4 + 4 * 2 + 2
    x = torch.randn(N, D, dtype=torch.float64)
    first, second = (block.members[0] for block in network.blocks)
    expected = network.towers.module("only")(second(first(x)))
    torch.testing.assert_close(network(x)["only"], expected, rtol=0, atol=1e-12)


def test_networks_start_apart() -> None:
    weight = CrossStitch.for_table(D, HEADS).blocks[0].module[0].weight
    assert not torch.equal(weight[0], weight[1])


def test_batch_statistics_stay_with_their_network() -> None:
    blocks = [nn.Sequential(nn.Linear(D, 6), nn.BatchNorm1d(6)), nn.Linear(6, 4)]
    network = CrossStitch(HEADS, blocks)
    network.train()(torch.randn(50, D))
    first, second = (network.blocks[0].members[t][1].running_mean for t in (0, 1))
    assert not torch.allclose(first, second)


def test_named_blocks() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.top = mlp_blocks()

        def forward(self, x: Tensor) -> Tensor:
            return self.top(self.low(x))

    with pytest.raises(SettingError, match=r"cannot be found.*blocks=.*'low', 'top'"):
        CrossStitch(HEADS, Own(), 4, example=torch.zeros(2, D))
    network = CrossStitch(HEADS, Own(), 4, example=torch.zeros(2, D), blocks=["low", "top"])
    assert len(network.stitches()) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per": "row"}, "'layer' or 'channel', got 'row'"),
        ({"own": 1.5}, r"own.* \[0, 1\], got 1.5"),
        ({"own": float("nan")}, "own"),
        ({"rate": 0.0}, "rate.* positive, got 0.0"),
        ({"last": False, "hidden": (6,)}, "one block"),
        ({"share": 1}, "no setting 'share'; its settings are per, own, rate, last"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        CrossStitch.for_table(D, HEADS, **settings)


def test_wrong_number_of_features_is_named() -> None:
    with pytest.raises(SettingError, match="takes 5 features per row"):
        CrossStitch.for_table(D, HEADS)(torch.zeros(2, 4))
