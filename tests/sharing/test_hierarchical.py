from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import HardSharing
from polytask.sharing.hierarchical import Hierarchical, check_levels
from polytask.testing import check_sharing

HEADS = {"pos": 2, "chunk": 1, "ccg": 3, "ner": 2}
LEVELS = {"pos": 1, "chunk": 2, "ccg": 3, "ner": 1}


def network(**settings: Any) -> Hierarchical:
    torch.manual_seed(0)
    return Hierarchical.for_table(5, HEADS, hidden=(4, 6, 5), **settings).double()


def rows(n: int = 7) -> Tensor:
    return torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("levels", [LEVELS, None, dict.fromkeys(HEADS, 3)])
def test_is_its_formula(levels: dict[str, int] | None) -> None:
    """Each task row by row through the layers below it, outputs and gradients; and for rows of their own."""
    net, x = network(levels=levels), rows()
    used = {"pos": 1, "chunk": 2, "ccg": 3, "ner": 3} if levels is None else levels
    linears = [m for m in net.layers.modules() if isinstance(m, nn.Linear)]
    literal = {}
    for task in HEADS:
        outputs = []
        for h in x:
            for layer in linears[: used[task]]:
                h = torch.relu(layer.weight @ h + layer.bias)
            head = net.towers.module(task)
            outputs.append(head.weight @ h + head.bias)
        literal[task] = torch.stack(outputs)
    factors = {task: torch.randn_like(out) for task, out in literal.items()}
    parameters = list(net.parameters())
    gradients = []
    for outputs in (literal, net(x), {task: net.table(x)[:, c] for task, c in net.columns.items()}):
        for task in HEADS:
            torch.testing.assert_close(outputs[task], literal[task], rtol=0, atol=1e-10)
        total = sum((factors[task] * out).sum() for task, out in outputs.items())
        gradients.append(torch.autograd.grad(total, parameters))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(gradients[2], gradients[0], rtol=0, atol=1e-10)
    of_row = torch.tensor([2, 0, 1, 3, 0, 0, 2])
    own = net.own(x, of_row)
    for i, t in enumerate(of_row.tolist()):
        width = HEADS[net.tasks[t]]
        torch.testing.assert_close(own[i, :width], literal[net.tasks[t]][i], rtol=0, atol=1e-10)
        assert not own[i, width:].any()


def test_conforms() -> None:
    check_sharing(Hierarchical)
    check_sharing(lambda n, heads: Hierarchical.for_table(n, heads, hidden=(4, 4, 4), task_hidden=(3,)))


def test_all_at_the_top_is_hard_sharing() -> None:
    net = network(levels=dict.fromkeys(HEADS, 3))
    hard = HardSharing.for_table(5, HEADS, hidden=(4, 6, 5)).double()
    with torch.no_grad():
        for a, b in zip(hard.encoder.parameters(), net.layers.parameters()):
            a.copy_(b)
    hard.towers.load_state_dict(net.towers.state_dict())
    torch.testing.assert_close(net.table(rows()), hard.table(rows()))
    of_row = torch.tensor([2, 0, 1, 3, 0, 0, 2])
    torch.testing.assert_close(net.own(rows(), of_row), hard.own(rows(), of_row))


def test_only_blocks_up_to_the_deepest_task_are_computed() -> None:
    net, x = network(levels=LEVELS), rows()
    seen: list[tuple[int, int]] = []
    for number, layer in enumerate(net.layers, start=1):
        layer.register_forward_hook(
            lambda _, inputs, __, number=number: seen.append((number, len(inputs[0])))
        )
    net(x, {"pos": None, "ner": torch.tensor([1])})
    assert seen == [(1, 7)]
    seen.clear()
    net(x, {"chunk": None})
    assert seen == [(1, 7), (2, 7)]
    seen.clear()
    # A row goes no further than its task: two of 'chunk', one of 'ccg'.
    net.own(x, torch.tensor([0, 1, 3, 2, 1, 0, 0]))
    assert seen == [(1, 7), (2, 3), (3, 1)]
    seen.clear()
    net.own(x, torch.zeros(7, dtype=torch.int64))
    assert seen == [(1, 7)]


