from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import SingleTask
from polytask.sharing.trace_norm import (
    FORMS,
    METHODS,
    TraceNormSharing,
    nuclear_norm,
    threshold,
    threshold_unfoldings,
    unfoldings,
)
from polytask.testing import check_sharing

HEADS = {"a": 1, "b": 2, "c": 1}
SHAPE = (3, 4, 5)


def network(**settings: object) -> TraceNormSharing:
    torch.manual_seed(0)
    net = TraceNormSharing.for_table(3, HEADS, hidden=(4, 5), **settings).double()
    net.step_size = 1.0
    return net


def images(**settings: object) -> TraceNormSharing:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4, 5), nn.ReLU())
    return TraceNormSharing(HEADS, encoder, 5, **settings).double()


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- the paper, literally


def paper_tensor(weights: list[Tensor]) -> Tensor:
    """Tasks on the last axis, and inputs before outputs, as the paper stacks them."""
    return torch.stack([w.permute(*reversed(range(w.dim()))) for w in weights], -1)


def paper_matrices(tensor: Tensor, form: str) -> Iterator[Tensor]:
    """The unfoldings from their definition, entry by entry."""
    n = tensor.dim()
    left = {
        "matrix": [(n - 1,)],
        "tucker": [(i,) for i in range(n)],
        "train": [tuple(range(i)) for i in range(1, n)],
    }[form]
    for axes in left:
        others = [axis for axis in range(n) if axis not in axes]
        rows = list(np.ndindex(*[tensor.shape[axis] for axis in axes]))
        columns = list(np.ndindex(*[tensor.shape[axis] for axis in others]))
        entries = []
        for row in rows:
            for column in columns:
                place = dict(zip(axes, row)) | dict(zip(others, column))
                entries.append(tensor[tuple(place[axis] for axis in range(n))])
        yield torch.stack(entries).view(len(rows), len(columns))


def paper_penalty(net: TraceNormSharing, strengths: list[float], layers: list[int], form: str) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for strength, position in zip(strengths, layers):
        tensor = paper_tensor([encoder[position].weight for encoder in net.encoders.members])
        for matrix in paper_matrices(tensor, form):
            total = total + strength * torch.linalg.svdvals(matrix).sum()
    return total


def paper_outputs(net: TraceNormSharing, x: Tensor) -> dict[str, Tensor]:
    """Task by task and row by row."""
    out = {}
    for task, encoder in zip(net.tasks, net.encoders.members):
        head = net.towers.module(task)
        rows = []
        for row in x:
            for position in (0, 2):
                row = torch.relu(encoder[position].weight @ row + encoder[position].bias)
            rows.append(head.weight @ row + head.bias)
        out[task] = torch.stack(rows)
    return out


