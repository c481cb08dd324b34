"""What all balancers on gradients share: tasks without gradients, accumulation, precision, and bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import (
    BALANCERS,
    MGDA,
    Balancer,
    Equal,
    GradientBalancer,
    GramianBalancer,
    get_balancer,
)
from polytask.balancing.by_gramian import _filled
from polytask.errors import SettingError, TrainingError

from .engines.networks import Case, cases, flat_grad, jacobian


class Inverse(GramianBalancer):
    """Weights that depend on the Gramian: gradients of length one."""

    name = "inverse"

    def __init__(self, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)
        self.seen: list[tuple[str, ...]] = []

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        self.seen.append(tasks)
        return 1 / np.sqrt(np.diagonal(gramian))


class Signs(GradientBalancer):
    name = "signs"

    def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: Tensor) -> Tensor:
        return jacobian.sign().sum(0)


def mlp() -> Case:
    return cases()["mlp"]


def test_shared_parameters_get_the_weighted_sum_and_heads_their_own() -> None:
    case = mlp()
    losses = case.losses()
    J = jacobian(losses, case.encoder.parameters())
    heads = jacobian(losses, case.heads.parameters()).sum(0)
    Inverse().backward(losses, shared=case.encoder)
    torch.testing.assert_close(flat_grad(case.encoder.parameters()), (J / J.norm(dim=1, keepdim=True)).sum(0))
    torch.testing.assert_close(flat_grad(case.heads.parameters()), heads)


def test_directions_that_are_no_weighted_sums() -> None:
    case = mlp()
    losses = case.losses()
    J = jacobian(losses, case.encoder.parameters())
    Signs().backward(losses, shared=case.encoder)
    torch.testing.assert_close(flat_grad(case.encoder.parameters()), J.sign().sum(0))


@pytest.mark.parametrize("make", [Inverse, Signs])
def test_one_task_is_the_plain_step(make: type[Balancer]) -> None:
    case = mlp()
    losses = {"t1": case.losses()["t1"]}
    plain = jacobian(losses, case.parameters).sum(0)
    make().backward(losses, shared=case.encoder)
    torch.testing.assert_close(flat_grad(case.parameters), plain)


@pytest.mark.parametrize("make", [Inverse, Signs])
def test_a_frozen_encoder_is_the_plain_step_of_the_heads(make: type[Balancer]) -> None:
    case = mlp()
    case.encoder.requires_grad_(False)
    losses = case.losses()
    plain = jacobian(losses, case.heads.parameters()).sum(0)
    make().backward(losses, shared=case.encoder)
    torch.testing.assert_close(flat_grad(case.heads.parameters()), plain)
    assert all(p.grad is None for p in case.encoder.parameters())


def test_a_task_without_a_gradient_takes_no_part() -> None:
    case = mlp()
    losses = case.losses()
    losses["t2"] = 0.0 * losses["t2"]
    J = jacobian({t: v for t, v in losses.items() if t != "t2"}, case.encoder.parameters())
    balancer = Inverse()
    balancer.backward(losses, shared=case.encoder)
    assert balancer.seen == [("t0", "t1", "t3")]
    assert balancer.last["weights"][2] == 0
    torch.testing.assert_close(flat_grad(case.encoder.parameters()), (J / J.norm(dim=1, keepdim=True)).sum(0))


def test_on_a_device_a_task_without_a_gradient_stands_for_the_mean() -> None:
    rows = torch.randn(3, 5, dtype=torch.float64)
    three = rows @ rows.T
    four = torch.zeros(4, 4, dtype=torch.float64)
    index = torch.tensor([0, 1, 3])
    four[index.unsqueeze(1), index] = three
    filled, mixing = _filled(four)
    full = torch.stack([rows[0], rows[1], rows.mean(0), rows[2]])
    torch.testing.assert_close(filled, full @ full.T)
    w = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    torch.testing.assert_close((mixing.T @ w)[index] @ rows, w @ full)


def test_weights_are_kept_between_updates() -> None:
    balancer = Inverse(update_every=3)
    kept: list[np.ndarray] = []
    for step in range(7):
        case = mlp()
        with torch.no_grad():
            case.heads["t0"].weight.mul_(1 + step)
        losses = case.losses()
        J = jacobian(losses, case.encoder.parameters())
        balancer.backward(losses, shared=case.encoder)
        kept.append(balancer.last["weights"])
        torch.testing.assert_close(flat_grad(case.encoder.parameters()), torch.from_numpy(kept[-1]) @ J)
    assert len(balancer.seen) == 3
    np.testing.assert_array_equal(kept[0], kept[2])
    assert kept[3][0] != kept[2][0]
    case = mlp()
    balancer.backward(
        {"new": case.losses()["t0"], "t1": case.losses()["t1"]}, shared=case.encoder, unreached="ignore"
    )
    assert len(balancer.seen) == 4, "a task without a weight asks for an update"


SETTINGS = {"fixed": {"weights": {f"t{k}": 1.0 + k for k in range(4)}}}


@pytest.mark.parametrize("name", BALANCERS)
def test_micro_batches_make_the_step_of_the_large_batch(name: str) -> None:
    """Two steps of three micro-batches each, some of them without labels of some tasks."""
    parts = [
        (slice(0, 4), ["t0", "t1", "t3"]),
        (slice(4, 5), ["t3", "t1"]),
        (slice(5, 9), ["t0", "t1", "t2"]),
    ]
    counts = {"t0": 8, "t1": 9, "t2": 4, "t3": 5}

    def sums(case: Case, rows: slice, tasks: list[str]) -> dict[str, Tensor]:
        h = case.encoder(case.x[rows])
        return {t: (case.heads[t](h) - int(t[1]) - 1).square().sum() / counts[t] for t in tasks}, h

    def run(together: bool) -> Tensor:
        case, balancer = mlp(), get_balancer(name, **SETTINGS.get(name, {}))
        optimizer = torch.optim.SGD(case.parameters, lr=0.05)
        for _ in range(2):
            optimizer.zero_grad()
            if together:
                found = [sums(case, *part)[0] for part in parts]
                losses = {t: sum(f[t] for f in found if t in f) for t in ("t0", "t1", "t3", "t2")}
                if balancer.needs == "features":
                    h = case.features()
                    masks = {t: torch.zeros(9, 1).double() for t in losses}
                    for rows, tasks in parts:
                        for t in tasks:
                            masks[t][rows] = 1
                    losses = {
                        t: ((case.heads[t](h) - int(t[1]) - 1).square() * masks[t]).sum() / counts[t]
                        for t in losses
                    }
                    balancer.backward(losses, case.encoder, h)
                else:
                    balancer.backward(losses, case.encoder)
            else:
                for i, part in enumerate(parts):
                    losses, h = sums(case, *part)
                    (balancer.accumulate if i < 2 else balancer.backward)(losses, case.encoder, h)
            optimizer.step()
            if balancer.needs == "losses_after_step":
                found = [sums(case, *part)[0] for part in parts]
                balancer.after_step(
                    {t: sum(f[t] for f in found if t in f).detach() for t in ("t0", "t1", "t3", "t2")}
                )
        return torch.cat([p.detach().flatten() for p in case.parameters])

    torch.testing.assert_close(run(False), run(True), rtol=1e-10, atol=1e-10)


def case_in_single() -> Case:
    case = mlp()
    case.encoder.float(), case.heads.float()
    case.x = case.x.float()
    return case


def test_under_autocast_as_a_loop_under_autocast() -> None:
    case = case_in_single()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = case.losses()
    J = jacobian(losses, case.encoder.parameters())
    Inverse().backward(losses, shared=case.encoder)
    wanted = (J / J.norm(dim=1, keepdim=True)).sum(0)
    assert float((flat_grad(case.encoder.parameters()) - wanted).norm() / wanted.norm()) < 1e-2


@pytest.mark.parametrize("make", [Equal, Inverse, Signs, lambda: Inverse("features")])
def test_with_a_scaler_gradients_come_out_scaled(make: Callable[[], Balancer]) -> None:
    def run(scale: float | None) -> Tensor:
        case = case_in_single()
        h = case.features()
        optimizer = torch.optim.SGD(case.parameters, lr=0.1)
        scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
        make().backward(case.losses(h), case.encoder, h, scaler=scaler)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        return torch.cat([p.detach().flatten() for p in case.parameters])

    torch.testing.assert_close(run(256.0), run(None), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [Inverse, Signs, lambda: Inverse("features")])
def test_an_overflow_is_left_to_the_scaler_or_named(make: Callable[[], Balancer]) -> None:
    case = case_in_single()
    before = torch.cat([p.detach().clone().flatten() for p in case.parameters])
    h = case.features()
    losses = case.losses(h)
    losses["t1"] = losses["t1"] + (0.0 * h.sum()).sqrt()  # zero, with an infinite slope
    with pytest.raises(TrainingError, match="gradient is not finite for 1 of 4 tasks: 't1'"):
        make().backward(losses, case.encoder, h)
    assert not flat_grad(case.parameters).any()
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=2.0), torch.optim.SGD(case.parameters, lr=0.1)
    h = case.features()
    losses = case.losses(h)
    losses["t1"] = losses["t1"] + (0.0 * h.sum()).sqrt()
    make().backward(losses, case.encoder, h, scaler=scaler)
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(torch.cat([p.detach().flatten() for p in case.parameters]), before)
    assert scaler.get_scale() == 1.0


@pytest.mark.parametrize("what", ["encoder", "heads"])
@pytest.mark.parametrize("where", ["parameters", "features"])
def test_compiled_networks(what: str, where: str) -> None:
    case = mlp()
    J = jacobian(case.losses(), case.encoder.parameters())
    torch._dynamo.reset()
    encoder = torch.compile(case.encoder, backend="aot_eager") if what == "encoder" else case.encoder
    heads = {
        t: torch.compile(h, backend="aot_eager") if what == "heads" else h for t, h in case.heads.items()
    }
    h = encoder(case.x)
    losses = {t: (head(h) - k).square().mean() for k, (t, head) in enumerate(heads.items())}
    balancer = Inverse(where)
    balancer.backward(losses, case.encoder, h)
    torch.testing.assert_close(
        flat_grad(case.encoder.parameters()),
        torch.from_numpy(balancer.last["weights"]) @ J,
        rtol=1e-9,
        atol=1e-9,
    )


def test_a_network_that_is_compiled_for_one_pass_is_refused_with_the_reason() -> None:
    class Once(torch.autograd.Function):
        """What inductor's compiled graphs with donated buffers do in a pass that keeps the graph."""

        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:
            raise RuntimeError(
                "This backward function was compiled with non-empty donated buffers which requires …"
            )

    case = mlp()
    h = torch.tanh(Once.apply(case.features()))
    with pytest.raises(TrainingError, match="compile encoder and heads apart"):
        MGDA().backward(case.losses(h), case.encoder)


