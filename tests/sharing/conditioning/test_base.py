from __future__ import annotations

import copy
import json
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing import HardSharing
from polytask.sharing.conditioning import Additive, Concatenation, FiLM, Gating
from polytask.sharing.conditioning.base import Conditioned, block_numbers

from .literal import FEATURES, HEADS, network, shaken

CLASSES = (Additive, Concatenation, FiLM, Gating)


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.name)
def cls(request: pytest.FixtureRequest) -> type[Conditioned]:
    return request.param


def rows_seen(net: Conditioned) -> list[int]:
    """Filled, in each forward pass, with the number of rows that each linear layer is given."""
    seen: list[int] = []
    for module in net.steps.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:-1].numel()))
    return seen


def test_training_begins_at_hard_sharing() -> None:
    for cls in (Additive, FiLM, Gating):
        net = cls.for_table(3, HEADS, hidden=(4, 5), descriptor="embedding")
        hard = HardSharing.for_table(3, HEADS, hidden=(4, 5))
        encoder = [p for step in net._steps for p in step.module.parameters()]
        with torch.no_grad():
            for a, b in zip(hard.encoder.parameters(), encoder):
                a.copy_(b)
        hard.towers.load_state_dict(net.towers.state_dict())
        x = torch.randn(6, 3)
        torch.testing.assert_close(net.table(x), hard.table(x))


def test_blocks_before_the_first_condition_run_once(cls: type[Conditioned]) -> None:
    """And a conditioned layer that z is added to or multiplied with afterwards, too."""
    x = torch.randn(7, 3, dtype=torch.float64)
    net = network(cls, at="last")
    seen = rows_seen(net)
    net(x)
    assert seen == [7, 7, 7]
    net = network(cls, at=[2])
    seen = rows_seen(net)
    net(x, {"a": None, "c": None})
    assert seen == [7, 7, 14]


def test_a_row_runs_once_for_its_own_task(cls: type[Conditioned]) -> None:
    x = torch.randn(7, 3, dtype=torch.float64)
    net = network(cls)
    seen = rows_seen(net)
    own = net.own(x, torch.tensor([2, 0, 0, 2, 2, 0, 2]))
    assert seen == [7, 7, 7]
    expected = net(x)
    torch.testing.assert_close(own[1, :1], expected["a"][1], rtol=0, atol=1e-12)
    torch.testing.assert_close(own[3, :1], expected["c"][3], rtol=0, atol=1e-12)


def test_only_rows_that_are_asked_for_run(cls: type[Conditioned]) -> None:
    x = torch.randn(7, 3, dtype=torch.float64)
    net = network(cls)
    every = net(x)
    seen = rows_seen(net)
    index = torch.tensor([5, 1])
    out = net(x, {"c": None, "a": index})
    assert seen == [7, 9, 9]
    assert list(out) == ["c", "a"]
    torch.testing.assert_close(out["c"], every["c"], rtol=0, atol=1e-12)
    torch.testing.assert_close(out["a"], every["a"][index], rtol=0, atol=1e-12)


@pytest.mark.parametrize("descriptor", ["one-hot", "embedding"])
def test_an_absent_task_has_no_gradient(cls: type[Conditioned], descriptor: str) -> None:
    net = network(cls, descriptor=descriptor)
    head = {id(p) for task in HEADS for p in net.towers.parameters_of(task)}
    mine = {task: [p for p in net.task_parameters(task) if id(p) not in head] for task in HEADS}
    assert all(mine.values())
    x = torch.randn(7, 3, dtype=torch.float64)
    for out in (
        net.own(x, torch.tensor([2, 0, 0, 2, 2, 0, 2])),
        net(x, {"c": torch.tensor([3])})["c"] + net(x, {"a": None})["a"].sum(),
    ):
        net.zero_grad(set_to_none=True)
        out.square().sum().backward()
        got = {task: [p.grad is not None for p in own] for task, own in mine.items()}
        assert got == {task: [task != "b"] * len(own) for task, own in mine.items()}


def test_owners_of_what_z_adds() -> None:
    """One-hot: a column of U is the task's own; else U is shared, and an embedding the task's own."""
    heads = {task: 5 * k + k for task, k in HEADS.items()}

    def owned(**settings: Any) -> list[int]:
        net = FiLM.for_table(3, HEADS, hidden=(4, 5), **settings)
        own = [sum(p.numel() for p in net.task_parameters(t)) - heads[t] for t in HEADS]
        return [sum(p.numel() for p in net.shared_parameters()) - (3 * 4 + 4 + 4 * 5 + 5), *own]

    assert owned() == [0, 18, 18, 18]
    assert owned(at="last") == [0, 10, 10, 10]
    assert owned(descriptor="embedding", dimension=3) == [3 * 18, 3, 3, 3]
    assert owned(descriptor=FEATURES) == [2 * 18, 0, 0, 0]


