"""Gramians and weighted sums, however they are computed, equal those of explicit gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.balancing.engines import Problem, shared_parameters
from polytask.balancing.task_losses import TaskLosses
from polytask.errors import SettingError

from .networks import Case, Losses, cases, flat_grad, jacobian

CASES = list(cases())
W = {"t0": 0.5, "t1": -1.0, "t2": 2.0, "t3": 0.1}


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max()))


def problem(losses: Losses, shared: object, features: Tensor | None = None, **settings: object) -> Problem:
    return Problem(TaskLosses.of(losses), shared_parameters(shared), features, **settings)  # type: ignore[arg-type]


def combined(p: Problem, weights: dict[str, float], parameters: list[Tensor]) -> Tensor:
    out: dict[Tensor, Tensor] = {}
    p.add_weighted(np.array([weights[t] for t in p.tasks]), out)
    return torch.cat([out.get(q, torch.zeros_like(q)).flatten() for q in parameters if q.requires_grad])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", ["losses", "features", "vector", "vector and features", "plain autograd"])
def test_gramian_weighted_sum_and_gradients(name: str, how: str) -> None:
    case = cases()[name]
    h = case.features()
    losses = case.losses(h)
    J = jacobian(losses, case.encoder.parameters())
    given = (
        TaskLosses(tuple(losses), torch.stack(list(losses.values())))
        if "vector" in how
        else TaskLosses.of(losses)
    )
    shared = shared_parameters(case.encoder)
    p = Problem(given, shared, h if "features" in how else None, ghost=how != "plain autograd")
    p.sweep()
    close(p.gramian(), J @ J.T)
    w = torch.tensor([W[t] for t in losses], dtype=torch.float64)
    close(combined(p, W, list(case.encoder.parameters())), w @ J)
    found = torch.cat([p.per_task(q).flatten(1) for q in shared], 1)
    close(found, J)
    own: dict[Tensor, Tensor] = {}
    p.add_own(own)
    heads = list(case.heads.parameters())
    close(torch.cat([own[q].flatten() for q in heads]), jacobian({"": sum(losses.values())}, heads)[0])  # type: ignore[dict-item]


def test_layers_are_found() -> None:
    ways = {}
    for name in CASES:
        case = cases()[name]
        p = problem(case.losses(), case.encoder)
        p.sweep()
        ways[name] = {row["way"] for row in p.report}, {row["sweep"].split(" (")[0] for row in p.report}
    assert ways["mlp"] == ({"ghost", "ghost (sums)"}, {"all tasks at once"})
    assert ways["embedding"] == ({"ghost", "ghost (rows looked up)"}, {"all tasks at once"})
    assert ways["sequences through a layer"][0] == {"ghost"}
    assert "ghost (patches)" in ways["conv2d and group norm"][0]
    assert ways["conv2d and group norm"][1] == {"task by task"}
    assert ways["tied weights"][0] == {"direct"}, "its transpose is another use than the layer's"
    assert ways["lstm"][1] == {"task by task"}


@pytest.mark.parametrize("ghost", [True, False])
def test_the_last_layer_alone(ghost: bool) -> None:
    case = cases()["mlp"]
    losses = case.losses()
    J = jacobian(losses, case.encoder[3].parameters())
    p = problem(losses, case.encoder, ghost=ghost)
    p.sweep(last_layer=True)
    close(p.gramian(), J @ J.T)
    J = jacobian(losses, case.encoder.parameters())
    close(
        combined(p, W, list(case.encoder.parameters())),
        torch.tensor(list(W.values()), dtype=torch.float64) @ J,
    )


def test_at_the_features() -> None:
    case = cases()["mlp"]
    h = case.features()
    losses = case.losses(h)
    rows = torch.stack([torch.autograd.grad(v, h, retain_graph=True)[0].flatten() for v in losses.values()])
    for given in (TaskLosses.of(losses), TaskLosses(tuple(losses), torch.stack(list(losses.values())))):
        p = Problem(given, shared_parameters(case.encoder), h, at_features=True)
        p.sweep()
        close(p.gramian(), rows @ rows.T)
        J = jacobian(losses, case.encoder.parameters())
        close(
            combined(p, W, list(case.encoder.parameters())),
            torch.tensor(list(W.values()), dtype=torch.float64) @ J,
        )


class Graphs:
    """Ways in which tasks' graphs can hang together."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.a, self.b = nn.Linear(5, 4).double(), nn.Linear(4, 4).double()
        self.x = torch.randn(7, 5).double()
        self.heads = nn.ModuleList([nn.Linear(4, 1) for _ in range(3)]).double()
        self.shared = nn.ModuleList([self.a, self.b])

    def loss(self, k: int, h: Tensor) -> Tensor:
        return (self.heads[k](h) - k).square().mean()

    def hierarchical(self) -> Losses:
        low = torch.tanh(self.a(self.x))
        high = torch.tanh(self.b(low))
        return {"t0": self.loss(0, low), "t1": self.loss(1, high), "t2": self.loss(2, high)}

    def skipping(self) -> Losses:
        low = torch.tanh(self.a(self.x))
        high = torch.tanh(self.b(low))
        return {"t0": self.loss(0, high), "t1": self.loss(1, high + low), "t2": self.loss(2, high)}

    def own_rows(self) -> Losses:
        parts = [torch.tanh(self.b(torch.tanh(self.a(x)))) for x in self.x.split([2, 2, 3])]
        return {f"t{k}": self.loss(k, h) for k, h in enumerate(parts)}

    def beside(self) -> Losses:
        """One task uses a shared weight past the others' common part as well."""
        low = torch.tanh(self.a(self.x))
        high = torch.tanh(self.b(low))
        return {
            "t0": self.loss(0, high) + self.a.weight.sum(),
            "t1": self.loss(1, high),
            "t2": self.loss(2, high),
        }

    def alone(self) -> Losses:
        """A shared layer that one of the tasks in this batch uses."""
        low = torch.tanh(self.a(self.x))
        return {"t0": self.loss(0, low), "t1": self.loss(1, torch.tanh(self.b(low))), "t2": self.loss(2, low)}

    def through_each_other(self) -> Losses:
        """A task's head reads another task's output."""
        low = torch.tanh(self.b(torch.tanh(self.a(self.x))))
        out = self.heads[0](low)
        return {"t0": out.square().mean(), "t1": (self.heads[1](low) * out).mean(), "t2": self.loss(2, low)}

    def unbound(self) -> Losses:
        low = torch.tanh(self.b(torch.tanh(self.a(self.x))))
        vector = torch.stack([self.loss(k, low) for k in range(3)])
        return dict(zip(("t0", "t1", "t2"), vector.unbind()))

    def used_in_each_other(self) -> Losses:
        low = torch.tanh(self.b(torch.tanh(self.a(self.x))))
        one, two = self.loss(0, low), self.loss(1, low)
        return {"t0": one, "t1": two, "t2": one + 2 * two}

    def twice_the_same(self) -> Losses:
        low = torch.tanh(self.b(torch.tanh(self.a(self.x))))
        one = self.loss(0, low)
        return {"t0": one, "t1": one, "t2": self.loss(2, low)}

    def unbound_beside_another(self) -> Losses:
        low = torch.tanh(self.b(torch.tanh(self.a(self.x)))) * self.a.bias
        one, two = torch.stack([self.loss(k, low * self.b.bias) for k in range(2)]).unbind()
        return {"t0": one, "t1": two, "t2": self.loss(2, low * self.b.bias)}


