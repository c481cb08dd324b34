from __future__ import annotations

import copy
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask import MultiTaskRegressor
from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing import HardSharing
from polytask.sharing.adashare import AdaShare, relaxed, straight_through
from polytask.testing import check_sharing

HEADS = {"a": 1, "b": 2, "c": 1}
HIDDEN = (6, 6, 4, 4, 4)
#: Blocks of this MLP that keep the shape, counted from 0.
SKIPPABLE = [1, 3, 4]


def network(seed: int = 0, **settings: object) -> AdaShare:
    """With policies away from where they start."""
    torch.manual_seed(seed)
    net = AdaShare.for_table(5, HEADS, hidden=HIDDEN, **({"warm_up": 0} | settings)).double()
    with torch.no_grad():
        for logits in net.logits:
            logits.normal_()
    return net


def rows(n: int = 7, seed: int = 1) -> Tensor:
    return torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def frozen(choices: list[list[int]], **settings: object) -> AdaShare:
    net = network(**settings)
    with torch.no_grad():
        for logits, row in zip(net.logits, choices):
            logits.copy_(2.0 * torch.tensor(row) - 1)
    net.freeze_policy()
    return net


def literal(net: AdaShare, x: Tensor, decisions: list[list[Tensor]]) -> dict[str, Tensor]:
    """x ← x + u F(x), or u B(x) + (1 − u) x, task by task, block by block and row by row."""
    out = {}
    for k, task in enumerate(net.tasks):
        h = [*x]
        for b, block in enumerate(net.blocks):
            f = [torch.relu(block[0].weight @ row + block[0].bias) for row in h]
            if b not in SKIPPABLE:
                h = f
                continue
            u = decisions[k][SKIPPABLE.index(b)]
            h = [row + u * new if net.residual else u * new + (1 - u) * row for row, new in zip(h, f)]
        out[task] = torch.stack([net.towers.module(task)(row) for row in h])
    return out


def drawn(net: AdaShare, noise: Tensor, temperature: float, hard: bool) -> list[list[Tensor]]:
    """The paper's Gumbel-softmax over π = [1 − α, α], entry by entry."""
    out = []
    for k, logits in enumerate(net.logits):
        out.append([])
        for place, logit in enumerate(logits):
            α = torch.sigmoid(logit)
            π = torch.stack([1 - α, α])
            powers = torch.exp((torch.log(π) + noise[k, place]) / temperature)
            v = powers[1] / powers.sum()
            if hard:
                v = float(torch.log(π)[1] + noise[k, place, 1] > torch.log(π)[0] + noise[k, place, 0]) + (
                    v - v.detach()
                )
            out[-1].append(v)
    return out


def gumbel(net: AdaShare) -> Tensor:
    return -torch.empty(len(net.tasks), len(SKIPPABLE), 2, dtype=torch.float64).exponential_().log()


