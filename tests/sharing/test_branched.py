from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import HardSharing, SingleTask
from polytask.sharing.branched import BATCHED_FROM, Branched
from polytask.testing.sharings import check_sharing
from polytask.training.packing import packed

D, N = 5, 11
HEADS = {"a": 1, "b": 3, "c": 1, "d": 2, "e": 1}
TREES: dict[str, Any] = {
    "all together": None,
    "a pair and three, then apart": [[["a", "c"], ["b", "d", "e"]], [["a"], ["c"], ["e", "b"], ["d"]]],
    "trunk, then each alone": [[["a", "b", "c", "d", "e"]], [["a"], ["b"], ["c"], ["d"], ["e"]]],
    "one early, one pair": [[["d"], ["a", "b", "c", "e"]], [["d"], ["c"], ["a", "e"], ["b"]]],
    "each alone": [[["e"], ["a"], ["b"], ["c"], ["d"]]] * 2,
}


def make(tree: Any, heads: dict[str, int] = HEADS, **settings: Any) -> Branched:
    torch.manual_seed(0)
    return Branched.for_table(D, heads, hidden=(6, 4), branches=tree, **settings).double()


@pytest.fixture(params=TREES)
def network(request: pytest.FixtureRequest) -> Branched:
    return make(TREES[request.param])