def gradients(value: Tensor, net: nn.Module) -> list[Tensor]:
    parameters = list(net.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("strength", [0.3, (0.2, 0.0), (0.1, 2.0)])
def test_equals_the_paper(form: str, strength: float | tuple[float, float]) -> None:
    net = network(strength=strength, form=form)
    strengths = [strength] * 2 if isinstance(strength, float) else list(strength)
    x = draw(6, 3)
    ours, theirs = net(x), paper_outputs(net, x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    losses = [sum(out.square().sum() for out in outputs.values()) for outputs in (ours, theirs)]
    penalty, expected = net.penalty(), paper_penalty(net, strengths, [0, 2], form)
    torch.testing.assert_close(penalty, expected, rtol=0, atol=1e-10)
    for a, b in zip(gradients(losses[0] + penalty, net), gradients(losses[1] + expected, net)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_convolutions_are_unfolded_by_all_their_axes(form: str) -> None:
    net = images(strength=(0.5, 0.1), form=form)
    expected = paper_penalty(net, [0.5, 0.1], [0, 3], form)
    torch.testing.assert_close(net.penalty(), expected, rtol=0, atol=1e-10)


def test_keeps_what_every_architecture_keeps() -> None:
    check_sharing(TraceNormSharing)


@pytest.mark.parametrize("form", ["tucker", "train"])
@pytest.mark.parametrize("method", METHODS)
def test_so_does_every_form(form: str, method: str) -> None:
    check_sharing(
        lambda n, heads: TraceNormSharing.for_table(
            n, heads, hidden=(6, 4), form=form, method=method, strength=0.1
        )
    )


# ---------------------------------------------------------------------- the norm and its subgradient


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (1, 6)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_subgradient_is_that_of_singular_values(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = draw(*shape).requires_grad_()
    expected = torch.linalg.svdvals(matrix).sum()
    (wanted,) = torch.autograd.grad(expected, matrix)
    ours = matrix.detach().to(dtype).requires_grad_()
    norm = nuclear_norm(ours)
    norm.backward()
    atol = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(norm.detach().double(), expected.detach(), rtol=0, atol=10 * atol)
    torch.testing.assert_close(ours.grad.double(), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_small_singular_values_keep_their_directions(dtype: torch.dtype) -> None:
    """U Vᵀ has only singular values of one, however small those of W are."""
    u, _ = torch.linalg.qr(draw(4, 4))
    v, _ = torch.linalg.qr(draw(50, 4, seed=1))
    matrix = (u * torch.tensor([1.0, 1e-1, 1e-2, 1e-4])) @ v.T
    ours = matrix.to(dtype).requires_grad_()
    nuclear_norm(ours).backward()
    atol = 1e-10 if dtype == torch.float64 else 5e-3
    torch.testing.assert_close(ours.grad.double(), u @ v.T, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "case", ["zero", "equal singular values", "equal tasks", "one task is zero", "low rank"]
)
def test_the_subgradient_is_one_where_the_norm_has_kinks(case: str, dtype: torch.dtype) -> None:
    """``‖Z‖_* ≥ ‖W‖_* + ⟨G, Z − W⟩`` for every Z, and no entry of G is NaN."""
    matrix = {
        "zero": torch.zeros(3, 5),
        "equal singular values": torch.linalg.qr(draw(5, 3)).Q.T,
        "equal tasks": draw(1, 5).expand(3, 5),
        "one task is zero": draw(3, 5) * torch.tensor([[1.0], [0.0], [1.0]]),
        "low rank": draw(3, 2) @ draw(2, 5, seed=1),
    }[case].to(dtype)
    ours = matrix.clone().requires_grad_()
    norm = nuclear_norm(ours)
    norm.backward()
    gradient = ours.grad.double()
    if case == "equal singular values":
        torch.testing.assert_close(gradient, matrix.double(), rtol=0, atol=1e-6)
    if case == "zero":
        assert not gradient.any()
    assert float(torch.linalg.matrix_norm(gradient, 2)) <= 1 + 1e-5
    for seed in range(50):
        other = matrix.double() + draw(3, 5, seed=seed + 10)
        lower = norm.detach().double() + (gradient * (other - matrix.double())).sum()
        assert float(torch.linalg.svdvals(other).sum()) >= float(lower) - 1e-5


def test_weights_that_are_not_numbers_give_no_error_but_nan() -> None:
    net = network()
    with torch.no_grad():
        net.encoders.members[1][0].weight[0, 0] = torch.inf
    assert math.isnan(float(net.penalty().detach()))


def test_of_a_single_task_it_is_the_length_of_the_weights() -> None:
    net = TraceNormSharing.for_table(3, {"only": 2}, hidden=(4, 5), strength=0.5).double()
    lengths = [layer.weight.norm() for layer in (net.encoders.members[0][0], net.encoders.members[0][2])]
    torch.testing.assert_close(net.penalty(), 0.5 * sum(lengths), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------- proximal steps


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (1, 6)])
@pytest.mark.parametrize("amount", [0.0, 0.7, 100.0])
def test_threshold_is_its_formula(shape: tuple[int, int], amount: float) -> None:
    matrix = draw(*shape)
    u, sigma, v = torch.linalg.svd(matrix, full_matrices=False)
    expected = u @ torch.diag((sigma - amount).clamp(min=0)) @ v
    torch.testing.assert_close(threshold(matrix, amount), expected, rtol=0, atol=1e-12)
    single = threshold(matrix.float(), amount).double()
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-5)


def test_threshold_is_the_best_step() -> None:
    """``½‖W − V‖² + μ‖W‖_*`` is larger everywhere around."""
    start, amount = draw(4, 6), 0.9
    best = threshold(start, amount)

    def objective(w: Tensor) -> Tensor:
        return (w - start).square().sum((-2, -1)) / 2 + amount * torch.linalg.svdvals(w).sum(-1)

    directions = torch.cat([draw(500, 4, 6), draw(500, 4, 1) @ draw(500, 1, 6, seed=1)])
    sizes = 10.0 ** torch.linspace(-3, 0, 1000, dtype=torch.float64)
    around = best + sizes[:, None, None] * directions
    assert bool((objective(around) > objective(best)).all())


def exact_step(start: Tensor, amount: float, form: str) -> Tensor:
    """The proximal step of the sum of all unfoldings' norms, by a general solver of convex problems."""
    cvxpy = pytest.importorskip("cvxpy")
    w = cvxpy.Variable(start.numel())
    positions = torch.arange(start.numel()).view(start.shape)
    norms = [
        cvxpy.normNuc(cvxpy.reshape(w[index.flatten().numpy()], tuple(index.shape), order="C"))
        for index in unfoldings(positions, form)
    ]
    distance = cvxpy.sum_squares(w - start.flatten().numpy()) / 2
    problem = cvxpy.Problem(cvxpy.Minimize(distance + amount * sum(norms)))
    problem.solve(solver=cvxpy.CLARABEL)
    return torch.from_numpy(w.value).view(start.shape)


@pytest.mark.parametrize("form", FORMS)
def test_several_unfoldings_differ_from_their_exact_step_by_its_square(form: str) -> None:
    start = draw(2, 3, 3)
    errors = []
    for amount in (0.1, 0.05):
        ours = threshold_unfoldings(start, amount, form)
        errors.append(float((ours - exact_step(start, amount, form)).norm()))
    if form == "matrix":
        assert max(errors) < 1e-6
    else:
        assert 0 < errors[0] < 0.01
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("form", FORMS)
def test_steps_raise_the_rank_of_no_unfolding(form: str) -> None:
    """And lower some: each unfolding's step keeps what the others have become."""

    def ranks(tensor: Tensor) -> list[int]:
        return [int(torch.linalg.matrix_rank(m, rtol=1e-9)) for m in unfoldings(tensor, form)]

    tensor = draw(*SHAPE)
    amounts = {"matrix": 3.0, "tucker": 1.5, "train": 1.5}
    before = ranks(tensor)
    for _ in range(3):
        tensor = threshold_unfoldings(tensor, amounts[form], form)
        after = ranks(tensor)
        assert all(b <= a for a, b in zip(before, after))
        before = after
    assert sum(before) < sum(ranks(draw(*SHAPE)))
    assert not threshold_unfoldings(tensor, 1e3, form).any()


def test_proximal_gradient_reaches_the_optimum() -> None:
    """Of ``½‖W − V‖² + λ‖W‖_*``, by steps of an optimizer and `after_step`: the thresholded V."""
    net = TraceNormSharing(
        {"a": 1, "b": 1, "c": 1, "d": 1}, nn.Linear(6, 5), strength=1.5, method="proximal"
    ).double()
    targets = draw(4, 5, 6)
    optimizer = torch.optim.SGD(net.encoders.parameters(), lr=0.3)
    net.step_size = 0.3
    for _ in range(100):
        weights = net.encoders.stacked()["weight"]
        optimizer.zero_grad()
        ((weights - targets).square().sum() / 2).backward()
        optimizer.step()
        net.after_step()
    expected = threshold(targets.flatten(1), 1.5).view(targets.shape)
    torch.testing.assert_close(net.encoders.stacked()["weight"].detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_without_strength_it_is_single_task(form: str) -> None:
    for method in METHODS:
        net = network(strength=0.0, form=form, method=method)
        torch.manual_seed(0)
        single = SingleTask.for_table(3, HEADS, hidden=(4, 5)).double()
        net.after_step()
        assert net.penalty() is None
        assert torch.equal(net.table(draw(6, 3)), single.table(draw(6, 3)))


def test_a_step_of_unknown_length_is_refused() -> None:
    net = network(method="proximal")
    net.step_size = None
    with pytest.raises(SettingError, match=r"set network\.step_size to its learning rate"):
        net.after_step()


def test_a_large_step_leaves_biases_and_heads() -> None:
    net = network(strength=1e6, method="proximal")
    before = {name: p.clone() for name, p in net.named_parameters()}
    assert net.penalty() is None
    net.after_step()
    for name, p in net.named_parameters():
        if name.startswith("encoders") and name.endswith("weight"):
            assert not p.any()
        else:
            assert torch.equal(p, before[name])


def test_equal_tasks_stay_equal_and_keep_their_direction() -> None:
    net = network(strength=0.5, method="proximal")
    with torch.no_grad():
        for member in net.encoders.members[1:]:
            member.load_state_dict(net.encoders.members[0].state_dict())
    before = net.encoders.members[0][0].weight.clone()
    net.step_size = 0.8
    net.after_step()
    # The stack has one singular value, √3 ‖w‖, and loses 0.4 of it.
    factor = 1 - 0.4 / (math.sqrt(3) * float(before.detach().norm()))
    for member in net.encoders.members:
        torch.testing.assert_close(member[0].weight, factor * before, rtol=0, atol=1e-12)
    assert net.ranks()[0].values.max() == 1


def test_parameters_that_training_has_moved_are_reached() -> None:
    """In one block of memory, see `Parallel.bind`: values are changed there, gradients arrive there."""
    for method in METHODS:
        net, twin = (network(strength=0.2, form="tucker", method=method) for _ in range(2))
        width = sum(p.numel() for p in net.encoders.members[0].parameters())
        values = torch.empty(3, width, dtype=torch.float64)
        grads = torch.zeros(3 * width, dtype=torch.float64)
        net.encoders.bind(values, grads)
        for each in (net, twin):
            if method == "penalty":
                each.penalty().backward()
            each.after_step()
        flat = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in twin.encoders.members]
        torch.testing.assert_close(values, torch.stack(flat), rtol=0, atol=1e-12)
        first = twin.encoders.members[0][0].weight
        if method == "penalty":
            torch.testing.assert_close(grads[: first.numel()], first.grad.flatten(), rtol=0, atol=1e-12)


def test_frozen_encoders_stay() -> None:
    encoder = nn.Linear(3, 4).requires_grad_(False)
    for method in METHODS:
        net = TraceNormSharing(HEADS, encoder, strength=1.0, method=method)
        before = [p.clone() for p in net.encoders.parameters()]
        net.after_step()
        assert net.penalty() is None
        assert all(torch.equal(a, b) for a, b in zip(before, net.encoders.parameters()))


# ---------------------------------------------------------------------- what users see


def test_ranks_are_those_of_the_stacks() -> None:
    net = network(form="tucker")
    first, second = draw(2, 4, 3)
    mixtures = [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
    with torch.no_grad():
        for (a, b), member in zip(mixtures, net.encoders.members):
            member[0].weight.copy_(a * first + b * second)
    (found,) = net.ranks()
    assert found.rows == ("layer 1", "layer 2")
    assert found.columns == ("tasks", "axis 1", "axis 2")
    assert found.values.tolist() == [[2, 4, 3], [3, 5, 4]]
    assert net.ranks(tolerance=1.0)[0].values.max() == 0


def test_ranks_name_unfoldings_and_weights() -> None:
    (found,) = images(form="train").ranks()
    assert found.columns == (
        "tasks",
        "tasks × axis 1",
        *(f"tasks × axis 1 × axis 2{x}" for x in ("", " × axis 3")),
    )
    assert np.isnan(found.values).tolist() == [[False] * 4, [False, False, True, True]]
    torch.manual_seed(0)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.GRU(2, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.recurrent(x)[0][:, -1]

    net = TraceNormSharing(HEADS, Last(), 3, example=torch.zeros(2, 4, 2))
    (found,) = net.ranks()
    assert found.rows == ("layer 1 weight_ih_l0", "layer 1 weight_hh_l0")
    assert found.columns == ("tasks",)


def test_without_weights_there_are_no_ranks() -> None:
    (found,) = TraceNormSharing.for_table(3, HEADS, hidden=()).ranks()
    assert found.values.shape == (0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "rows"}, "form must be one of matrix, tucker, train; got 'rows'"),
        ({"method": "newton"}, "method must be one of penalty, proximal; got 'newton'"),
        ({"strength": -1.0}, "zero or more"),
        ({"strength": (1.0, 1.0, 1.0)}, "3 values, but the encoder has 2 layers"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        network(**settings)