def assert_same(net: AdaShare, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    parameters = list(net.parameters())
    grads = []
    for outputs in (ours, theirs):
        torch.manual_seed(3)
        loss = sum((torch.randn_like(o) * o).sum() for o in outputs.values())
        grads.append(torch.autograd.grad(loss, parameters))
    for task in ours:
        torch.testing.assert_close(ours[task], theirs[task], rtol=0, atol=1e-10)
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


# ---------------------------------------------------------------------- the formulas


@pytest.mark.parametrize(("hard", "residual"), [(True, True), (True, False), (False, True), (False, False)])
def test_training_equals_the_papers_formula(hard: bool, residual: bool) -> None:
    net = network(straight_through=hard, residual=residual, temperature=1.7)
    x = rows()
    torch.manual_seed(11)
    decisions = drawn(net, gumbel(net), 1.7, hard)
    torch.manual_seed(11)
    assert_same(net, net(x), literal(net, x, decisions))


@pytest.mark.parametrize("hard", [True, False])
def test_rows_of_their_own_task_pass_by_the_same_draws(hard: bool) -> None:
    net = network(straight_through=hard)
    x, tasks = rows(), torch.tensor([0, 2, 2, 0, 2, 0, 0])
    torch.manual_seed(11)
    outputs = net(x)
    torch.manual_seed(11)
    own = net.own(x, tasks)
    for i, t in enumerate(tasks.tolist()):
        torch.testing.assert_close(own[i, :1], outputs[net.tasks[t]][i], rtol=0, atol=1e-10)
    own.sum().backward()
    assert net.logits[1].grad is None
    torch.manual_seed(11)
    torch.testing.assert_close(net(x, {"c": None})["c"], outputs["c"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("residual", [True, False])
def test_evaluation_follows_the_most_likely_policy(residual: bool) -> None:
    net = network(residual=residual).eval()
    x = rows()
    decisions = [[(torch.sigmoid(a) >= 0.5).double() for a in logits] for logits in net.logits]
    expected = literal(net, x, decisions)
    torch.manual_seed(1)
    ours = net(x)
    torch.manual_seed(2)
    with torch.no_grad():
        routed, own = net(x), net.own(x, torch.tensor([0, 2, 1, 1, 1, 0, 2]))
    for task in net.tasks:
        torch.testing.assert_close(ours[task], expected[task], rtol=0, atol=1e-10)
        torch.testing.assert_close(routed[task], expected[task], rtol=0, atol=1e-10)
    torch.testing.assert_close(own[2], expected["b"][2], rtol=0, atol=1e-10)
    torch.testing.assert_close(own[5, :1], expected["a"][5], rtol=0, atol=1e-10)


def test_gradient_of_the_relaxed_decision() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    noise = -torch.empty(2, 3, 2, dtype=torch.float64).exponential_().log()
    assert torch.autograd.gradcheck(lambda a: relaxed(a, noise, 0.7), logits)
    v = relaxed(logits, noise, 0.7)
    (soft,) = torch.autograd.grad(v.sum(), logits, retain_graph=True)
    u = straight_through(v)
    assert set(u.flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(torch.autograd.grad(u.sum(), logits)[0], soft)


def test_blocks_are_drawn_with_their_probability() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([-2.0, 0.0, 1.0]).expand(40000, 3)
    noise = -torch.empty(40000, 3, 2).exponential_().log()
    share = straight_through(relaxed(logits, noise, 3.0)).mean(0)
    torch.testing.assert_close(share, torch.sigmoid(logits[0]), rtol=0, atol=0.01)


@pytest.mark.parametrize(("sparsity", "sharing"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
@pytest.mark.parametrize("curriculum", [0, 4])
def test_penalty_is_its_formula(sparsity: float, sharing: float, curriculum: int) -> None:
    net = network(sparsity=sparsity, sharing=sharing, curriculum=curriculum)
    n_blocks = len(SKIPPABLE)
    learned = [True] * 3 if curriculum == 0 else [False, False, True]
    α = [
        [torch.sigmoid(a) if yes else torch.tensor(1.0) for a, yes in zip(logits, learned)]
        for logits in net.logits
    ]
    expected = torch.zeros((), dtype=torch.float64)
    for k in range(3):
        for place in range(n_blocks):
            expected = expected + sparsity * torch.log(α[k][place])
    for k1, k2 in itertools.product(range(3), range(3)):
        for place in range(n_blocks):
            weight = (n_blocks - (place + 1)) / n_blocks
            expected = expected + sharing * weight * (α[k1][place] - α[k2][place]).abs()
    expected = expected / 3
    penalty = net.penalty()
    torch.testing.assert_close(penalty, expected, rtol=0, atol=1e-10)
    if sparsity or not curriculum:
        ours = torch.autograd.grad(penalty, list(net.logits))
        theirs = torch.autograd.grad(expected, list(net.logits))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_no_strength_is_no_penalty_and_one_task_has_no_distance() -> None:
    assert network(sparsity=0.0, sharing=0.0).penalty() is None
    one = AdaShare.for_table(5, {"only": 1}, hidden=HIDDEN, sparsity=0.0, sharing=1.0)
    assert float(one.penalty().detach()) == 0.0


def test_a_far_logit_keeps_the_penalty_finite() -> None:
    net = network(sparsity=1.0)
    with torch.no_grad():
        net.logits[0].fill_(-2000.0)
    penalty = net.penalty()
    penalty.backward()
    assert torch.isfinite(penalty)
    assert all(torch.isfinite(logits.grad).all() for logits in net.logits)


# ---------------------------------------------------------------------- limits


def test_all_blocks_executed_is_hard_sharing() -> None:
    net = network(residual=False).eval()
    with torch.no_grad():
        for logits in net.logits:
            logits.fill_(1.0)
    hard = HardSharing(HEADS, nn.Sequential(*net.blocks)).double()
    hard.towers.load_state_dict(net.towers.state_dict())
    torch.testing.assert_close(net.table(rows()), hard.table(rows()), rtol=0, atol=1e-12)


def test_all_blocks_skipped_leaves_the_others() -> None:
    net = network().eval()
    with torch.no_grad():
        for logits in net.logits:
            logits.fill_(-1.0)
    hard = HardSharing(HEADS, nn.Sequential(net.blocks[0], net.blocks[2])).double()
    hard.towers.load_state_dict(net.towers.state_dict())
    torch.testing.assert_close(net.table(rows()), hard.table(rows()), rtol=0, atol=1e-12)


def test_the_first_block_is_never_skipped() -> None:
    assert AdaShare.for_table(6, HEADS, hidden=(6, 6)).skippable == [1]
    assert network().skippable == SKIPPABLE


def test_layers_of_a_table_get_skip_connections() -> None:
    assert AdaShare.for_table(5, HEADS, hidden=(6, 6)).describe()["settings"]["residual"] is True
    assert not AdaShare(HEADS, nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 6))).residual


def test_low_temperatures_decide() -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 4, dtype=torch.float64)
    noise = -torch.empty(50, 4, 2, dtype=torch.float64).exponential_().log()
    v = relaxed(logits, noise, 1e-6)
    torch.testing.assert_close(v, straight_through(v), rtol=0, atol=1e-3)


def test_policies_learn_which_block_helps() -> None:
    """The target of one task needs the block, that of the other is made without it; weights are fixed."""
    torch.manual_seed(0)
    net = AdaShare.for_table(
        3, {"with": 1, "without": 1}, hidden=(8, 8), sharing=0.0, residual=False, warm_up=0
    )
    x = torch.randn(64, 3)
    with torch.no_grad():
        trunk = net.blocks[0](x)
        targets = {
            "with": net.towers.module("with")(net.blocks[1](trunk)),
            "without": net.towers.module("without")(trunk),
        }
    optimizer = torch.optim.Adam(net.logits.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        outputs = net(x)
        loss = sum((outputs[t] - targets[t]).square().mean() for t in net.tasks)
        (loss + net.penalty()).backward()
        optimizer.step()
        net.after_step()
    assert [float(row[0]) > 0.8 for row in net.policy()[0].values] == [True, False]
    assert float(net.policy()[0].values[1, 0]) < 0.2


# ---------------------------------------------------------------------- the course of training


def test_temperature_falls_and_stays_positive() -> None:
    net = network(temperature=4.0, decay=0.5)
    assert net.temperature() == 4.0
    for _ in range(200):
        net.after_step()
    assert net.temperature() == pytest.approx(1.0)
    net.steps.fill_(10**7)
    assert net.temperature() == 1e-3
    assert torch.isfinite(net.table(rows())).all()


def test_curriculum_learns_the_last_blocks_first() -> None:
    net = network(curriculum=2)
    learned = []
    for _ in range(6):
        net.zero_grad()
        net(rows())["a"].sum().backward()
        learned.append([bool(g) for g in net.logits[0].grad != 0])
        values = net.policy()[0].values
        assert [[v == 1.0 for v in row] for row in values] == [[not yes for yes in learned[-1]]] * 3
        net.after_step()
    stages = [[False, False, True], [False, True, True], [True, True, True]]
    assert learned == [stage for stage in stages for _ in range(2)]


def test_blocks_out_of_the_curriculum_are_executed() -> None:
    net = network(curriculum=5).eval()
    with torch.no_grad():
        for logits in net.logits:
            logits.fill_(-3.0)
    one, nil = (torch.tensor(v, dtype=torch.float64) for v in (1.0, 0.0))
    expected = literal(net, rows(), [[one, one, nil]] * 3)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            torch.testing.assert_close(net(rows())["b"], expected["b"], rtol=0, atol=1e-10)


def test_steps_are_part_of_the_state() -> None:
    net, other = network(curriculum=2), network(seed=5, curriculum=2)
    for _ in range(3):
        net.after_step()
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.policy()[0].values, net.policy()[0].values)
    assert other.temperature() == net.temperature()


def test_policies_learn_at_their_own_rate() -> None:
    net = network(policy_rate=3.0)
    assert [(id(p), rate) for p, rate in net.learning_rates()] == [(id(p), 3.0) for p in net.logits]


# ---------------------------------------------------------------------- frozen policies

CHOICES = [[1, 0, 1], [1, 0, 0], [0, 0, 1]]


def test_a_frozen_policy_decides_in_training_too() -> None:
    net = frozen(CHOICES)
    decisions = [[torch.tensor(float(c), dtype=torch.float64) for c in row] for row in CHOICES]
    expected = literal(net, rows(), decisions)
    outputs = net(rows())
    for task in net.tasks:
        torch.testing.assert_close(outputs[task], expected[task], rtol=0, atol=1e-10)
    live = [p for p in net.parameters() if p.requires_grad]
    theirs = torch.autograd.grad(sum(o.sum() for o in expected.values()), live)
    ours = torch.autograd.grad(sum(o.sum() for o in outputs.values()), live)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    own = net.own(rows(), torch.tensor([1, 0, 1, 2, 0, 1, 2]))
    torch.testing.assert_close(own[5], outputs["b"][5], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(net.policy()[0].values, CHOICES)
    assert net.penalty() is None


def test_what_a_frozen_policy_leaves_out_does_not_learn() -> None:
    net = frozen(CHOICES)
    still = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert still == {"logits.0", "logits.1", "logits.2", "blocks.3.0.weight", "blocks.3.0.bias"}
    owners = {part.name: part.tasks for part in net.parts()}
    assert owners["block 2"] == ("a", "b")
    assert owners["block 4"] == ()
    assert owners["block 5"] == ("a", "c")
    inputs = {part.name: part.inputs for part in net.parts()}
    assert inputs["block 5"] == ("block 3",)
    assert inputs["policy of b"] == ("block 3",)
    check_sharing(lambda n, heads: frozen_table(n, heads))


def frozen_table(n_inputs: int, heads: dict[str, int]) -> AdaShare:
    net = AdaShare.for_table(n_inputs, heads, hidden=(6, 6, 6, 6))
    for logits in net.logits:
        nn.init.normal_(logits)
    net.freeze_policy(draw=True)
    return net


def test_only_executed_blocks_run_and_once_for_all_that_came_the_same_way() -> None:
    net = frozen(CHOICES)
    sizes: dict[int, list[int]] = {b: [] for b in range(len(net.blocks))}
    for b, block in enumerate(net.blocks):
        block.register_forward_hook(lambda _, inputs, __, b=b: sizes[b].append(len(inputs[0])))
    net(rows(7))
    # After block 2, tasks a and b are on one way and c on another; only a and c execute block 5.
    assert sizes == {0: [7], 1: [7], 2: [14], 3: [], 4: [14]}
    for found in sizes.values():
        found.clear()
    net(rows(7), {"b": None})
    assert sizes == {0: [7], 1: [7], 2: [7], 3: [], 4: []}
    for found in sizes.values():
        found.clear()
    net.own(rows(7), torch.tensor([0, 1, 2, 2, 2, 1, 1]))
    assert sizes == {0: [7], 1: [4], 2: [7], 3: [], 4: [4]}


def test_a_skipped_block_costs_nothing() -> None:
    every, some = frozen([[1, 1, 1]] * 3), frozen([[1, 0, 1]] * 3)
    assert every.flops() - some.flops() == 2 * 4 * 4


def test_states_hold_a_frozen_policy() -> None:
    net, other = frozen(CHOICES), network(seed=5)
    free = copy.deepcopy(other.state_dict())
    copied = copy.deepcopy(net)
    other.load_state_dict(net.state_dict())
    for again in (other, copied):
        torch.testing.assert_close(again.table(rows()), net.table(rows()), rtol=0, atol=0)
        assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in net.parameters()]
    other.load_state_dict(free)
    assert all(p.requires_grad for p in other.parameters())
    assert other.penalty() is not None


def test_parameters_that_the_user_fixed_stay_fixed() -> None:
    """Also those of a block that no task executes, when a state with free policies is loaded."""
    net = network()
    net.blocks[3].requires_grad_(False)
    free = copy.deepcopy(net.state_dict())
    fixed = [name for name, p in net.named_parameters() if not p.requires_grad]
    net.load_state_dict(frozen(CHOICES).state_dict())
    assert not any(logits.requires_grad for logits in net.logits)
    net.load_state_dict(free)
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == fixed


def test_a_drawn_policy_follows_its_probabilities() -> None:
    torch.manual_seed(0)
    net = AdaShare.for_table(2, {str(k): 1 for k in range(2000)}, hidden=(2, 2), warm_up=0)
    for logits in net.logits:
        nn.init.constant_(logits, 1.0)
    net.freeze_policy(draw=True)
    assert float(net.choices.float().mean()) == pytest.approx(1 / (1 + np.exp(-1)), abs=0.03)


# ---------------------------------------------------------------------- encoders and settings


@pytest.mark.parametrize("settings", [{}, {"straight_through": False, "curriculum": 3}])
def test_check_sharing(settings: dict[str, object]) -> None:
    check_sharing(lambda n, heads: AdaShare.for_table(n, heads, hidden=(6, 6, 6), **settings))
    check_sharing(AdaShare)


def test_images_pass_block_by_block() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    net = AdaShare(HEADS, encoder, example=torch.zeros(2, 1, 6, 6), residual=True, warm_up=0).double()
    assert net.skippable == [1, 2]
    images = torch.randn(4, 1, 6, 6, dtype=torch.float64)
    choices = [[1, 0], [0, 1], [1, 1]]
    with torch.no_grad():
        for logits, row in zip(net.logits, choices):
            logits.copy_(2.0 * torch.tensor(row) - 1)
    net.eval()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            outputs, own = net(images), net.own(images, torch.tensor([1, 0, 2, 1]))
        for k, task in enumerate(net.tasks):
            h = encoder[0](images)
            for u, block in zip(choices[k], (encoder[1], encoder[2])):
                h = h + u * block(h)
            expected = net.towers.module(task)(encoder[3](h))
            torch.testing.assert_close(outputs[task], expected, rtol=0, atol=1e-10)
            if task == "b":
                torch.testing.assert_close(own[[0, 3]], expected[[0, 3]], rtol=0, atol=1e-10)
    net.freeze_policy()
    torch.testing.assert_close(net(images), outputs, rtol=0, atol=1e-10)


def test_an_encoder_without_a_block_to_skip_is_refused() -> None:
    with pytest.raises(SettingError, match=r"\(5,\) → \(6,\) → \(4,\).*equal widths"):
        AdaShare.for_table(5, HEADS, hidden=(6, 4))


def test_batch_statistics_are_warned_of() -> None:
    encoder = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.warns(PolytaskWarning, match="block 2 of the encoder keeps statistics"):
        AdaShare(HEADS, encoder)


def test_statistics_before_the_ways_part_are_fine(recwarn: pytest.WarningsRecorder) -> None:
    AdaShare(HEADS, nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)))
    assert not Counter(w.category for w in recwarn)[PolytaskWarning]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("sparsity", -1.0, "zero or more"),
        ("sharing", -1.0, "zero or more"),
        ("temperature", 0.0, "positive"),
        ("decay", 1.1, r"in \(0, 1\]"),
        ("warm_up", -1, "a number of steps"),
        ("curriculum", -1, "a number of steps"),
        ("curriculum", 1.5, "a number of steps"),
        ("policy_rate", 0.0, "positive"),
    ],
)
def test_settings_are_checked(setting: str, value: float, message: str) -> None:
    with pytest.raises(SettingError, match=f"{setting} must be {message}"):
        network(**{setting: value})


def test_policies_rest_until_the_warm_up_is_over() -> None:
    net = network(warm_up=2, temperature=4.0, decay=0.5)
    for _ in range(2):
        assert (net.policy()[0].values == 1).all()
        assert net.temperature() == 4.0
        net.after_step()
    expected = torch.stack([torch.sigmoid(logits) for logits in net.logits]).detach().numpy()
    np.testing.assert_allclose(net.policy()[0].values, expected)


def test_a_block_that_is_needed_is_not_skipped_with_the_defaults() -> None:
    """Tasks that a single layer cannot learn: sums of products of two features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 8))
    pairs = rng.integers(0, 8, size=(5, 3, 2))
    Y = np.stack([sum(np.sin(2 * X[:, i]) * X[:, j] for i, j in task) for task in pairs], 1)
    model = MultiTaskRegressor(
        sharing="adashare", hidden=(64, 64), max_epochs=60, patience=60, random_state=0
    )
    policy = model.fit(X, Y).model_.sharing.policy()[0].values
    assert policy.min() > 0.5
