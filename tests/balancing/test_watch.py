from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import (
    FAMO,
    MGDA,
    Balancer,
    Equal,
    Fixed,
    GradDrop,
    GradNorm,
    PCGrad,
    Uncertainty,
    Watch,
)
from polytask.errors import SettingError, TrainingError

TASKS = ("a", "b", "c")
EVERY_KIND = [Equal, Uncertainty, FAMO, PCGrad, lambda: MGDA(gradients="features"), GradNorm, GradDrop]


class Run:
    """A hand-written loop: three tasks on a shared network; every third batch lacks the task "b"."""

    def __init__(self, balancer: Balancer, dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 5)).to(
                dtype
            )
            self.heads = nn.ModuleDict({t: nn.Linear(5, 1) for t in TASKS}).to(dtype)
            self.x = torch.randn(40, 4, dtype=dtype)
            self.y = torch.randn(40, 3, dtype=dtype)
        self.balancer = balancer
        self.parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, 1e-2)
        self.count = 0

    def losses(self, rows: slice | None = None) -> tuple[dict[str, Tensor], Tensor]:
        if rows is None:
            start = 8 * (self.count % 5)
            rows = slice(start, start + 8)
        present = TASKS if self.count % 3 != 2 else ("a", "c")
        z = torch.tanh(self.encoder(self.x[rows]))
        return {
            t: (self.heads[t](z)[:, 0] - self.y[rows, TASKS.index(t)]).square().sum() / 8 for t in present
        }, z

    def step(self) -> None:
        self.optimizer.zero_grad()
        losses, z = self.losses()
        self.balancer.backward(losses, shared=self.encoder, features=z)
        self.optimizer.step()
        self.count += 1
        if self.balancer.needs == "losses_after_step":
            self.balancer.after_step({t: v.detach() for t, v in self.losses()[0].items() if t in losses})

    def steps(self, n: int) -> Run:
        for _ in range(n):
            self.step()
        return self


def watched(balancer: Balancer, **settings: Any) -> Balancer:
    balancer.watch = Watch(**settings)
    return balancer


def gradients(losses: dict[str, Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """One flat gradient a task, by one backward pass a task."""
    return [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, inputs, retain_graph=True)])
        for loss in losses.values()
    ]


@pytest.mark.parametrize(
    ("make", "asked", "of"),
    [
        (Equal, True, "shared parameters"),
        (PCGrad, False, "shared parameters"),
        (PCGrad, True, "shared parameters"),
        (GradDrop, False, "shared parameters"),
        (GradNorm, False, "last shared layer"),
        (GradNorm, True, "shared parameters"),
        (lambda: MGDA(gradients="features"), False, "shared representation"),
        (lambda: MGDA(gradients="features"), True, "shared parameters"),
        (lambda: PCGrad(update_every=7), True, "shared parameters"),
    ],
)
def test_a_record_is_what_one_computes_by_hand(make: Callable[[], Balancer], asked: bool, of: str) -> None:
    run = Run(watched(make(), every=1, gradients=asked))
    for step in range(4):
        losses, z = run.losses()
        inputs = {
            "shared parameters": list(run.encoder.parameters()),
            "last shared layer": list(run.encoder[-1].parameters()),
            "shared representation": [z],
        }[of]
        expected = gradients(losses, inputs)
        run.step()
        record = run.balancer.watch.records[-1]
        assert (record["step"], record["tasks"], record["gradients_of"]) == (step, list(losses), of)
        assert record["losses"] == [loss.item() for loss in losses.values()]
        np.testing.assert_allclose(record["norms"], [g.norm().item() for g in expected], rtol=1e-9)
        cosines = [torch.cosine_similarity(g, h, dim=0).item() for g, h in combinations(expected, 2)]
        np.testing.assert_allclose(record["cosines"], cosines, rtol=0, atol=1e-9)
        assert record["conflicts"] == np.mean(np.array(cosines) < 0)


def test_weights_are_those_of_the_step() -> None:
    fixed = Run(watched(Fixed({"a": 1.0, "b": 2.0, "c": 0.5}), every=1)).steps(3).balancer.watch.records
    assert [r["weights"] for r in fixed] == [[1.0, 2.0, 0.5], [1.0, 2.0, 0.5], [1.0, 0.5]]
    run = Run(watched(PCGrad(), every=1))
    losses, _ = run.losses()
    expected = gradients(losses, list(run.encoder.parameters()))
    run.step()
    found = torch.cat([p.grad.flatten() for p in run.encoder.parameters()])
    weights = run.balancer.watch.records[0]["weights"]
    torch.testing.assert_close(found, sum(w * g for w, g in zip(weights, expected)))
    assert Run(watched(GradDrop(), every=1)).steps(1).balancer.watch.records[0]["weights"] is None


