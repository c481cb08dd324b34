"""What holds for every architecture: forms agree, gradients reach who they should, state is complete."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from polytask.errors import SettingError
from polytask.sharing import SHARINGS, HardSharing, Sharing, get_sharing
from polytask.sharing.networks import TaskNetworks

from .encoders import ENCODERS, REFUSED

D = 5
EQUAL = {"a": 1, "b": 1, "c": 1}
MIXED = {"a": 1, "b": 3, "c": 1, "d": 2}
CASES = [
    (name, heads, task_hidden)
    for name in SHARINGS
    for heads in (EQUAL, MIXED, {"only": 2})
    for task_hidden in ((), (4,))
]


def make(name: str, heads: dict[str, int], task_hidden: tuple[int, ...] = (), **settings: Any) -> Sharing:
    torch.manual_seed(0)
    cls = get_sharing(name)
    # Equal widths, so that there is a block that can be skipped.
    return cls.for_table(D, heads, hidden=(6, 6), task_hidden=task_hidden, **settings).double().eval()


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{len(case[1])}-{len(case[2])}")
def network(request: pytest.FixtureRequest) -> Sharing:
    return make(*request.param)


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(11, D, dtype=torch.float64)


def test_the_three_forms_agree(network: Sharing, x: Tensor) -> None:
    outputs = network(x)
    assert {t: tuple(o.shape) for t, o in outputs.items()} == {t: (11, k) for t, k in network.heads.items()}
    table = network.table(x)
    assert table.shape == (11, sum(network.heads.values()))
    for task, columns in network.columns.items():
        torch.testing.assert_close(table[:, columns], outputs[task], rtol=0, atol=1e-10)
    tasks = torch.arange(11) % len(network.tasks)
    own = network.own(x, tasks)
    for i, t in enumerate(tasks.tolist()):
        task = network.tasks[t]
        width = network.heads[task]
        torch.testing.assert_close(own[i, :width], outputs[task][i], rtol=0, atol=1e-10)
        assert not own[i, width:].any()


def test_the_default_forms_of_the_base_agree_with_the_fast_ones(network: Sharing, x: Tensor) -> None:
    """A third party that implements `forward` alone gets the same."""
    slow = Sharing.table(network, x)
    fast = network.table(x)
    start = 0
    for task, width in network.heads.items():
        torch.testing.assert_close(slow[:, start : start + width], fast[:, network.columns[task]])
        start += width
    tasks = (torch.arange(11) * 7) % len(network.tasks)
    torch.testing.assert_close(Sharing.own(network, x, tasks), network.own(x, tasks))


def test_blocks_are_rows_of_their_own_task(network: Sharing, x: Tensor) -> None:
    if not network.takes_blocks:
        with pytest.raises(NotImplementedError, match="own"):
            network.own_blocks(x.expand(len(network.tasks), -1, -1))
        return
    blocks = torch.stack([x.roll(k, 0) for k in range(len(network.tasks))])
    tasks = torch.arange(len(network.tasks)).repeat_interleave(len(x))
    expected = network.own(blocks.flatten(0, 1), tasks).view(len(blocks), len(x), -1)
    torch.testing.assert_close(network.own_blocks(blocks), expected, rtol=0, atol=1e-10)
    for chosen in ([len(network.tasks) - 1], list(range(len(network.tasks)))[::2]):
        found = network.own_blocks(blocks[chosen], chosen)
        torch.testing.assert_close(found, expected[chosen], rtol=0, atol=1e-10)


def test_rows_are_the_rows(network: Sharing, x: Tensor) -> None:
    index = torch.tensor([3, 0, 8])
    first, last = network.tasks[0], network.tasks[-1]
    every = network(x)
    out = network(x, {first: index, last: None} if first != last else {first: index})
    torch.testing.assert_close(out[first], every[first][index], rtol=0, atol=1e-10)
    if first != last:
        torch.testing.assert_close(out[last], every[last], rtol=0, atol=1e-10)
    assert set(out) == {first, last}


@pytest.mark.parametrize("rows", [None, torch.tensor([0, 1, 2])])
def test_a_task_that_is_absent_gets_no_gradient(network: Sharing, x: Tensor, rows: Tensor | None) -> None:
    task = network.tasks[0]
    network(x, {task: rows})[task].square().sum().backward()
    assert all(p.grad is not None for p in network.task_parameters(task))
    assert network.name == "hierarchical" or all(p.grad is not None for p in network.shared_parameters())
    for other in network.tasks[1:]:
        assert all(p.grad is None for p in network.task_parameters(other))


def test_every_parameter_has_one_owner(network: Sharing) -> None:
    owned = [id(p) for p in network.shared_parameters()]
    owned += [id(p) for task in network.tasks for p in network.task_parameters(task)]
    assert sorted(owned) == sorted(id(p) for p in network.parameters())


def test_description_is_plain_and_rebuilds_the_network(network: Sharing, x: Tensor) -> None:
    described = json.loads(json.dumps(network.describe()))
    assert described["parameters"] == sum(p.numel() for p in network.parameters())
    assert sum(block["parameters"] for block in described["parts"]) == described["parameters"]
    again = get_sharing(described["name"]).for_table(D, described["heads"], **described["settings"]).double()
    again.eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.table(x), network.table(x))


def test_copies_are_equal_and_apart(network: Sharing, x: Tensor) -> None:
    before = network.table(x)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for p in network.parameters():
            p.zero_()
    torch.testing.assert_close(other.table(x), before)


def test_one_row_and_features(network: Sharing, x: Tensor) -> None:
    assert network.table(x[:1]).shape[0] == 1
    features = network.features()
    assert features is None or len(features) == 1
    if network.name == "hard":
        assert features is not None
    if network.name in ("single", "soft", "trace_norm"):
        assert features is None


def test_unknown_task_is_named(network: Sharing, x: Tensor) -> None:
    with pytest.raises(SettingError, match="No task 'zzz'"):
        network(x, {"zzz": None})


def test_heads_are_checked() -> None:
    with pytest.raises(SettingError, match="at least one task"):
        make("hard", {})
    with pytest.raises(SettingError, match=r"Task 'a'.*at least one output"):
        make("hard", {"a": 0})
    with pytest.raises(SettingError, match=r"No sharing 'harder'. Did you mean 'hard'\? Known: single, hard"):
        get_sharing("harder")
    assert get_sharing("shared_bottom") is HardSharing


def test_numbers_of_layers_are_parameters() -> None:
    network = HardSharing.for_table(D, EQUAL, hidden=(8, 8, 8), task_hidden=(4, 4))
    assert sum(p.numel() for p in network.shared_parameters()) == D * 8 + 8 + 2 * (8 * 8 + 8)
    assert sum(p.numel() for p in network.task_parameters("a")) == 8 * 4 + 4 + 4 * 4 + 4 + 4 + 1
    linear = HardSharing.for_table(D, EQUAL, hidden=())
    assert linear.table(torch.zeros(2, D)).shape == (2, 3)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("name", SHARINGS)
def test_any_encoder_can_be_wrapped(name: str, kind: str) -> None:
    torch.manual_seed(0)
    encoder, x = ENCODERS[kind]()
    encoder = encoder.double()
    x = x.double() if x.is_floating_point() else x
    if (name, kind) in REFUSED:
        with pytest.raises(SettingError, match=REFUSED[name, kind]):
            get_sharing(name)(MIXED, encoder, example=x)
        return
    network = get_sharing(name)(MIXED, encoder, example=x).double().eval()
    outputs = network(x)
    table = network.table(x)
    for task, columns in network.columns.items():
        torch.testing.assert_close(table[:, columns], outputs[task], rtol=0, atol=1e-10)
    own = network.own(x, torch.tensor([3, 1, 1, 0]))
    torch.testing.assert_close(own[1], outputs["b"][1], rtol=0, atol=1e-10)
    network.train()
    sum(out.square().sum() for out in network(x).values()).backward()
    used = [p for p in network.parameters() if p.requires_grad and p.grad is None]
    assert not used or name == "adashare"  # a policy of this step may skip a block for all tasks


def test_the_input_is_checked(network: Sharing, x: Tensor) -> None:
    for call in (network, network.table, lambda v: network.own(v, torch.zeros(len(v), dtype=torch.int64))):
        with pytest.raises(SettingError, match=r"takes 5 features per row, but x has the shape \(11, 4\)"):
            call(x[:, 1:])


@pytest.mark.parametrize("name", SHARINGS)
def test_what_is_not_asked_for_is_not_computed(name: str) -> None:
    network = make(name, {"a": 1, "b": 3, "c": 1, "d": 2})
    every = network.flops()
    assert every == network.flops(list(network.tasks))
    for task in network.tasks:
        assert network.flops([task]) < every
    assert network(torch.zeros(2, D, dtype=torch.float64), {}) == {}


@pytest.mark.parametrize("name", SHARINGS)
def test_parts_are_in_order_and_complete(name: str) -> None:
    network = make(name, MIXED)
    described = network.describe()
    seen: set[str] = set()
    for part in described["parts"]:
        assert part["name"] not in seen
        assert seen.issuperset(part["inputs"])
        assert set(part["tasks"]) <= set(MIXED)
        seen.add(part["name"])
    assert {part["tasks"][0] for part in described["parts"] if part["kind"] == "head"} == set(MIXED)
    assert described["shared_parameters"] == sum(p.numel() for p in network.shared_parameters())
    if name != "single" and not isinstance(network, TaskNetworks):
        assert described["shared_parameters"] > 0
