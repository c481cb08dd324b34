from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.training.widening import somp, thin_encoder


def literal(W: np.ndarray, n_rows: int) -> list[int]:
    """Rows one by one, each time a least-squares fit of all rows on those taken."""
    taken: list[int] = []
    for _ in range(n_rows):
        residual = W.copy()
        if taken:
            A = np.linalg.lstsq(W[taken].T, W.T, rcond=None)[0].T
            residual = W - A @ W[taken]
        scores = {}
        for i in range(len(W)):
            if i not in taken:
                scores[i] = sum(abs(residual[j] @ W[i]) for j in range(len(W))) / np.sqrt(W[i] @ W[i])
        taken.append(max(scores, key=lambda i: scores[i]))
    return taken


def misfit(W: np.ndarray, rows: np.ndarray) -> float:
    A = np.linalg.lstsq(W[rows].T, W.T, rcond=None)[0].T
    return float(np.linalg.norm(W - A @ W[rows]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(6, 9), (8, 5), (5, 5)])
def test_equals_the_literal_pursuit(seed: int, shape: tuple[int, int]) -> None:
    W = np.random.default_rng(seed).normal(size=shape)
    for n_rows in range(1, min(shape)):
        assert somp(W, n_rows).tolist() == literal(W, n_rows)


@pytest.mark.parametrize("seed", range(5))
def test_exact_where_the_rank_is_no_larger(seed: int) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(10, 3)) @ rng.normal(size=(3, 7))
    assert misfit(W, somp(W, 3)) < 1e-10
    assert misfit(W, somp(W, 2)) > 1e-3
    more = somp(W, 6)
    assert len(set(more.tolist())) == 6
    assert misfit(W, more) < 1e-10


def test_beside_all_subsets_of_tiny_layers() -> None:
    """Greedy need not be best, but it is never far from it, and better than rows at random."""
    ratios = []
    for seed in range(40):
        W = np.random.default_rng(seed).normal(size=(6, 4))
        every = [misfit(W, np.array(rows)) for rows in itertools.combinations(range(6), 2)]
        found = misfit(W, somp(W, 2))
        ratios.append(found / min(every))
        assert found < np.mean(every)
    assert min(ratios) > 1 - 1e-9
    assert max(ratios) < 1.5
    assert sum(ratio < 1 + 1e-9 for ratio in ratios) >= 10


def test_one_of_each_of_several_directions() -> None:
    """Rows that repeat two directions at any length: one of each is the best there is."""
    W = np.array([[3.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, -5, 0], [0, 0, 0]])
    assert {i // 2 for i in somp(W, 2).tolist()} == {0, 1}
    assert somp(np.zeros((3, 2)), 2).tolist() == [0, 1]


def test_lengths_of_rows_that_span_the_same_do_not_matter() -> None:
    W = np.random.default_rng(0).normal(size=(7, 5))
    taken = somp(W, 3)
    assert somp(4.0 * W, 3).tolist() == taken.tolist()
    order = np.random.default_rng(1).permutation(7)
    assert order[somp(W[order], 3)].tolist() == taken.tolist()


@pytest.mark.parametrize("n_rows", [0, 5])
def test_number_of_rows_is_checked(n_rows: int) -> None:
    with pytest.raises(SettingError, match="between 1 and 4"):
        somp(np.eye(4), n_rows)


# ---------------------------------------------------------------------- encoders


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 2, padding=1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(6 * 16, 5, bias=False), nn.Tanh(), nn.Dropout(0.1)),
    ).double()


def weights(encoder: nn.Module) -> list[nn.Module]:
    return [m for m in encoder.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def test_kept_rows_select_the_next_inputs() -> None:
    wide = cnn()
    before = copy.deepcopy(wide.state_dict())
    thin = thin_encoder(wide, [2, 3, 4], example=torch.zeros(2, 64))
    first, second, third = (m.weight.detach().numpy() for m in weights(wide))
    one = np.sort(literal(first.reshape(4, -1), 2))
    two = np.sort(literal(second[:, one].reshape(6, -1), 3))
    columns = [16 * channel + place for channel in two for place in range(16)]
    three = np.sort(literal(third[:, columns], 4))
    assert [rows.tolist() for rows in thin.kept] == [one.tolist(), two.tolist(), three.tolist()]
    found = [m.weight.detach().numpy() for m in weights(thin.encoder)]
    for ours, expected in zip(found, (first[one], second[two][:, one], third[three][:, columns])):
        assert np.array_equal(ours, expected)
    biases = [m.bias for m in weights(thin.encoder)]
    assert torch.equal(biases[1], weights(wide)[1].bias[two])
    assert biases[2] is None
    assert thin.encoder(torch.randn(3, 64, dtype=torch.float64)).shape == (3, 4)
    for name, value in wide.state_dict().items():
        assert torch.equal(value, before[name])


def test_all_filters_are_the_whole_encoder() -> None:
    wide = cnn().eval()
    x = torch.randn(3, 64, dtype=torch.float64)
    thin = thin_encoder(wide, 1.0, example=x).encoder.eval()
    torch.testing.assert_close(thin(x), wide(x), rtol=0, atol=0)


def test_filters_that_do_nothing_are_dropped_without_loss() -> None:
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU()).double()
    dead = [1, 2, 5, 7]
    with torch.no_grad():
        wide[0].weight[dead], wide[0].bias[dead] = 0.0, 0.0
    thin = thin_encoder(wide, [4, 4])
    assert thin.kept[0].tolist() == [0, 3, 4, 6]
    x = torch.randn(7, 6, dtype=torch.float64)
    torch.testing.assert_close(thin.encoder(x), wide(x), rtol=0, atol=1e-12)


def test_a_share_is_rounded_and_at_least_one() -> None:
    thin = thin_encoder(nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 2)), 0.2)
    assert [len(rows) for rows in thin.kept] == [1, 1]
    assert [m.out_features for m in weights(thin.encoder)] == [1, 1]
    assert weights(thin.encoder)[1].in_features == 1


def test_frozen_layers_stay_frozen() -> None:
    wide = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    wide[0].requires_grad_(False)
    first, second = weights(thin_encoder(wide, 0.5).encoder)
    assert not first.weight.requires_grad
    assert not first.bias.requires_grad
    assert second.weight.requires_grad


class Reorders(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), 4).flip(1)


@pytest.mark.parametrize(
    ("encoder", "widths", "message"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()), 0.5, "Block 1 has a BatchNorm1d"),
        (nn.Sequential(nn.Linear(3, 4), nn.PReLU()), 0.5, "has a PReLU"),
        (nn.Sequential(nn.Linear(3, 4), Reorders(), nn.Linear(4, 2)), 0.5, "Block 1 .*cannot take rows"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), [2], "1 values, .* 2 layers"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), [2, 3], "layer 2 has 2 filters"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), 0.0, r"share in \(0, 1\]"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.Linear(4, 2)),
            0.5,
            "Block",
        ),
    ],
)
def test_encoders_that_cannot_be_thinned(encoder: nn.Module, widths: float, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        thin_encoder(encoder, widths)


def test_inputs_that_filters_do_not_divide() -> None:
    encoder = [nn.Linear(3, 4), nn.Sequential(nn.ConstantPad1d((0, 1), 0.0), nn.Linear(5, 2))]
    with pytest.raises(SettingError, match="Layer 2 takes 5 inputs, which the 4 filters"):
        thin_encoder(encoder, 0.5)
