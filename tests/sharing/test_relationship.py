from __future__ import annotations

import copy
from functools import reduce
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing import HardSharing
from polytask.sharing.relationship import SCALES, Relationship, TensorNormal, second_moment
from polytask.testing import check_sharing

HEADS = {"a": 2, "b": 1, "c": 2, "d": 1, "e": 3}


def network(heads: dict[str, int] = HEADS, **settings: object) -> Relationship:
    torch.manual_seed(0)
    settings = {"task_hidden": (2,), "every": 1} | settings
    return Relationship.for_table(3, heads, hidden=(4, 3), **settings).double()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def positive(n: int, seed: int) -> Tensor:
    root = draw(n, n + 2, seed=seed)
    return root @ root.T / n


def learn(net: Relationship, steps: int = 3) -> Relationship:
    """With covariances that are not what they were at first."""
    for _ in range(steps):
        net.after_step()
    return net


# ---------------------------------------------------------------------- the paper, literally


def kronecker(covariances: list[Tensor]) -> Tensor:
    return reduce(torch.kron, covariances)


def paper_density(w: Tensor, covariances: list[Tensor]) -> Tensor:
    """``½ [vec(𝒲)ᵀ (Σ₁ ⊗ Σ₂ ⊗ Σ₃)⁻¹ vec(𝒲) + Σ_k (D/D_k) log|Σ_k|]``."""
    vec = torch.stack([w[place] for place in np.ndindex(*w.shape)])
    form = vec @ torch.linalg.inv(kronecker(covariances)) @ vec
    return (form + sum(w.numel() / len(c) * torch.logdet(c) for c in covariances)) / 2


def paper_moment(w: Tensor, covariances: list[Tensor], k: int) -> Tensor:
    """``(D_k/D) 𝒲₍ₖ₎ (⊗_{j≠k} Σ_j)⁻¹ 𝒲₍ₖ₎ᵀ`` with the Kronecker product written out."""
    others = [j for j in range(w.dim()) if j != k]
    unfolded = torch.stack([w.select(k, i).flatten() for i in range(w.shape[k])])
    inverse = torch.linalg.inv(kronecker([covariances[j] for j in others]))
    return unfolded @ inverse @ unfolded.T * w.shape[k] / w.numel()


def paper_tensors(net: Relationship) -> list[Tensor]:
    """𝒲 of the hidden task layer, then of the tasks with one and with two outputs."""
    layers = [[(t, 0) for t in "abcde"], [(t, 2) for t in "bd"], [(t, 2) for t in "ac"]]
    return [torch.stack([net.towers.module(t)[i].weight.T for t, i in layer], -1) for layer in layers]


def paper_outputs(net: Relationship, x: Tensor) -> dict[str, Tensor]:
    out: dict[str, list[Tensor]] = {task: [] for task in net.tasks}
    for row, task in product(x, net.tasks):
        for layer in (net.encoder[0], net.encoder[2], net.towers.module(task)[0]):
            row = torch.relu(layer.weight @ row + layer.bias)
        last = net.towers.module(task)[2]
        out[task].append(last.weight @ row + last.bias)
    return {task: torch.stack(rows) for task, rows in out.items()}


def gradients(value: Tensor, net: nn.Module) -> list[Tensor]:
    parameters = list(net.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]


