"""The optimizer over blocks against torch's own, parameter by parameter."""

from __future__ import annotations

import copy

import pytest
import torch

from polytask.errors import TrainingError
from polytask.sharing import HardSharing, SingleTask
from polytask.training.clipping import clip_gradients
from polytask.training.optimizer import BlockAdamW
from polytask.training.packing import packed

HEADS = {"a": 1, "b": 1, "c": 2}


def run_ours(network, x, schedule):
    with packed(network, list(HEADS)) as blocks:
        optimizer = BlockAdamW(blocks, weight_decay=0.1)
        for present in schedule:
            optimizer.zero_grad()
            outputs = network.table(x)
            sum(outputs[:, network.columns[t]].square().mean() for t in present).backward()
            clip_gradients(blocks, None, list(HEADS))
            active = torch.tensor([t in present for t in HEADS])
            optimizer.step(0.01, None if active.all() else active)
    return network


def run_torch(network, x, schedule):
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    for present in schedule:
        optimizer.zero_grad(set_to_none=True)
        outputs = network(x, dict.fromkeys(present))
        sum(outputs[t].square().mean() for t in present).backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("cls", [HardSharing, SingleTask])
@pytest.mark.parametrize(
    "schedule",
    [[("a", "b", "c")] * 6, [("a", "b", "c"), ("a",), ("a", "c"), ("b", "c"), ("a", "b", "c"), ("a", "b")]],
    ids=["all present", "some absent"],
)
def test_equals_torch_where_absent_tasks_have_no_gradient(cls, schedule) -> None:
    torch.manual_seed(0)
    ours = cls.for_table(3, HEADS, hidden=(4,)).double()
    theirs = copy.deepcopy(ours)
    x = torch.randn(9, 3, dtype=torch.float64)
    run_ours(ours, x, schedule)
    run_torch(theirs, x, schedule)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7, msg=name)


def test_an_absent_task_does_not_move_at_all() -> None:
    torch.manual_seed(0)
    network = HardSharing.for_table(3, HEADS, hidden=(4,))
    run_ours(network, torch.randn(9, 3), [("a", "b", "c")])
    before = copy.deepcopy(network)
    run_ours(network, torch.randn(9, 3), [("a",)] * 3)
    for p, q in zip(network.task_parameters("b"), before.task_parameters("b")):
        assert torch.equal(p, q)
    assert not torch.equal(network.encoder[0].weight, before.encoder[0].weight)


def test_clipping_is_apart_for_shared_and_own_parameters() -> None:
    torch.manual_seed(0)
    network = HardSharing.for_table(3, {"a": 1, "b": 1}, hidden=(4,)).double()
    x = torch.randn(9, 3, dtype=torch.float64)
    with packed(network, ["a", "b"]) as blocks:
        (network.table(x) * torch.tensor([100.0, 0.01], dtype=torch.float64)).sum().backward()
        for block in blocks:
            block.collect()
        before = [b.grads.clone() for b in blocks]
        clip_gradients(blocks, 1.0, ["a", "b"])
        for b, old in zip(blocks, before):
            for row, old_row in zip(b.grads, old):
                norm = old_row.norm()
                torch.testing.assert_close(row, old_row / norm if norm > 1 else old_row)


def test_a_gradient_that_is_not_finite_names_its_owner() -> None:
    network = HardSharing.for_table(3, {"a": 1, "b": 1}, hidden=(4,))
    with packed(network, ["a", "b"]) as blocks:
        network.table(torch.ones(2, 3)).sum().backward()
        own = next(b for b in blocks if not b.all_shared)
        own.parts[0][1] = float("nan")
        with pytest.raises(TrainingError, match="gradient of task 'b' is not finite"):
            clip_gradients(blocks, 1.0, ["a", "b"])


def test_packing_keeps_values_and_gives_memory_back() -> None:
    torch.manual_seed(0)
    network = HardSharing.for_table(3, HEADS, hidden=(4,), task_hidden=(3,))
    before = copy.deepcopy(network.state_dict())
    with packed(network, list(HEADS)) as blocks:
        assert sum(b.values.numel() for b in blocks) == sum(p.numel() for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    storages = {p.untyped_storage().data_ptr() for p in network.parameters()}
    assert len(storages) == len(list(network.parameters()))


def test_a_frozen_encoder_stays_and_a_frozen_network_is_refused() -> None:
    network = HardSharing.for_table(3, HEADS, hidden=(4,))
    for p in network.encoder.parameters():
        p.requires_grad_(False)
    before = copy.deepcopy(network.encoder.state_dict())
    run_ours(network, torch.randn(9, 3), [("a", "b", "c")] * 2)
    assert all(torch.equal(v, before[k]) for k, v in network.encoder.state_dict().items())
    for p in network.parameters():
        p.requires_grad_(False)
    with pytest.raises(TrainingError, match="no parameters to train"), packed(network, list(HEADS)):
        pass