SHAPES = [name for name in vars(Graphs) if not name.startswith("_") and name != "loss"]


@pytest.mark.parametrize("kind", SHAPES)
def test_graphs_of_all_shapes(kind: str) -> None:
    graphs = Graphs()
    losses = getattr(graphs, kind)()
    J = jacobian(losses, graphs.shared.parameters())
    p = problem(losses, graphs.shared)
    p.sweep()
    close(p.gramian(), J @ J.T)
    w = {"t0": 0.3, "t1": 2.0, "t2": -1.0}
    close(
        combined(p, w, list(graphs.shared.parameters())),
        torch.tensor(list(w.values()), dtype=torch.float64) @ J,
    )
    own: dict[Tensor, Tensor] = {}
    p.add_own(own)
    heads = list(graphs.heads.parameters())
    got = torch.cat([own.get(q, torch.zeros_like(q)).flatten() for q in heads])
    close(got, jacobian(losses, heads).sum(0))


def test_what_is_not_shared_below_the_features_gets_the_plain_gradient() -> None:
    case = cases()["mlp"]
    h = case.features()
    losses = case.losses(h)
    p = problem(losses, case.encoder[2], h)  # the encoder's other layers are "own"
    p.sweep()
    own: dict[Tensor, Tensor] = {}
    p.add_own(own)
    first = list(case.encoder[0].parameters())
    close(torch.cat([own[q].flatten() for q in first]), jacobian(losses, first).sum(0))


def test_single_precision_is_as_exact_as_it_can_be() -> None:
    case = cases()["mlp"]
    case.encoder.float(), case.heads.float()
    case.x = case.x.float()
    losses = case.losses()
    J = jacobian(losses, case.encoder.parameters()).double()
    p = problem(losses, case.encoder)
    p.sweep()
    torch.testing.assert_close(p.gramian().double(), J @ J.T, rtol=1e-5, atol=1e-5)


def test_bad_input_is_named() -> None:
    case = cases()["mlp"]
    h = case.features()
    losses = case.losses(h)
    with pytest.raises(SettingError, match="task 't1' does not depend on any parameter"):
        problem(losses | {"t1": losses["t1"].detach()}, case.encoder)
    spare = nn.Linear(2, 2).double()
    with pytest.raises(SettingError, match="None of the losses depends on the shared parameters"):
        problem(losses, spare)
    both = nn.ModuleDict({"encoder": case.encoder, "spare": spare})
    with pytest.raises(SettingError, match=r"2 of 8 shared parameters: spare\.weight, spare\.bias"):
        problem(losses, both)
    problem(losses, both, strict=False)
    lonely = nn.Linear(5, 1).double()
    with pytest.raises(SettingError, match="task 'x' does not depend on the shared parameters"):
        problem(losses | {"x": lonely(case.x).mean()}, case.encoder)
    with pytest.raises(SettingError, match="'x' does not depend on the features"):
        problem(losses | {"x": lonely(case.x).mean()}, case.encoder, h, at_features=True)
    with pytest.raises(SettingError, match="used past the features"):
        problem(
            losses | {"t0": losses["t0"] + case.encoder[0].weight.sum()}, case.encoder, h, at_features=True
        )
    with pytest.raises(SettingError, match="features do not depend on any parameter"):
        problem(losses, case.encoder, h.detach(), at_features=True)
    with pytest.raises(SettingError, match="entry 0 is of type str"):
        shared_parameters("encoder")
    with pytest.raises(SettingError, match="shared has no parameters"):
        shared_parameters([])
    with pytest.raises(SettingError, match="must be a module or parameters, not int"):
        shared_parameters(3)
    with pytest.raises(SettingError, match=r"shape \(6,\) is the result of a computation"):
        shared_parameters([case.encoder[2].weight.sum(1)])


def test_no_gradient_appears_before_it_is_asked_for() -> None:
    case: Case = cases()["mlp"]
    p = problem(case.losses(), case.encoder)
    p.sweep()
    p.gramian()
    assert not flat_grad(case.parameters).any()