@pytest.mark.parametrize("scale", SCALES)
def test_equals_the_paper(scale: str) -> None:
    net = learn(network(strength=0.3, scale=scale))
    x = draw(6, 3)
    ours, theirs = net(x), paper_outputs(net, x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    losses = [sum(out.square().sum() for out in outputs.values()) for outputs in (ours, theirs)]
    covariances = [prior.covariances for prior in net.priors]
    expected = 0.3 * sum(map(paper_density, paper_tensors(net), covariances))
    penalty = net.penalty()
    torch.testing.assert_close(penalty, expected, rtol=0, atol=1e-10)
    for a, b in zip(gradients(losses[0] + penalty, net), gradients(losses[1] + expected, net)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", SCALES)
def test_updates_are_those_of_the_paper(scale: str) -> None:
    """Each covariance with the newest of the others, ε times the mean variance, traces normalised.

    Those that the weights do not determine stay the identity, and the scale does not fall below the first one.
    """
    net = network(scale=scale, epsilon=0.2)
    tensors = [w.detach() for w in paper_tensors(net)]
    expected = [[torch.eye(n, dtype=torch.float64) for n in w.shape] for w in tensors]
    first: dict[int, Tensor] = {}
    for _ in range(3):
        net.after_step()
        for i, (w, covariances) in enumerate(zip(tensors, expected)):
            for k, size in enumerate(w.shape):
                if k < 2 and size > w.numel() / size:
                    continue
                moment = paper_moment(w, covariances, k)
                mean = moment.trace() / size
                noisy = moment + 0.2 * mean * torch.eye(size, dtype=torch.float64)
                wanted = max(mean, first.setdefault(i, mean)) if scale == "learned" and k == 2 else 1.0
                covariances[k] = noisy * wanted * size / noisy.trace()
    assert len(net.priors) == len(expected) == 3
    for prior, covariances in zip(net.priors, expected):
        torch.testing.assert_close(prior.covariances, covariances, rtol=0, atol=1e-10)
        inverses = [torch.linalg.inv(c) for c in covariances]
        torch.testing.assert_close(prior.precisions, inverses, rtol=1e-9, atol=1e-9)


def test_keeps_what_every_architecture_keeps() -> None:
    with pytest.warns(PolytaskWarning, match="relates nothing"):
        check_sharing(Relationship)
    check_sharing(
        lambda n, heads: Relationship.for_table(
            n, heads, hidden=(6, 4), task_hidden=(3,), every=1, scale="fixed"
        )
    )


# ---------------------------------------------------------------------- the tensor normal density


def test_no_block_of_a_flip_flop_lowers_the_density() -> None:
    w = draw(3, 2, 4)
    covariances = [positive(n, seed) for seed, n in enumerate(w.shape)]
    for k in (0, 1, 2) * 4:
        before = paper_density(w, covariances)
        moment = second_moment(w, [torch.linalg.inv(c) for c in covariances], k)
        torch.testing.assert_close(moment, paper_moment(w, covariances, k), rtol=1e-10, atol=1e-10)
        covariances[k] = moment
        assert float(paper_density(w, covariances)) <= float(before) + 1e-10


def test_updates_lower_the_penalty_down_to_a_stationary_point() -> None:
    """Without ε: normalised traces change no product, and the covariances are fitted as well as they can be."""
    w = draw(3, 2, 4) * 0.05
    prior = TensorNormal(w.shape, 0.0, "learned").double()
    values = [float(prior(w))]
    for _ in range(300):
        prior.update(w)
        values.append(float(prior(w)))
    assert values[1] < values[0] - 1
    assert all(after <= before + 1e-9 for before, after in pairwise(values))
    roots = [torch.linalg.cholesky(c).requires_grad_() for c in prior.covariances]
    paper_density(w, [r @ r.T for r in roots]).backward()
    for root in roots:
        torch.testing.assert_close(root.grad.tril(), torch.zeros_like(root), rtol=0, atol=1e-4)


def test_the_scale_is_that_of_the_last_covariance() -> None:
    w = 0.01 * draw(5, 4, 6)
    for scale in SCALES:
        prior = TensorNormal(w.shape, 0.1, scale).double()
        for _ in range(3):
            prior.update(w)
        variances = [float(c.diagonal().mean()) for c in prior.covariances]
        assert variances[:2] == pytest.approx([1, 1])
        if scale == "fixed":
            assert variances[2] == pytest.approx(1)
        else:
            assert 0.5e-4 < variances[2] < 5e-4
        learned = prior.covariances[2] / variances[2]
        other = TensorNormal(w.shape, 0.1, "fixed").double()
        for _ in range(3):
            other.update(w * 1000)
        torch.testing.assert_close(learned, other.covariances[2], rtol=0, atol=1e-10)


def test_finds_the_covariances_that_weights_were_drawn_from() -> None:
    truth = [positive(n, seed) for seed, n in enumerate((12, 10, 4))]
    w = draw(12, 10, 4, seed=3)
    for k, covariance in enumerate(truth):
        root = torch.linalg.cholesky(covariance)
        w = torch.tensordot(root, w, ([1], [k])).movedim(0, k)
    prior = TensorNormal(w.shape, 1e-6, "learned").double()
    for _ in range(20):
        prior.update(w)

    def correlation(c: Tensor) -> Tensor:
        return c / c.diagonal().sqrt() / c.diagonal().sqrt()[:, None]

    error = correlation(prior.covariances[2]) - correlation(truth[2])
    # From 120 draws; the standard error of a correlation is below 1/√120.
    assert float(error.abs().max()) < 3 / np.sqrt(120)
    assert float((correlation(truth[2]) - torch.eye(4)).abs().max()) > 0.4


@pytest.mark.parametrize("scale", SCALES)
def test_a_large_epsilon_makes_tasks_independent(scale: str) -> None:
    net = learn(network(epsilon=1e9, scale=scale, strength=0.5))
    for prior, w in zip(net.priors, paper_tensors(net)):
        variance = float(w.detach().square().mean()) if scale == "learned" else 1.0
        expected = torch.eye(w.shape[2], dtype=torch.float64) * variance
        torch.testing.assert_close(prior.covariances[2], expected, rtol=1e-6, atol=1e-8)
    if scale == "fixed":
        ridge = 0.5 * sum(w.square().sum() for w in paper_tensors(net)) / 2
        torch.testing.assert_close(net.penalty(), ridge, rtol=1e-6, atol=0)


def test_weights_that_say_nothing_change_nothing() -> None:
    for value in (0.0, torch.nan):
        net = learn(network())
        before = copy.deepcopy(net.priors.state_dict())
        with torch.no_grad():
            for p in net.towers.parameters():
                p.fill_(value)
        net.after_step()
        assert all(torch.equal(a, b) for a, b in zip(before.values(), net.priors.state_dict().values()))


# ---------------------------------------------------------------------- in training


def fitted_with(strength: float, seed: int) -> tuple[Relationship, float]:
    """Tasks a and b are equal, c is their opposite with few rows, d is unrelated; the error of c."""
    weights = draw(2, 8, seed=seed + 1)
    truth = torch.stack([weights[0], weights[0], -weights[0], weights[1]])
    x, test = draw(40, 8, seed=seed + 2), draw(500, 8, seed=seed + 5)
    labels = x @ truth.T + 0.5 * draw(40, 4, seed=seed + 6)
    seen = torch.ones(40, 4, dtype=torch.float64)
    seen[12:, 2] = 0
    torch.manual_seed(seed)
    net = Relationship(dict.fromkeys("abcd", 1), nn.Identity(), 8, strength=strength).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (((net.table(x) - labels) ** 2 * seen).sum(0) / seen.sum(0)).sum()
        penalty = net.penalty()
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        net.after_step()
    with torch.no_grad():
        return net, float((net.table(test)[:, 2] - test @ truth[2]).square().mean())


def test_related_tasks_are_found_and_pulled_by_each_other() -> None:
    errors = {strength: [fitted_with(strength, seed)[1] for seed in (0, 10, 20)] for strength in (0.0, 0.05)}
    assert sum(errors[0.05]) < 0.7 * sum(errors[0.0])
    (found,) = fitted_with(0.05, 0)[0].correlation()
    assert found.rows == found.columns == ("a", "b", "c", "d")
    assert found.values[0, 1] > 0.8
    assert found.values[0, 2] < -0.8
    assert abs(found.values[0, 3]) < 0.6


@pytest.mark.parametrize("every", [1, 2, 3])
def test_covariances_change_every_so_many_steps(every: int) -> None:
    net = network(every=every)
    changes = []
    for step in range(1, 8):
        with torch.no_grad():
            net.towers.module("a")[0].weight.mul_(1 + step)
        before = [c.clone() for prior in net.priors for c in prior.covariances]
        net.after_step()
        after = [c for prior in net.priors for c in prior.covariances]
        changes.append(not all(torch.equal(a, b) for a, b in zip(before, after)))
    assert changes == [step % every == 0 for step in range(1, 8)]


def test_the_state_holds_covariances_and_the_count_of_steps() -> None:
    net = learn(network(every=2), steps=3)
    other = network(every=2)
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other.penalty(), net.penalty(), rtol=1e-12, atol=0)
    for each in (net, other):
        with torch.no_grad():
            for p in each.towers.parameters():
                p.mul_(2)
        each.after_step()
    assert torch.equal(net.priors[0].covariances[2], other.priors[0].covariances[2])
    torch.testing.assert_close(other.penalty(), net.penalty(), rtol=1e-12, atol=0)


def test_without_strength_it_is_hard_sharing() -> None:
    net = network(strength=0.0)
    torch.manual_seed(0)
    hard = HardSharing.for_table(3, HEADS, hidden=(4, 3), task_hidden=(2,)).double()
    net.after_step()
    assert net.penalty() is None
    assert torch.equal(net.table(draw(6, 3)), hard.table(draw(6, 3)))
    assert torch.equal(net.features(), hard.features())
    assert [p["name"] for p in net.describe()["parts"]] == [p["name"] for p in hard.describe()["parts"]]


def test_parameters_that_training_has_moved_are_seen() -> None:
    net, twin = (network({"a": 1, "b": 1}, strength=0.2) for _ in range(2))
    (group,) = net.towers.groups
    width = sum(p.numel() for p in group.members[0].parameters())
    grads = torch.zeros(2 * width, dtype=torch.float64)
    group.bind(torch.empty(2, width, dtype=torch.float64), grads)
    for each in (learn(net), learn(twin)):
        each.penalty().backward()
    first = torch.stack([m[0].weight.grad for m in twin.towers.groups[0].members])
    torch.testing.assert_close(grads[: first.numel()].view(first.shape), first, rtol=1e-12, atol=0)


def test_frozen_layers_have_no_prior() -> None:
    net = network(strength=1.0)
    net.towers.requires_grad_(False)
    before = net.covariance()[0].values
    net.after_step()
    assert net.penalty() is None
    assert np.array_equal(net.covariance()[0].values, before)


# ---------------------------------------------------------------------- what users see


def test_layers_are_named_and_tasks_are_in_their_order() -> None:
    net = learn(network())
    assert [(m.name, m.rows) for m in net.covariance()] == [
        ("layer 1", tuple("abcde")),
        ("output of width 1", ("b", "d")),
        ("output of width 2", ("a", "c")),
    ]
    (one,) = net.covariance("output of width 1")
    prior = net.priors[1].covariances[2]
    assert np.array_equal(one.values, prior.numpy())
    (scaled,) = net.correlation("output of width 1")
    assert scaled.values.diagonal() == pytest.approx([1, 1])
    assert scaled.values[0, 1] == pytest.approx(float(prior[0, 1] / (prior[0, 0] * prior[1, 1]).sqrt()))
    linear = network({"a": 2, "b": 1, "c": 2}, task_hidden=())
    assert [(m.name, m.rows) for m in linear.covariance()] == [("output", ("a", "c"))]


def test_what_is_returned_does_not_change_later() -> None:
    net = network()
    before = net.covariance()[0].values
    net.after_step()
    assert np.array_equal(before, np.eye(5))


def test_a_single_task_has_no_prior() -> None:
    net = network({"only": 2})
    net.after_step()
    assert net.penalty() is None
    assert net.covariance() == []


def test_nothing_to_relate_is_said() -> None:
    with pytest.warns(PolytaskWarning, match=r"no two tasks have the same number of outputs.*task_hidden"):
        network({"a": 1, "b": 2}, task_hidden=())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": -1.0}, "strength must be zero or more, got -1.0"),
        ({"strength": float("nan")}, "strength must be zero or more"),
        ({"epsilon": 0.0}, "epsilon must be more than zero"),
        ({"every": 0}, "every must be one or more steps"),
        ({"scale": "free"}, "scale must be one of learned, fixed; got 'free'"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        network(**settings)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(SettingError, match=r"No task layer 'layer 9'.*layer 1, output of width 1"):
        network().covariance("layer 9")


@pytest.mark.parametrize("shape", [(64, 1, 10), (64, 1, 4), (64, 3, 4), (12, 10, 4)])
@pytest.mark.parametrize("true", [0.9, 0.0])
def test_related_tasks_are_found_with_few_outputs(shape: tuple[int, ...], true: float) -> None:
    """Also where there are fewer weights than would tell the inputs' covariance."""
    torch.manual_seed(0)
    tasks = shape[-1]
    covariance = true * torch.ones(tasks, tasks) + (1 - true) * torch.eye(tasks)
    w = 0.05 * torch.randn(*shape) @ torch.linalg.cholesky(covariance + 1e-6 * torch.eye(tasks)).T
    prior = TensorNormal(shape, 0.1, "learned")
    for _ in range(20):
        prior.update(w)
    found = prior.covariances[-1]
    correlation = found / torch.outer(found.diagonal().sqrt(), found.diagonal().sqrt())
    mean = float((correlation.sum() - tasks) / (tasks * (tasks - 1)))
    assert abs(mean - true) < 0.2


def test_a_learned_scale_does_not_run_away() -> None:
    """Heads that shrink while the encoder grows would lower the objective without end."""
    torch.manual_seed(0)
    w = torch.randn(6, 5, 3, dtype=torch.float64)
    values = []
    for shrink in (1.0, 1e-2, 1e-4, 1e-8):
        prior = TensorNormal((6, 5, 3), 0.1, "learned").double()
        prior.update(w)
        for _ in range(50):
            prior.update(shrink * w)
        values.append(float(prior(shrink * w)))
    assert min(values[1:]) > values[0] - 6 * 5 * 3
    assert abs(values[-1] - values[-2]) < 1e-3


def test_mixed_precision_leaves_the_prior_as_it_is() -> None:
    net = network().float()
    net.after_step()
    expected = net.penalty()
    with torch.autocast("cpu", torch.bfloat16):
        found = net.penalty()
        found.backward()
        net.after_step()
    torch.testing.assert_close(found, expected)