@pytest.fixture
def x() -> Tensor:
    return torch.randn(N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def literal(network: Branched, x: Tensor, tree: Any) -> dict[str, Tensor]:
    """Task by task, row by row, layer by layer: the branch of the group that holds the task."""
    names = list(network.heads)
    tree = [[names]] * 2 if tree is None else tree
    out = {}
    for task in names:
        rows = []
        for row in x:
            h = row
            for layer, groups in zip(network.layers, tree):
                branch = next(b for b, group in enumerate(groups) if task in group)
                linear = layer.module(branch)[0]
                h = torch.stack([(w @ h + b).clamp(min=0) for w, b in zip(linear.weight, linear.bias)])
            head = network.towers.module(task)
            rows.append(head.weight @ h + head.bias)
        out[task] = torch.stack(rows)
    return out


def gradients(network: nn.Module, loss: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(network.parameters(), found)]


@pytest.mark.parametrize("name", TREES)
def test_equals_the_formula_in_outputs_and_gradients(name: str, x: Tensor) -> None:
    network = make(TREES[name])
    expected = literal(network, x, TREES[name])
    outputs = network(x)
    of_row = (torch.arange(N) * 3) % 5
    own = network.own(x, of_row)
    for task in HEADS:
        torch.testing.assert_close(outputs[task], expected[task], rtol=0, atol=1e-10)
        torch.testing.assert_close(
            network.table(x)[:, network.columns[task]], expected[task], rtol=0, atol=1e-10
        )
    factors = {t: torch.randn_like(out) for t, out in expected.items()}
    loss = sum((factors[t] * expected[t]).sum() for t in HEADS)
    found = sum((factors[t] * outputs[t]).sum() for t in HEADS)
    torch.testing.assert_close(gradients(network, found), gradients(network, loss), rtol=0, atol=1e-10)
    names = list(HEADS)
    per_row = [(own[i, : HEADS[names[t]]], expected[names[t]][i]) for i, t in enumerate(of_row.tolist())]
    for ours, theirs in per_row:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    found, loss = (sum(part[k].square().sum() for part in per_row) for k in (0, 1))
    torch.testing.assert_close(gradients(network, found), gradients(network, loss), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", TREES)
def test_conforms(name: str) -> None:
    def build(n_inputs: int, heads: Any) -> Branched:
        if len(heads) != 3 or TREES[name] is None:
            return Branched.for_table(n_inputs, heads, hidden=(6, 4))
        tree = [[[t for t in group if t in heads] for group in groups] for groups in TREES[name]]
        tree = [[group for group in groups if group] for groups in tree]
        return Branched.for_table(n_inputs, heads, hidden=(6, 4), branches=tree)

    check_sharing(build)


def test_the_class_conforms() -> None:
    check_sharing(Branched)


@pytest.mark.parametrize("name", TREES)
def test_convolutions_branch_as_well(name: str) -> None:
    """Shapes between blocks are maps, which run by another way than linear layers."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2)), *(nn.Flatten(), nn.Linear(12, 4), nn.ReLU())
    )
    images = torch.randn(6, 1, 6, 6)
    network = Branched(HEADS, encoder, branches=TREES[name], example=images).double()
    images = images.double()
    outputs, of_row = network(images), torch.tensor([4, 0, 1, 1, 3, 2])
    own = network.own(images, of_row)
    for t, task in enumerate(HEADS):
        expected = network.towers.module(task)(network.block(1, task)(network.block(0, task)(images)))
        torch.testing.assert_close(outputs[task], expected, rtol=0, atol=1e-10)
        rows = (of_row == t).nonzero().squeeze(1)
        torch.testing.assert_close(own[rows, : HEADS[task]], expected[rows], rtol=0, atol=1e-10)


def test_all_together_is_hard_sharing(x: Tensor) -> None:
    network = make(None)
    torch.manual_seed(0)
    hard = HardSharing.for_table(D, HEADS, hidden=(6, 4)).double()
    torch.testing.assert_close(network.table(x), hard.table(x), rtol=0, atol=0)
    ours, theirs = ({id(p) for p in n.shared_parameters()} for n in (network, hard))
    assert len(ours) == len(theirs) == 4


def test_each_alone_is_single_task_learning(x: Tensor) -> None:
    network, single = make(TREES["each alone"]), SingleTask.for_table(D, HEADS, hidden=(6, 4)).double()
    for task, encoder in zip(HEADS, single.encoders.members):
        network.block(0, task).load_state_dict(nn.Sequential(*encoder[:2]).state_dict())
        network.block(1, task).load_state_dict(nn.Sequential(*encoder[2:]).state_dict())
    network.towers.load_state_dict(single.towers.state_dict())
    torch.testing.assert_close(network.table(x), single.table(x), rtol=0, atol=1e-10)
    assert not list(network.shared_parameters())


def test_many_common_branches_run_as_one_product(x: Tensor) -> None:
    n = BATCHED_FROM
    heads = {f"t{i}": 1 for i in range(2 * n + 1)}
    pairs = [[f"t{2 * i}", f"t{2 * i + 1}"] for i in range(n)] + [[f"t{2 * n}"]]
    together = [[*pairs[0], *pairs[1]], *pairs[2:]]
    for tree in ([pairs, pairs], [[list(heads)], pairs], [together, pairs]):
        network = make(tree, heads)
        outputs = network(x)
        for task in heads:
            expected = network.towers.module(task)(network.block(1, task)(network.block(0, task)(x)))
            torch.testing.assert_close(outputs[task], expected, rtol=0, atol=1e-10)
        some = network(x, {"t0": None, "t5": None})
        torch.testing.assert_close(some["t5"], outputs["t5"], rtol=0, atol=1e-10)
        loss = sum(out.square().sum() for out in outputs.values())
        twin = sum(
            network.towers.module(t)(network.block(1, t)(network.block(0, t)(x))).square().sum()
            for t in heads
        )
        torch.testing.assert_close(gradients(network, loss), gradients(network, twin), rtol=0, atol=1e-10)


# ---------------------------------------------------------------------- who owns and computes what


def test_a_branch_with_one_task_is_its_own() -> None:
    network = make(TREES["one early, one pair"])
    shared = {id(p) for p in network.shared_parameters()}
    for layer, groups in enumerate(TREES["one early, one pair"]):
        for group in groups:
            for p in network.block(layer, group[0]).parameters():
                if len(group) == 1:
                    assert id(p) in {id(q) for q in network.task_parameters(group[0])}
                else:
                    assert id(p) in shared


def test_branches_that_are_not_asked_for_are_not_computed(network: Branched, x: Tensor) -> None:
    asked = ["c", "e"]
    sum(out.sum() for out in network(x, dict.fromkeys(asked)).values()).backward()
    used = {id(p) for task in asked for i in range(2) for p in network.block(i, task).parameters()}
    used |= {id(p) for task in asked for p in network.towers.module(task).parameters()}
    for p in network.parameters():
        assert (p.grad is not None) == (id(p) in used)


def test_rows_of_tasks_leave_other_branches_alone(network: Branched, x: Tensor) -> None:
    network.own(x, torch.arange(N) % 2).square().sum().backward()  # tasks a and b
    used = {id(p) for task in ("a", "b") for i in range(2) for p in network.block(i, task).parameters()}
    for layer in network.layers:
        for p in layer.parameters():
            assert (p.grad is not None) == (id(p) in used)


def test_fewer_operations_where_fewer_branches_are_asked_for() -> None:
    network = make(TREES["one early, one pair"])
    layer = 2 * (D * 6 + 6 * 4)
    assert network.flops(["d"]) == layer + 2 * 4 * HEADS["d"]
    # The second layer has three branches above the common one.
    assert network.flops() == 2 * (2 * D * 6 + 4 * 6 * 4) + 2 * 4 * sum(HEADS.values())


@pytest.mark.parametrize("name", TREES)
def test_gradients_of_packed_parameters(name: str, x: Tensor) -> None:
    """In training, parameters of one task lie in a table, and gradients arrive there."""
    network, twin = make(TREES[name]), make(TREES[name])
    of_row = torch.arange(N) % 4  # no rows of task e
    for out in (lambda n: n.table(x), lambda n: n.own(x, of_row)):
        twin.zero_grad()
        out(twin).square().sum().backward()
        expected = sum(p.grad.square().sum() for p in twin.parameters() if p.grad is not None)
        with packed(network, network.tasks) as blocks:
            for block in blocks:
                block.zero_grad()
            out(network).square().sum().backward()
            for block in blocks:
                block.collect()
            total = sum(block.grads.square().sum() for block in blocks)
            torch.testing.assert_close(total, expected, rtol=0, atol=1e-10)


def test_features_are_where_all_tasks_still_go_together(x: Tensor) -> None:
    assert TREES.keys() >= {"all together", "trunk, then each alone"}
    for name, width in (("all together", 4), ("trunk, then each alone", 6)):
        network = make(TREES[name])
        network.table(x)
        assert network.features().shape == (N, width)
    for name in ("one early, one pair", "a pair and three, then apart", "each alone"):
        network = make(TREES[name])
        network.table(x)
        assert network.features() is None


def test_one_task_has_nothing_to_share(x: Tensor) -> None:
    network = make(None, {"only": 2})
    assert network.table(x).shape == (N, 2)
    assert network.own(x, torch.zeros(N, dtype=torch.int64)).shape == (N, 2)
    assert not list(network.shared_parameters())
    assert len(list(network.task_parameters("only"))) == 6


# ---------------------------------------------------------------------- growing


def test_new_branches_copy_the_weights_they_leave(x: Tensor) -> None:
    start = make(None).eval()
    before = start.table(x)
    one = start.split(1, [["a", "b", "c"], ["d", "e"]])
    two = one.split(0, [["a", "b", "c"], ["d", "e"]]).split(1, [["a", "c"], ["b"], ["e", "d"]])
    for network in (one, two):
        torch.testing.assert_close(network.table(x), before, rtol=0, atol=1e-12)
    assert two.branches() == [[("a", "b", "c"), ("d", "e")], [("a", "c"), ("b",), ("d", "e")]]
    assert start.branches() == [[tuple(HEADS)]] * 2
    assert not two.training
    assert {id(p) for p in two.parameters()}.isdisjoint(id(p) for p in start.parameters())
    with torch.no_grad():
        two.block(1, "d")[0].weight.zero_()
    after = two(x)
    torch.testing.assert_close(after["b"], start(x)["b"])
    assert not torch.allclose(after["d"], start(x)["d"])
    assert not torch.allclose(after["e"], start(x)["e"])


def test_a_grown_network_is_rebuilt_from_its_settings(x: Tensor) -> None:
    grown = make(None).split(1, [["a", "e"], ["b", "c", "d"]])
    described = json.loads(json.dumps(grown.describe()))
    again = Branched.for_table(D, described["heads"], **described["settings"]).double()
    again.load_state_dict(grown.state_dict())
    torch.testing.assert_close(again.table(x), grown.table(x))
    assert copy.deepcopy(again).branches() == grown.branches()


def test_branches_cannot_be_merged_and_layers_must_exist() -> None:
    network = make(None).split(1, [["a"], ["b", "c", "d", "e"]])
    with pytest.raises(SettingError, match=r"'a', 'b'.*split, not merged"):
        network.split(1, [["a", "b"], ["c", "d", "e"]])
    with pytest.raises(SettingError, match="No layer 2"):
        network.split(2, [list(HEADS)])
    with pytest.raises(
        SettingError, match=r"layer 2: tasks 'b' and 'c' share a branch, but layer 1 has parted"
    ):
        network.split(0, [["a", "b"], ["c", "d", "e"]])


def test_parts_are_a_tree() -> None:
    parts = {part.name: part for part in make(TREES["one early, one pair"]).parts()}
    assert parts["layer 1 of d"].inputs == ()
    assert parts["layer 2 of a, e"].inputs == ("layer 1 of a, b, c, e",)
    assert parts["layer 2 of a, e"].is_shared
    assert not parts["layer 2 of c"].is_shared
    assert parts["head of e"].inputs == ("layer 2 of a, e",)
    assert [part.name for part in make(None).parts()][:2] == ["layer 1", "layer 2"]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([[list(HEADS)]], "each of the encoder's 2 blocks"),
        ("ab", "each of the encoder's 2 blocks"),
        ([[["a", "b", "c", "d"]], [list(HEADS)]], "layer 1: task 'e' is in 0 groups"),
        ([[list(HEADS)], [["a", "b"], ["b", "c", "d", "e"]]], "layer 2: task 'b' is in 2 groups"),
        ([[list(HEADS)], [[*HEADS, "z"]]], "layer 2: no task 'z'; the tasks are a, b"),
        ([[list(HEADS)], [list(HEADS), []]], "layer 2: each group is a list of task names"),
        ([list(HEADS), [list(HEADS)]], "layer 1: each group is a list of task names"),
        ([[["a", "b"], ["c", "d", "e"]], [["a", "c"], ["b"], ["d", "e"]]], "'a' and 'c'.*layer 1 has parted"),
    ],
)
def test_what_is_no_tree_is_refused(tree: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make(tree)
