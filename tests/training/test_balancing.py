"""Every balancing method in polytask's own loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from polytask.balancing import BALANCERS, Balancer, get_balancer
from polytask.errors import SettingError
from polytask.sharing import HardSharing, SoftSharing
from polytask.training import train

from . import problems
from .test_loop import halves, prepare, settings, weights


class Interrupted(Exception):
    pass


def make(name: str, tasks: tuple[str, ...]) -> Balancer:
    given: dict[str, dict[str, Any]] = {"fixed": {"weights": {t: 1.0 + k for k, t in enumerate(tasks)}}}
    return get_balancer(name, **given.get(name, {}))


@pytest.mark.parametrize("name", BALANCERS)
def test_training_that_was_interrupted_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    def run(stop_after: int | None = None, **changes: Any) -> tuple[torch.Tensor, Any]:
        network, tensors, validation = halves(problems.mixed(), HardSharing, dropout=0.2)

        def interrupt(record: dict[str, Any]) -> None:
            if record["epoch"] == stop_after:
                raise Interrupted

        chosen = settings(max_epochs=5, learning_rate=0.01, **changes)
        balancer = make(name, tensors.tasks)
        history = train(network, tensors, validation, balancer, chosen, seed=3, callback=interrupt)
        return weights(network), history

    path = tmp_path / "state.safetensors"
    expected, history = run()
    with pytest.raises(Interrupted):
        run(stop_after=2, checkpoint=path)
    found, resumed = run(checkpoint=path, resume=True)
    assert torch.equal(found, expected)
    assert resumed == history
    assert history[-1]["objective"] < history[0]["objective"]


@pytest.mark.parametrize("name", ["pcgrad", "mgda_ub", "gradnorm", "graddrop"])
def test_tasks_with_rows_of_their_own(name: str) -> None:
    network, tensors, validation = halves(problems.own_rows(), HardSharing, "pairs")
    history = train(network, tensors, validation, make(name, tensors.tasks), settings(max_epochs=8))
    assert history[-1]["objective"] < history[0]["objective"]


@pytest.mark.parametrize("name", ["pcgrad", "mgda_ub", "graddrop"])
def test_without_anything_shared_there_is_nothing_to_balance(name: str) -> None:
    network, tensors = prepare(problems.wide(), SoftSharing)
    with pytest.raises(
        SettingError, match=f"'{name}' works on what tasks share, and sharing 'soft' shares no"
    ):
        train(network, tensors, None, make(name, tensors.tasks), settings())
    train(network, tensors, None, make("equal", tensors.tasks), settings())