def test_parts_say_where_z_comes_in() -> None:
    film = {part.name: part for part in FiLM.for_table(3, HEADS, hidden=(4, 5)).parts()}
    assert film["condition 1 of b"].inputs == ("layer 1",)
    assert film["layer 2"].inputs == tuple(f"condition 1 of {task}" for task in HEADS)
    assert film["head of b"].inputs == ("condition 2 of b",)
    added = Additive.for_table(3, HEADS, hidden=(4, 5), descriptor="embedding", at=[2])
    parts = {part.name: part for part in added.parts()}
    assert parts["condition 2"].inputs == tuple(f"descriptor of {task}" for task in HEADS)
    assert parts["layer 2"].inputs == ("layer 1", "condition 2")
    assert parts["head of b"].inputs == ("layer 2",)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"at": "last"}, (7, 6)),
        ({"at": "first"}, (7, 3, 6)),
        ({"at": "last", "descriptor": FEATURES}, (7, 3, 6)),
    ],
)
def test_features_are_common_where_nothing_shared_follows(settings: Any, shape: tuple[int, ...]) -> None:
    for cls in (Gating, FiLM):
        net = network(cls, **settings)
        net(torch.randn(7, 3, dtype=torch.float64))
        assert net.features().shape == shape


def test_what_conditions_show() -> None:
    net = network(FiLM, descriptor="embedding", dimension=2, at=[1, 3])
    tables = {table.name: table for table in net.conditions()}
    names = ["descriptor", "scale of layer 1", "shift of layer 1", "scale of layer 3", "shift of layer 3"]
    assert list(tables) == names
    assert tables["descriptor"].columns == ("z1", "z2")
    assert all(table.rows == tuple(HEADS) for table in tables.values())
    z = tables["descriptor"].values
    gamma = net._steps[0].condition.numbers.weight[:4].detach().numpy()
    assert abs(tables["scale of layer 1"].values - (1 + z @ gamma.T)).max() < 1e-12
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten())
    net = Concatenation({"a": 1}, conv, example=torch.zeros(2, 1, 5))
    (value,) = (m.value for m in net._steps[0].condition.numbers.columns.members)
    (table,) = net.conditions()
    torch.testing.assert_close(torch.from_numpy(table.values), value.detach().sum(1).double()[None])


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def test_sequences_of_tokens() -> None:
    """A Transformer over tokens: z acts on each position's features."""
    torch.manual_seed(0)
    embed = nn.Embedding(9, 4)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    pool = Mean()
    tokens = torch.randint(9, (5, 6))
    net = shaken(FiLM(HEADS, [embed, layer, pool], at=[1, 2], example=tokens).double())
    outputs = net(tokens)
    for t, task in enumerate(net.tasks):
        h = embed(tokens)
        for block, step in zip((None, layer), net._steps):
            gamma, beta = step.condition.numbers.columns.members[t].value
            h = gamma * (h if block is None else block(h)) + beta
        torch.testing.assert_close(outputs[task], net.towers.module(task)(pool(h)), rtol=0, atol=1e-10)
    own = net.own(tokens, torch.tensor([2, 2, 1, 0, 1]))
    torch.testing.assert_close(own[2], outputs["b"][2], rtol=0, atol=1e-10)


def test_an_encoder_without_layers_is_conditioned_at_its_input() -> None:
    net = FiLM.for_table(3, HEADS, hidden=())
    assert [table.values.shape for table in net.conditions()] == [(3, 3), (3, 3)]


def test_running_statistics_are_warned_of() -> None:
    def encoder() -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 5), nn.BatchNorm1d(5)
        )

    x = torch.zeros(2, 3)
    with pytest.warns(PolytaskWarning, match=r"layer '4' .* mix the distributions.*GroupNorm") as caught:
        FiLM(HEADS, encoder(), example=x)
    # The first normalisation comes before z acts.
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(PolytaskWarning, match="layer '4'") as caught:
        Gating(HEADS, encoder(), example=x)
    assert caught[0].filename == __file__
    with pytest.warns(PolytaskWarning) as caught:
        Additive(HEADS, [encoder()[:3], nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))], example=x)
    assert [str(w.message).split("'")[3] for w in caught] == ["1", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FiLM(HEADS, encoder(), at="last", example=x)
        FiLM(HEADS, nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4), nn.Linear(4, 4)), example=x)


def test_settings_are_plain_and_copies_are_whole(cls: type[Conditioned]) -> None:
    net = network(cls, descriptor=FEATURES, at=[1, 2])
    x = torch.randn(4, 3, dtype=torch.float64)
    before = net.table(x)
    described = json.loads(json.dumps(net.describe()))
    again = cls.for_table(3, described["heads"], **described["settings"]).double()
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again.table(x), before)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    torch.testing.assert_close(other.table(x), before)


def test_blocks_are_named_by_number() -> None:
    assert block_numbers("all", 3) == [1, 2, 3]
    assert block_numbers("last", 3) == [3]
    assert block_numbers([3, 1], 3) == [3, 1]
    with pytest.raises(SettingError, match="no block 4; the encoder has the blocks 1 to 3"):
        block_numbers([1, 4], 3)
    with pytest.raises(SettingError, match=r"'all', 'first', 'last' or a list.*got 'top'"):
        block_numbers("top", 3)
    with pytest.raises(SettingError, match=r"no block; .*sharing='hard'"):
        block_numbers([], 3)