def test_a_block_of_one_task_is_its_own() -> None:
    net = network(levels=LEVELS)
    tasks = {part.name: part.tasks for part in net.parts()}
    assert tasks["layer 1"] == tuple(HEADS)
    assert tasks["layer 2"] == ("chunk", "ccg")
    assert tasks["layer 3"] == ("ccg",)
    shared = {id(p) for p in net.shared_parameters()}
    assert shared == {id(p) for layer in net.layers[:2] for p in layer.parameters()}
    own = {id(p) for p in net.task_parameters("ccg")}
    assert {id(p) for p in net.layers[2].parameters()} < own


@pytest.mark.parametrize(
    ("levels", "shape"),
    [
        ({"pos": 1, "chunk": 1, "ccg": 3, "ner": 1}, (7, 4)),
        ({"pos": 2, "chunk": 2, "ccg": 2, "ner": 3}, (7, 6)),
        ({"pos": 3, "chunk": 3, "ccg": 3, "ner": 3}, (7, 5)),
        ({"pos": 1, "chunk": 3, "ccg": 3, "ner": 3}, None),
        (LEVELS, None),
    ],
)
def test_features_where_a_single_layer_cuts_all_ways(
    levels: dict[str, int], shape: tuple[int, ...] | None
) -> None:
    net = network(levels=levels)
    net(rows())
    features = net.features()
    assert (None if features is None else tuple(features.shape)) == shape


def test_inner_maps_and_sequences_are_averaged() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, 3)
    encoder = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))
    example = torch.zeros(2, 1, 4, 4)
    flat = Hierarchical({"a": 1, "b": 1}, encoder, example=example).double()
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    # The first block ends in Flatten here, and is taken as it is.
    torch.testing.assert_close(flat(x)["a"], flat.towers.module("a")(conv(x).relu().flatten(1)))
    conv = nn.Conv2d(1, 3, 3)
    chain = [conv, nn.Sequential(nn.Flatten(), nn.Linear(12, 5))]
    maps = Hierarchical({"a": 1, "b": 1}, chain, example=example).double()
    expected = maps.towers.module("a")(torch.stack([image.mean((1, 2)) for image in conv(x)]))
    torch.testing.assert_close(maps(x)["a"], expected)
    torch.testing.assert_close(maps.own(x, torch.tensor([0, 1, 0]))[2], expected[2])
    chain = [nn.Linear(4, 6), nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))]
    sequence = Hierarchical({"a": 1, "b": 1}, chain, example=torch.zeros(2, 3, 4)).double()
    words = torch.randn(5, 3, 4, dtype=torch.float64)
    expected = sequence.towers.module("a")(sum(chain[0](words[:, i]) for i in range(3)) / 3)
    torch.testing.assert_close(sequence(words)["a"], expected)


def test_levels_are_spread_evenly_with_the_last_task_at_the_top() -> None:
    assert list(check_levels(None, ("a", "b", "c"), 3).values()) == [1, 2, 3]
    assert list(check_levels(None, ("a", "b"), 4).values()) == [2, 4]
    assert list(check_levels(None, tuple("abcd"), 2).values()) == [1, 1, 2, 2]
    assert list(check_levels(None, tuple("abc"), 2).values()) == [1, 2, 2]
    assert list(check_levels(None, ("a",), 5).values()) == [5]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"a": 1}, "task 'b' has no block; give it one of 1 to 2"),
        ({"a": 1, "b": 2, "z": 1}, "no task 'z'; the tasks are a, b"),
        ({"a": 0, "b": 2}, "task 'a' is at block 0; the encoder has the blocks 1 to 2"),
        ({"a": 1, "b": 1}, "no task is at block 2.*above 1 would never learn"),
    ],
)
def test_levels_are_checked(levels: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        check_levels(levels, ("a", "b"), 2)


def test_representations_of_equal_width_are_stacked() -> None:
    net, x = network(levels={"pos": 1, "chunk": 3, "ccg": 3, "ner": 1}), rows()
    assert net.representations(x, [3, 0]).shape == (2, 7, 4)