@pytest.mark.parametrize("make", EVERY_KIND)
@pytest.mark.parametrize("asked", [False, True])
def test_watching_changes_no_bit_of_the_training(make: Callable[[], Balancer], asked: bool) -> None:
    finals = []
    for balancer in (make(), watched(make(), every=2, gradients=asked)):
        torch.manual_seed(1)
        finals.append(Run(balancer, torch.float32, dropout=0.3).steps(9).parameters)
    assert all(torch.equal(p, q) for p, q in zip(*finals))


def test_nothing_is_recorded_between_the_intervals(tmp_path: Path) -> None:
    run = Run(watched(Equal(), every=4, path=tmp_path / "new" / "w.jsonl", gradients=True)).steps(10)
    watch = run.balancer.watch
    assert [r["step"] for r in watch.records] == [0, 4, 8]
    assert watch.step == 10
    lines = (tmp_path / "new" / "w.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == watch.records


def test_loss_balancers_have_no_gradients_unless_asked() -> None:
    record = Run(watched(Equal())).steps(1).balancer.watch.records[0]
    assert [record[k] for k in ("gradients_of", "norms", "cosines", "conflicts")] == [None] * 4
    assert record["weights"] == [1 / 3] * 3


def test_micro_batches_make_one_record_of_the_whole_batch() -> None:
    whole, parts = (Run(watched(Equal(), every=1, gradients=True)) for _ in range(2))
    whole.step()
    parts.balancer.accumulate(parts.losses(slice(0, 3))[0], shared=parts.encoder)
    parts.balancer.backward(parts.losses(slice(3, 8))[0], shared=parts.encoder)
    (expected,), (found,) = whole.balancer.watch.records, parts.balancer.watch.records
    for key in ("losses", "norms", "cosines"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-10)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_resumed_record_is_the_uninterrupted_one(in_file: bool, tmp_path: Path) -> None:
    paths = [tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"] if in_file else [None, None]
    whole = Run(watched(PCGrad(), every=3, path=paths[0])).steps(20).balancer.watch
    run = Run(watched(PCGrad(), every=3, path=paths[1])).steps(8)
    saved = json.loads(json.dumps(run.balancer.watch.state_dict()))
    interrupted = copy.deepcopy(run).steps(6)  # steps that the resumed run takes again
    assert interrupted.balancer.watch.records[-1]["step"] == 12
    if in_file:
        with paths[1].open("a") as file:
            file.write('{"step": 15, "tas')
    run.balancer.watch = Watch(every=3, path=paths[1])
    run.balancer.watch.load_state_dict(saved)
    run.steps(12)
    assert run.balancer.watch.records == whole.records
    if in_file:
        assert paths[1].read_text() == paths[0].read_text()


def test_a_new_run_replaces_the_file(tmp_path: Path) -> None:
    for steps in (9, 3):
        Run(watched(Equal(), every=1, path=tmp_path / "w.jsonl")).steps(steps)
    assert len((tmp_path / "w.jsonl").read_text().splitlines()) == 3


def test_a_task_without_a_gradient_has_no_cosines_and_one_task_no_pairs() -> None:
    w = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    balancer = watched(Equal(), every=1, gradients=True)
    balancer.backward({"a": w.sum(), "flat": (0 * w).sum(), "b": -w[0]}, shared=[w])
    balancer.backward({"a": w.sum()}, shared=[w])
    three, one = balancer.watch.records
    assert three["norms"] == [pytest.approx(2**0.5), 0.0, 1.0]
    assert three["cosines"] == [None, pytest.approx(-(0.5**0.5)), None]
    assert three["conflicts"] == 1.0
    assert (one["cosines"], one["conflicts"]) == ([], None)


def test_gradients_that_are_not_finite_are_none_in_json_for_strict_readers(tmp_path: Path) -> None:
    w = torch.zeros(2, requires_grad=True)
    balancer = watched(Equal(), every=1, gradients=True, path=tmp_path / "w.jsonl")
    balancer.backward({"a": w.sum(), "b": w.sqrt().sum()}, shared=[w])
    assert balancer.watch.records[0]["norms"] == [pytest.approx(2**0.5), None]
    assert balancer.watch.records[0]["cosines"] == [None]
    assert "NaN" not in (tmp_path / "w.jsonl").read_text()


def test_a_step_that_was_refused_is_not_counted() -> None:
    balancer, w = watched(Equal(), every=1), torch.ones(1, requires_grad=True)
    with pytest.raises(TrainingError):
        balancer.backward({"a": w.sum() * float("nan")})
    assert (balancer.watch.step, balancer.watch.records) == (0, [])


def test_wrong_settings_say_what_to_do() -> None:
    for bad in (0, 2.5):
        with pytest.raises(SettingError, match="every must be a whole number of at least 1"):
            Watch(every=bad)
    w = torch.ones(2, requires_grad=True)
    frozen = torch.ones(2)
    for shared in (None, [frozen]):
        with pytest.raises(SettingError, match="needs shared parameters that are trained"):
            watched(Equal(), gradients=True).backward({"a": w.sum()}, shared=shared)
    assert w.grad is None
