from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing.cross_stitch import CrossStitch
from polytask.sharing.sluice import Sluice
from polytask.testing import check_sharing

from .test_cross_stitch import HEADS, LastState, Sequences, gradient_of, member_weights, randomised

D, N = 5, 7


def mlp_blocks() -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(i, o), nn.Tanh()) for i, o in ((D, 6), (6, 12), (12, 6))]


def convolutions() -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(2, 6, 3), nn.Tanh()),
        nn.Sequential(nn.Conv2d(6, 6, 2), nn.Tanh(), nn.Flatten()),
        nn.Sequential(nn.Linear(6 * 9, 6), nn.Tanh()),
    ]


def recurrent() -> list[nn.Module]:
    return [Sequences(3, 6), nn.Sequential(Sequences(6, 6), LastState())]


DRAWS = torch.Generator().manual_seed(0)

#: Name → blocks, an example, where channels are, the blocks that β mixes, and the units of each block's weights.
ENCODERS = {
    "mlp": (mlp_blocks, torch.randn(N, D, generator=DRAWS), [-1, -1, -1], [0, 2], [6, 12, 6]),
    "convolutions": (convolutions, torch.randn(N, 2, 6, 6, generator=DRAWS), [1, -1, -1], [0, 2], [6, 6, 6]),
    "sequences": (recurrent, torch.randn(N, 5, 3, generator=DRAWS), [-1, -1], [0, 1], [6, 6]),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def literal_mix(alpha: Tensor, outputs: list[Tensor], subspaces: int, dim: int) -> list[Tensor]:
    """Subspace by subspace: what each (task, subspace) takes from every other."""
    groups = [group for output in outputs for group in output.chunk(subspaces, dim)]
    rows = [sum(a * group for a, group in zip(row, groups)) for row in alpha]
    return [torch.cat(rows[t * subspaces : (t + 1) * subspaces], dim) for t in range(len(outputs))]


def literal(
    name: str, weights: list[list[dict[str, Tensor]]], alphas: list[Tensor], beta: Tensor, subspaces: int
) -> list[Tensor]:
    """What the heads take, from the formulas, layer by layer and task by task."""
    make, example, channels, mixed, _ = ENCODERS[name]
    n_tasks = len(weights[0])
    h, out = [example.double()] * n_tasks, [torch.zeros((), dtype=torch.float64)] * n_tasks
    for i, (block, tables) in enumerate(zip(make(), weights)):
        outputs = [torch.func.functional_call(block, table, (h[t],)) for t, table in enumerate(tables)]
        h = literal_mix(alphas[i], outputs, subspaces, channels[i])
        if i in mixed:
            for t in range(n_tasks):
                whole = h[t]
                while whole.dim() > 2:
                    whole = whole.mean(2 if channels[i] == 1 else 1)
                out[t] = out[t] + beta[t, mixed.index(i)] * whole
    return out


def literal_penalty(
    name: str, weights: list[list[dict[str, Tensor]]], subspaces: int, strength: float
) -> Tensor:
    """Unit by unit: squared inner products of the weight vectors of different subspaces."""
    total = torch.zeros((), dtype=torch.float64)
    for tables, units in zip(weights, ENCODERS[name][4]):
        for table in tables:
            for key, weight in table.items():
                if "bias" in key:
                    continue
                for gate in weight.split(units):
                    vectors = list(gate.flatten(1))
                    size = units // subspaces
                    for i, j in itertools.combinations(range(units), 2):
                        if i // size != j // size:
                            total = total + strength * (vectors[i] @ vectors[j]) ** 2
    return total


@pytest.mark.parametrize("subspaces", [1, 2, 3])
@pytest.mark.parametrize("name", ENCODERS)
def test_equals_the_formulas(name: str, subspaces: int) -> None:
    make, example, _, mixed, _ = ENCODERS[name]
    network = randomised(
        Sluice(HEADS, make(), subspaces=subspaces, orthogonality=0.3, example=example),
    )
    assert network.mixed == mixed
    weights = member_weights(network)
    last = network.last_alpha.stacked()["alpha"].flatten(0, 1)
    alphas = [a.detach().clone().requires_grad_() for a in (*network.alphas, last)]
    beta = network.beta.stacked()["beta"].detach().clone().requires_grad_()
    expected = torch.stack(literal(name, weights, alphas, beta, subspaces))
    h = network.representations(example.double(), range(3))
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-10)
    some = network.representations(example.double(), [2, 0])
    torch.testing.assert_close(some, expected[[2, 0]], rtol=0, atol=1e-10)

    factor = torch.randn(h.shape, dtype=torch.float64)
    ours, theirs = (factor * h).sum(), (factor * expected).sum()
    if subspaces == 1:
        assert network.penalty() is None
    else:
        penalty, by_hand = network.penalty(), literal_penalty(name, weights, subspaces, 0.3)
        torch.testing.assert_close(penalty, by_hand, rtol=1e-12, atol=1e-10)
        ours, theirs = ours + penalty, theirs + by_hand
    ours.backward()
    theirs.backward()
    grads = [alpha.grad for alpha in network.alphas]
    grads.append(torch.cat([rows.alpha.grad for rows in network.last_alpha.members]))
    for ours_at, alpha in zip(grads, alphas):
        torch.testing.assert_close(ours_at, alpha.grad, rtol=0, atol=1e-10)
    found = torch.stack([member.beta.grad for member in network.beta.members])
    torch.testing.assert_close(found, beta.grad, rtol=0, atol=1e-10)
    for block, tables in zip(network.blocks, weights):
        for key in tables[0]:
            expected = torch.stack([table[key].grad for table in tables])
            torch.testing.assert_close(gradient_of(block, key), expected, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:No other layer")
@pytest.mark.parametrize(
    "settings", [{}, {"subspaces": 4, "hidden": (8, 4, 8), "orthogonality": 0.1}, {"hidden": (4, 8)}]
)
def test_conforms(settings: dict[str, object]) -> None:
    check_sharing(lambda n, heads: Sluice.for_table(n, heads, **settings))


def test_one_subspace_and_the_last_layer_are_cross_stitch() -> None:
    torch.manual_seed(0)
    sluice = Sluice.for_table(D, HEADS, hidden=(6, 6), subspaces=1, deep=1.0, own=0.7).double()
    torch.manual_seed(0)
    stitched = CrossStitch.for_table(D, HEADS, hidden=(6, 6), own=0.7).double()
    x = torch.randn(N, D, dtype=torch.float64)
    torch.testing.assert_close(sluice.table(x), stitched.table(x), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(sluice.layer_mix().values, [[0, 1]] * 3)
    for ours, theirs in zip(sluice.stitches(), stitched.stitches()):
        np.testing.assert_array_equal(ours.values, theirs.values)
    sluice.table(x).square().sum().backward()
    stitched.table(x).square().sum().backward()
    for p, q in zip(sluice.blocks.parameters(), stitched.blocks.parameters()):
        torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=1e-10)


def test_orthogonal_subspaces_cost_nothing() -> None:
    network = Sluice.for_table(D, HEADS, hidden=(4, 4), orthogonality=1.0).double()
    with torch.no_grad():
        for block in network.blocks:
            weight = block.module.get_parameter("0.weight")
            orthogonal = torch.linalg.qr(torch.randn(3, weight.shape[2], 4, dtype=torch.float64))[0]
            weight.copy_(orthogonal.transpose(1, 2))
    assert network.penalty().item() < 1e-20
    with torch.no_grad():
        network.blocks[0].module.get_parameter("0.weight")[1, 2] += orthogonal.new_tensor([1.0, 0, 0, 0, 0])
    assert network.penalty().item() > 1e-3


def test_strength_scales_the_penalty() -> None:
    torch.manual_seed(0)
    weak = Sluice.for_table(D, HEADS, hidden=(4, 4), orthogonality=0.1)
    torch.manual_seed(0)
    strong = Sluice.for_table(D, HEADS, hidden=(4, 4), orthogonality=0.7)
    torch.testing.assert_close(7 * weak.penalty(), strong.penalty())
    assert Sluice.for_table(D, HEADS, hidden=(4, 4)).penalty() is None


def test_what_one_looks_at_is_named() -> None:
    network = randomised(Sluice.for_table(D, {"a": 1, "b": 1}, hidden=(6, 4, 6)))
    matrices = network.stitches()
    assert [m.name for m in matrices] == ["stitch 1", "stitch 2", "stitch 3"]
    names = ("a, subspace 1", "a, subspace 2", "b, subspace 1", "b, subspace 2")
    assert all(m.rows == m.columns == names for m in matrices)
    np.testing.assert_array_equal(matrices[1].values, network.alphas[1].detach())
    np.testing.assert_array_equal(matrices[2].values[2:], network.last_alpha.members[1].alpha.detach())
    mix = network.layer_mix()
    assert mix.rows == ("a", "b")
    assert mix.columns == ("layer 1", "layer 2", "layer 3")
    assert np.isnan(mix.values[:, 1]).all()
    np.testing.assert_array_equal(mix.values[1, [0, 2]], network.beta.members[1].beta.detach())


@pytest.mark.parametrize("n_tasks", [2, 4])
def test_start(n_tasks: int) -> None:
    network = Sluice.for_table(D, {f"t{i}": 1 for i in range(n_tasks)}, hidden=(4, 4, 4), own=0.7, deep=0.8)
    for matrix in network.stitches():
        np.testing.assert_allclose(np.diag(matrix.values), 0.7, rtol=1e-6)
        np.testing.assert_allclose(matrix.values.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(matrix.values[0, 1:], 0.3 / (2 * n_tasks - 1), rtol=1e-5)
    np.testing.assert_allclose(network.layer_mix().values, [[0.1, 0.1, 0.8]] * n_tasks, rtol=1e-5)


def test_who_owns_what() -> None:
    network = Sluice.for_table(D, HEADS, hidden=(4, 4))
    assert [p.name for p in network.parts() if p.is_shared] == [
        "layer 1 of 3 networks",
        "stitch 1",
        "layer 2 of 3 networks",
    ]
    assert [(p.name, p.inputs) for p in network.parts() if p.tasks == ("c",)] == [
        ("stitch 2 of c", ("layer 2 of 3 networks",)),
        ("layer mix of c", ("stitch 1", "stitch 2 of c")),
        ("head of c", ("layer mix of c",)),
    ]


def test_stitches_and_mixtures_learn_faster() -> None:
    network = Sluice.for_table(D, HEADS, hidden=(4, 4), rate=7.0)
    rates = {id(p): factor for p, factor in network.learning_rates()}
    fast = [p for name, p in network.named_parameters() if "alpha" in name or "beta" in name]
    assert len(fast) == 1 + 3 + 3
    assert rates == {id(p): 7.0 for p in fast}


def test_one_task_is_a_plain_network() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = Sluice.for_table(D, {"only": 2}, hidden=(6, 4)).double()
    assert network.penalty() is None
    assert network.stitches() == network.learning_rates() == []
    np.testing.assert_array_equal(network.layer_mix().values, [[np.nan, 1.0]])
    x = torch.randn(N, D, dtype=torch.float64)
    first, second = (block.members[0] for block in network.blocks)
    expected = network.towers.module("only")(second(first(x)))
    torch.testing.assert_close(network(x)["only"], expected, rtol=0, atol=1e-12)


def test_channels_must_be_divisible() -> None:
    with pytest.raises(SettingError, match=r"Block 2 .* has 5 channels.* 2 equal subspaces"):
        Sluice.for_table(D, HEADS, hidden=(6, 5, 6))
    assert Sluice.for_table(D, HEADS, hidden=(5, 5), subspaces=5).alphas[0].shape == (15, 15)


def test_no_mixture_is_said() -> None:
    with pytest.warns(PolytaskWarning, match=r"No other layer.*\[6, 4\]"):
        network = Sluice.for_table(D, HEADS, hidden=(6, 4))
    np.testing.assert_array_equal(network.layer_mix().values, [[np.nan, 1.0]] * 3)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(D + 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.scale * x)


def test_blocks_that_the_penalty_leaves_out_are_named() -> None:
    blocks = [nn.Linear(D, D + 1), Scaled(), nn.Linear(D + 1, D + 1)]
    with pytest.warns(PolytaskWarning, match=r"Blocks \[2\] have no linear"):
        network = Sluice(HEADS, blocks, orthogonality=0.1)
    weights = [dict(network.blocks[i].weights())["weight"] for i in (0, 2)]
    by_hand = sum((w[:, :3] @ w[:, 3:].transpose(1, 2)).square().sum() for w in weights)
    torch.testing.assert_close(network.penalty(), 0.1 * by_hand)


def test_both_products_of_a_transformer_layer_are_kept_apart() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(1)

    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    blocks = [layer, nn.Sequential(Mean(), nn.Linear(6, 6))]
    network = Sluice(HEADS, blocks, orthogonality=0.1, example=torch.zeros(2, 3, 6))
    weights = dict(network.blocks[0].weights())
    chosen = [weights["self_attn.out_proj.weight"], weights["linear2.weight"]]
    chosen.append(dict(network.blocks[1].weights())["1.weight"])
    by_hand = sum((w[:, :3] @ w[:, 3:].transpose(1, 2)).square().sum() for w in chosen)
    torch.testing.assert_close(network.penalty(), 0.1 * by_hand)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subspaces": 0}, "subspaces must be a whole number"),
        ({"subspaces": 2.0}, "subspaces must be a whole number"),
        ({"deep": -0.1}, r"deep.* \[0, 1\]"),
        ({"own": 2.0}, r"own.* \[0, 1\]"),
        ({"orthogonality": -1.0}, "orthogonality must be zero or more"),
        ({"rate": -1.0}, "rate.* positive"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Sluice.for_table(D, HEADS, **settings)
