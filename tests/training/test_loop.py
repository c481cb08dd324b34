from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polytask.balancing import Equal, LossBalancer
from polytask.data import TaskData
from polytask.errors import ModelFolderError, TrainingError
from polytask.sharing import SHARINGS, HardSharing, Sharing, SingleTask, SoftSharing
from polytask.training import TaskTensors, Training, find_units, train

from . import problems


def prepare(
    data: TaskData,
    cls: Any = HardSharing,
    layout: str = "rows",
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> tuple[Sharing, TaskTensors]:
    torch.manual_seed(0)
    heads = {t.name: t.n_outputs for t in data.tasks}
    network = cls.for_table(data.X.shape[1], heads, **{"hidden": (8, 8), **settings}).to(dtype)
    return network, TaskTensors(data, data.X, find_units(data), network.columns, layout, dtype=dtype)


def halves(data: TaskData, cls: Any = HardSharing, layout: str = "rows", **settings: Any):
    """A network, and tensors of the first and second half of the rows in the units of the first."""
    middle = data.n_rows // 2
    first, second = data.subset(np.arange(middle)), data.subset(np.arange(middle, data.n_rows))
    network, tensors = prepare(first, cls, layout, **settings)
    return network, tensors, TaskTensors(second, second.X, find_units(first), network.columns, layout)


def weights(network: Sharing) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def settings(**changes: Any) -> Training:
    return Training(**{"max_epochs": 6, "batch_size": 16, "device": "cpu", **changes})


@pytest.mark.parametrize("cls", [cls for name, cls in SHARINGS.items() if name != "adashare"])  # which draws
def test_full_batch_training_is_plain_adamw(cls: Any) -> None:
    """One batch an epoch, equal weights: the loop is torch's optimizer on the mean of masked losses."""
    data = problems.mixed()
    network, tensors = prepare(data, cls, dtype=torch.float64)
    twin = copy.deepcopy(network)
    train(network, tensors, None, Equal(), settings(batch_size=1000, clip_norm=None, schedule="constant"))
    rates = {id(p): factor for p, factor in twin.learning_rates()}
    groups = [{"params": [p], "lr": 3e-3 * rates.get(id(p), 1.0)} for p in twin.parameters()]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
    for _ in range(6):
        optimizer.zero_grad()
        numerator, denominator = tensors.sums(twin)
        penalty = twin.penalty()
        ((numerator / denominator).mean() + (0 if penalty is None else penalty)).backward()
        optimizer.step()
        twin.step_size = 3e-3
        twin.after_step()
    torch.testing.assert_close(weights(network), weights(twin), rtol=0, atol=1e-9)


@pytest.mark.parametrize("cls", SHARINGS.values())
@pytest.mark.parametrize(("make", "layout"), [(problems.mixed, "rows"), (problems.own_rows, "pairs")])
def test_same_seed_same_weights(cls: Any, make: Any, layout: str) -> None:
    found = []
    for seed in (1, 1, 2):
        network, tensors = prepare(make(), cls, layout, dropout=0.2)
        train(network, tensors, None, Equal(), settings(), seed=seed)
        found.append(weights(network))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_callers_random_numbers_are_left_alone() -> None:
    network, tensors = prepare(problems.wide(), dropout=0.2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(network, tensors, None, Equal(), settings())
    assert torch.equal(torch.rand(3), expected)


class Interrupted(Exception):
    pass


class Remembering(LossBalancer):
    """A balancer with a state: weights follow a moving average of the losses."""

    name = "remembering"

    def __init__(self) -> None:
        self.average: torch.Tensor | None = None
        self.calls = 0

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        now = torch.from_numpy(losses)
        self.average = now if self.average is None else 0.9 * self.average + 0.1 * now
        self.calls += 1
        return (1 / self.average).numpy()

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "calls": self.calls}

    def load_state_dict(self, state: Any) -> None:
        self.average, self.calls = state["average"], state["calls"]


@pytest.mark.parametrize("cls", [HardSharing, SingleTask])
@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_resumed_training_gives_identical_weights(cls: Any, schedule: str, tmp_path: Path) -> None:
    def run(stop_after: int | None = None, **changes: Any):
        network, tensors, validation = halves(problems.wide(), cls, dropout=0.2)

        def interrupt(record: dict[str, Any]) -> None:
            if record["epoch"] == stop_after:
                raise Interrupted

        chosen = settings(max_epochs=12, patience=3, learning_rate=0.02, schedule=schedule, **changes)
        history = train(network, tensors, validation, Remembering(), chosen, seed=3, callback=interrupt)
        return weights(network), history

    path = tmp_path / "run" / "state.safetensors"
    expected, history = run()
    with pytest.raises(Interrupted):
        run(stop_after=4, checkpoint=path)
    found, resumed = run(checkpoint=path, resume=True)
    assert torch.equal(found, expected)
    assert resumed == history
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    network, tensors = prepare(problems.wide())
    train(network, tensors, None, Equal(), settings(checkpoint=path, resume=True))
    other, tensors = prepare(problems.wide(), hidden=(9,))
    with pytest.raises(ModelFolderError, match="other tasks or another network"):
        train(other, tensors, None, Equal(), settings(checkpoint=path, resume=True))


@pytest.mark.parametrize("stopping", ["joint", "auto"])
def test_the_weights_of_the_best_epoch_are_kept(stopping: str) -> None:
    network, tensors, validation = halves(problems.wide(noise=2.0))
    history = train(
        network,
        tensors,
        validation,
        Equal(),
        settings(max_epochs=300, patience=8, learning_rate=0.03, stopping=stopping),
    )
    objective = [record["objective"] for record in history]
    best = int(np.argmin(objective))
    assert len(history) == best + 1 + 8 < 300
    numerator, denominator = validation.sums(network)
    found = (numerator / denominator).tolist()
    assert found == pytest.approx(list(history[best]["validation"].values()), rel=1e-5)


def test_a_shared_network_goes_back_to_its_best_joint_epoch_when_tasks_stop_apart() -> None:
    network, tensors, validation = halves(problems.wide(noise=2.0))
    chosen = settings(max_epochs=300, patience=8, learning_rate=0.03, stopping="per_task")
    history = train(network, tensors, validation, Equal(), chosen)
    best = min(range(len(history)), key=lambda e: history[e]["objective"])
    last_best = max(
        min(range(len(history)), key=lambda e, t=task: history[e]["validation"][t]) for task in tensors.tasks
    )
    assert best + 1 < len(history) <= last_best + 1 + 8
    numerator, denominator = validation.sums(network)
    found = (numerator / denominator).tolist()
    assert found == pytest.approx(list(history[best]["validation"].values()), rel=1e-5)


def test_single_task_networks_stop_each_at_their_own_best_epoch() -> None:
    network, tensors, validation = halves(problems.wide(noise=1.0), SingleTask)
    history = train(
        network, tensors, validation, Equal(), settings(max_epochs=400, patience=8, learning_rate=0.03)
    )
    numerator, denominator = validation.sums(network)
    curves = {t: [record["validation"][t] for record in history] for t in tensors.tasks}
    epochs = set()
    for k, task in enumerate(tensors.tasks):
        # The epochs until the task stopped: its best one, and `patience` more.
        best = next(
            e
            for e in range(len(history))
            if min(curves[task][: e + 9]) == curves[task][e] and e + 8 < len(history)
        )
        assert (numerator / denominator)[k].item() == pytest.approx(curves[task][best], rel=1e-5)
        epochs.add(best)
    assert len(epochs) > 1


def test_training_tasks_together_is_training_them_apart() -> None:
    """Nothing is shared: the towers of a joint run equal those of separate runs, step for step."""
    data = problems.wide()
    torch.manual_seed(0)
    network, tensors = prepare(data, SingleTask, dtype=torch.float64)
    alone = []
    for k, task in enumerate(data.task_names):
        part = data.select([task])
        single, own = prepare(part, SingleTask, dtype=torch.float64)
        state = {
            name.replace(f".{k}.", ".0.", 1): v
            for name, v in network.state_dict().items()
            if f"members.{k}." in name
        }
        single.load_state_dict(state)
        train(single, own, None, Equal(), settings(), seed=1)
        alone.append(single.table(own.x))
    train(network, tensors, None, Equal(), settings(), seed=1)
    # The mean over tasks scales gradients by 1/T, which Adam undoes up to its ε.
    torch.testing.assert_close(network.table(tensors.x), torch.cat(alone, 1), rtol=0, atol=1e-4)


def test_networks_that_pull_at_each_other_stop_together() -> None:
    """With λ = 0 every task goes back to its own best epoch, otherwise all to the joint one."""
    for strength, together in ((0.0, False), (1e-3, True)):
        network, tensors, validation = halves(problems.wide(noise=1.0), SoftSharing, strength=strength)
        chosen = settings(max_epochs=400, patience=8, learning_rate=0.03)
        history = train(network, tensors, validation, Equal(), chosen)
        best = min(range(len(history)), key=lambda e: history[e]["objective"])
        numerator, denominator = validation.sums(network)
        found = (numerator / denominator).tolist()
        joint = found == pytest.approx(list(history[best]["validation"].values()), rel=1e-5)
        assert joint == together


def test_a_task_with_one_validation_label_does_not_decide_when_to_stop() -> None:
    """Its null loss there may be almost zero; the unit is the null loss on the training labels."""
    data, held_out = problems.own_rows(), problems.own_rows(sizes=(20, 2, 20), seed=1)
    held_out = held_out.subset(np.setdiff1d(np.arange(held_out.n_rows), held_out.rows["t1"][:1]))
    network, tensors = prepare(data, SingleTask, "pairs")
    held_out.targets["t1"] = np.array([data.targets["t1"].mean() + 1e-6])
    validation = TaskTensors(held_out, held_out.X, find_units(data), network.columns, "pairs")
    history = train(network, tensors, validation, Equal(), settings(max_epochs=1))
    numerator, denominator = tensors.null_sums()
    losses = torch.tensor(list(history[0]["validation"].values()))
    assert history[0]["objective"] == pytest.approx(
        (losses / (numerator / denominator)).mean().item(), rel=1e-5
    )


def test_tasks_without_rows_of_their_own_are_left_alone(recwarn: pytest.WarningsRecorder) -> None:
    data = problems.own_rows(sizes=(25, 2, 40, 3))
    data = data.subset(np.setdiff1d(np.arange(data.n_rows), data.rows["t1"]))
    for cls in SHARINGS.values():
        network, tensors = prepare(data, cls, "pairs")
        before = copy.deepcopy(network)
        train(network, tensors, tensors, Equal(), settings())
        heads = [list(n.task_parameters("t1"))[-1] for n in (network, before)]
        # Without labels nothing but the pull of soft sharing could move a task, and it does not reach heads.
        assert torch.equal(*heads)
    assert not recwarn.list


def test_soft_sharing_between_its_limits() -> None:
    data = problems.wide()
    outcomes = {}
    for strength in (0.0, 1e4):
        network, tensors = prepare(data, SoftSharing, strength=strength)
        train(network, tensors, None, Equal(), settings(max_epochs=150, schedule="cosine", clip_norm=None))
        encoders = [
            torch.cat([p.detach().flatten() for p in m.parameters()]) for m in network.encoders.members
        ]
        outcomes[strength] = max(float((e - encoders[0]).abs().max()) for e in encoders)
    assert outcomes[1e4] < 0.01 < outcomes[0.0]
    soft, tensors = prepare(data, SoftSharing, strength=0.0)
    single, _ = prepare(data, SingleTask)
    for network in (soft, single):
        train(network, tensors, None, Equal(), settings())
    torch.testing.assert_close(weights(soft), weights(single), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(bad: float) -> None:
    network, tensors = prepare(problems.wide())
    before = weights(network)
    tensors.groups[0].y[3, 1] = bad
    with pytest.raises(TrainingError, match="'y1'"):
        train(network, tensors, None, Equal(), settings(batch_size=1000))
    assert torch.equal(weights(network), before)


def test_a_task_without_labels_leaves_its_head_alone() -> None:
    data = problems.wide()
    data.rows["y1"], data.targets["y1"], data.weights["y1"] = (
        v["y1"][:0] for v in (data.rows, data.targets, data.weights)
    )
    network, tensors = prepare(data)
    before = copy.deepcopy(network)
    history = train(network, tensors, tensors, Equal(), settings())
    for p, q in zip(network.task_parameters("y1"), before.task_parameters("y1")):
        assert torch.equal(p, q)
    assert not torch.equal(next(network.task_parameters("y0")), next(before.task_parameters("y0")))
    assert history[-1]["train"]["y1"] is None
    assert history[-1]["validation"]["y1"] is None
    assert history[-1]["objective"] is not None


def test_log_and_history_are_plain_and_equal(tmp_path: Path) -> None:
    network, tensors, validation = halves(problems.mixed(n=80))
    history = train(network, tensors, validation, Equal(), settings(log=tmp_path / "log.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == history
    assert [r["epoch"] for r in history] == list(range(6))
    assert set(history[0]["train"]) == set(tensors.tasks)


def test_progress_shows_losses_of_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    network, tensors = prepare(problems.wide())
    train(network, tensors, None, Equal(), settings(progress=True))
    assert "y0=" in capsys.readouterr().err
    network, tensors = prepare(problems.wide())
    train(network, tensors, None, Equal(), settings())
    assert capsys.readouterr().err == ""


def test_a_balancer_that_needs_losses_after_the_step_gets_them() -> None:
    class After(Equal):
        needs = "losses_after_step"
        seen: tuple[Any, ...] = ()

        def after_step(self, losses: Any) -> None:
            self.seen = (*self.seen, losses.vector.clone())

    network, tensors = prepare(problems.wide())
    balancer = After()
    train(network, tensors, None, balancer, settings(max_epochs=2, batch_size=1000))
    assert len(balancer.seen) == 2
    numerator, denominator = tensors.sums(network)
    torch.testing.assert_close(balancer.seen[-1], (numerator / denominator).detach())


def test_batch_norm_statistics_belong_to_the_best_epoch() -> None:
    data = problems.wide(noise=2.0)
    middle = data.n_rows // 2
    first, second = data.subset(np.arange(middle)), data.subset(np.arange(middle, data.n_rows))
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU())
    network = HardSharing(dict.fromkeys(data.task_names, 1), encoder, 8)
    units = find_units(first)
    tensors, validation = (TaskTensors(d, d.X, units, network.columns, "rows") for d in (first, second))
    history = train(
        network, tensors, validation, Equal(), settings(max_epochs=60, patience=5, learning_rate=0.03)
    )
    best = min(record["objective"] for record in history)
    assert history[-1]["objective"] > best
    numerator, denominator = validation.sums(network)
    null_sum, null_weight = tensors.null_sums()
    null = null_sum / null_weight
    assert (numerator / denominator / null).mean().item() == pytest.approx(best, rel=1e-5)