def test_no_two_parameters_get_the_same_tensor() -> None:
    """Autograd hands one tensor to both a and b of ``h + a + b``; clipping it in place would clip it twice."""
    case = mlp()
    a, b = (torch.zeros(9, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    h = case.features()
    losses = {
        "t0": (case.heads["t0"](h + a + b)).square().mean(),
        "t1": (case.heads["t1"](h) - 1).square().mean(),
    }
    wanted = torch.autograd.grad(sum(losses.values()), a, retain_graph=True)[0]
    MGDA().backward(losses, case.encoder)
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.data_ptr() != b.grad.data_ptr()
    torch.testing.assert_close(a.grad, wanted)


@pytest.mark.filterwarnings("ignore:.*after_step")
@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("how", ["generator", "named", "modules", "accumulated"])
def test_shared_parameters_may_come_in_any_form(name: str, how: str) -> None:
    def run(form: str) -> Tensor:
        case, balancer = mlp(), get_balancer(name, **SETTINGS.get(name, {}))
        shared = {
            "module": lambda: case.encoder,
            "generator": lambda: case.encoder.parameters(),
            "named": lambda: case.encoder.named_parameters(),
            "modules": lambda: [case.encoder[0], case.encoder[2], case.encoder[3]],
        }
        make = shared.get(form, shared["generator"])
        for _ in range(2):
            h = case.features()
            losses = {t: v + 0.5 for t, v in case.losses(h).items()}
            if form == "accumulated" or (how == "accumulated" and form == "module"):
                halves = {t: v / 2 for t, v in losses.items()}
                balancer.accumulate(halves, make(), h)
                h = case.features()
                losses = {t: (v + 0.5) / 2 for t, v in case.losses(h).items()}
            balancer.backward(losses, make(), h)
            assert flat_grad(case.encoder.parameters()).any()
        return flat_grad(case.parameters)

    torch.testing.assert_close(run(how), run("module"), rtol=1e-10, atol=1e-10)


def test_hooks_on_shared_parameters_are_honoured() -> None:
    """A hook that masks a weight's gradient: the tasks' gradients are those of the parts that may move."""
    case = mlp()
    mask = (torch.arange(35).view(7, 5) % 2).double()
    case.encoder[0].weight.register_hook(lambda g: g * mask)
    losses = case.losses()
    J = jacobian(losses, case.encoder.parameters())
    assert not J[:, :35][:, mask.flatten() == 0].any()
    Inverse().backward(losses, case.encoder)
    torch.testing.assert_close(flat_grad(case.encoder.parameters()), (J / J.norm(dim=1, keepdim=True)).sum(0))


def test_hooks_after_accumulation_run() -> None:
    case, seen = mlp(), []
    case.encoder[0].weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    Inverse().backward(case.losses(), case.encoder)
    torch.testing.assert_close(seen, [case.encoder[0].weight.grad])


def test_weights_of_other_tasks_are_not_used_again() -> None:
    balancer, case = MGDA(update_every=5), mlp()
    losses = case.losses()
    losses["t0"] = 1e-3 * losses["t0"]
    balancer.backward(losses, case.encoder)
    assert balancer.last["weights"][0] > 0.9
    for p in case.parameters:
        p.grad = None
    losses = {"t3": case.losses()["t3"]}
    wanted = jacobian(losses, case.encoder.parameters())[0]
    balancer.backward(losses, case.encoder)
    torch.testing.assert_close(flat_grad(case.encoder.parameters()), wanted)


def test_what_a_method_gives_is_checked() -> None:
    class Broken(Inverse):
        def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
            return np.array([1.0, np.nan, 1.0, 1.0])

    class Short(Inverse):
        def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
            return np.ones(2)

    class Lost(Signs):
        def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: Tensor) -> Tensor:
            return jacobian[0] / 0.0

    for make, error, message in (
        (Broken, TrainingError, "gave a weight that is not finite: 't1'"),
        (Short, SettingError, r"gave weights of shape \(2,\) for 4 tasks"),
        (Lost, TrainingError, "'signs' gave a direction .* not finite"),
    ):
        case = mlp()
        with pytest.raises(error, match=message):
            make().backward(case.losses(), case.encoder)
        assert not flat_grad(case.parameters).any()


def test_micro_batches_that_do_not_belong_together() -> None:
    case, balancer = mlp(), Inverse()
    balancer.accumulate(case.losses(), case.encoder)
    with pytest.raises(SettingError, match="holds 1 micro-batches"):
        balancer.state_dict()
    with pytest.raises(SettingError, match="must have the same shared parameters and scale"):
        balancer.backward(case.losses(), case.encoder[0])
    balancer.state_dict()  # a call that fails leaves none behind
    losses = case.losses()
    wanted = jacobian(losses, case.heads.parameters()).sum(0)
    balancer.backward(losses, case.encoder)
    torch.testing.assert_close(flat_grad(case.heads.parameters()), wanted)


def test_missing_and_wrong_arguments_are_named() -> None:
    case = mlp()
    losses = case.losses()
    with pytest.raises(SettingError, match="'mgda' needs the shared parameters"):
        MGDA().backward(losses)
    with pytest.raises(SettingError, match="'mgda' needs the representation and what made it"):
        MGDA(gradients="features").backward(losses, case.encoder)
    with pytest.raises(SettingError, match="needs the representation and what made it"):
        MGDA(gradients="features").backward(losses, features=case.features())
    with pytest.raises(SettingError, match="features must be one tensor, got tuple"):
        MGDA(gradients="features").backward(losses, case.encoder, (case.features(),))  # type: ignore[arg-type]
    hooked = case.features()
    hooked.register_hook(lambda g: g)
    with pytest.raises(SettingError, match="features have a gradient hook"):
        MGDA(gradients="features").backward(case.losses(hooked), case.encoder, hooked)
    for make in (MGDA, Equal):
        with pytest.raises(SettingError, match="task 't1' does not depend on any parameter"):
            make().backward(losses | {"t1": losses["t1"].detach()}, case.encoder)
    with pytest.raises(SettingError, match="losses must map task names to scalars, got list"):
        Equal().backward(list(losses.values()))  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="scaler must be a"):
        Equal().backward(losses, scaler="2x")
    with pytest.raises(SettingError, match="update_every must be"):
        MGDA(update_every=True)
    numbers = {"cagrad": "c", "gradnorm": "lr", "nash_mtl": "max_norm", "db_mtl": "beta", "fairgrad": "alpha"}
    for name, setting in (numbers | {"graddrop": "leak", "gradvac": "beta"}).items():
        for wrong_number in ("x", float("inf"), True):
            with pytest.raises(SettingError, match=f"{setting} must be"):
                get_balancer(name, **{setting: wrong_number})
    for wrong in (MGDA, ["mgda"], None):
        with pytest.raises(SettingError, match="A balancing is a name or a balancer, not"):
            get_balancer(wrong)
    with pytest.raises(SettingError, match="Did you mean 'mgda'"):
        get_balancer("MGDA")
    assert repr(MGDA(update_every=3)) == "MGDA(normalization='none', gradients='parameters', update_every=3)"
    with pytest.raises(SettingError, match="gradients must be 'parameters' or 'features', got 'weights'"):
        MGDA(gradients="weights")
    with pytest.raises(SettingError, match="update_every must be a whole number of at least 1, got 0"):
        MGDA(update_every=0)
    with pytest.raises(SettingError, match="unreached must be 'error' or 'ignore'"):
        MGDA().backward(losses, case.encoder, unreached="warn")
    with pytest.raises(SettingError, match="2 of 8 shared parameters"):
        MGDA().backward(losses, nn.ModuleDict({"a": case.encoder, "b": nn.Linear(2, 2)}))
    assert not flat_grad(case.parameters).any()
    with pytest.raises(SettingError, match="needs a process group"):
        MGDA().distribute(case.encoder, list(losses))
