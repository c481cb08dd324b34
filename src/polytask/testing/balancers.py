"""What every balancer must keep (`polytask.balancing.Balancer`)."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from polytask.balancing.base import NEEDS, Balancer
from polytask.errors import SettingError, TrainingError
from polytask.testing.claims import Claims

TASKS = ("a", "b", "c")

Gradients = dict[str, Tensor | None]


def check_balancer(make: Callable[[], Balancer]) -> None:
    """Check a balancer on a small network with the tasks "a", "b" and "c".

    Checked are name and needs; that all parameters of the tasks in a batch get a finite gradient and those of
    absent tasks none; one task, one row, float64 and float32; that gradients are added to what is there and
    no parameter moves; that bad losses are refused before anything happens; that the same seed gives the same
    gradients; and that a copy, and a state that was written and read, go on exactly alike.

    Parameters
    ----------
    make : callable
        The class, or anything that returns a new balancer: ``lambda: Fixed({"a": 1, "b": 2, "c": 3})``.

    Raises
    ------
    AssertionError
        Naming the balancer and what failed.
    """
    balancer = make()
    claims = Claims(f"Balancer {getattr(balancer, 'name', '') or type(balancer).__name__!r}")
    claims.holds(isinstance(balancer, Balancer), "it does not subclass polytask.balancing.Balancer.")
    claims.holds(bool(balancer.name), "it has no name.")
    claims.holds(
        balancer.needs in NEEDS, f"needs must be one of {', '.join(NEEDS)}; it is {balancer.needs!r}."
    )
    for dtype in (torch.float64, torch.float32):
        for present in (TASKS, TASKS[::2], TASKS[1:2]):
            for rows in (6, 1):
                _check_who_gets_gradients(make, present, rows, dtype, claims)
    _check_addition(make, claims)
    _check_refusals(make, claims)
    _check_repeats(make, claims)


class Problem:
    """Three tasks on a shared layer: ``loss_t = mean (head_t(tanh(encoder(x))) − y_t)²``."""

    def __init__(self, dtype: torch.dtype = torch.float64, rows: int = 6) -> None:
        generator = torch.Generator().manual_seed(1)
        self.encoder = nn.Linear(3, 4).to(dtype)
        self.heads = nn.ModuleDict({t: nn.Linear(4, 1) for t in TASKS}).to(dtype)
        with torch.no_grad():
            for p in [*self.encoder.parameters(), *self.heads.parameters()]:
                p.copy_(torch.randn(p.shape, generator=generator))
        self.x = torch.randn(rows, 3, generator=generator).to(dtype)
        self.y = {t: 2.0 * torch.randn(rows, 1, generator=generator).to(dtype) for t in TASKS}

    def losses(self, present: Sequence[str] = TASKS) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of these tasks, and the representation that they hang on."""
        features = torch.tanh(self.encoder(self.x))
        return {t: (self.heads[t](features) - self.y[t]).square().mean() for t in present}, features

    def backward(self, balancer: Balancer, present: Sequence[str] = TASKS) -> Gradients:
        """One backward pass through the balancer; returns the gradients."""
        losses, features = self.losses(present)
        balancer.backward(losses, shared=list(self.encoder.parameters()), features=features)
        return self.gradients()

    def gradients(self) -> Gradients:
        named = [*self.encoder.named_parameters("encoder"), *self.heads.named_parameters("heads")]
        return {name: None if p.grad is None else p.grad.clone() for name, p in named}

    def step(self, balancer: Balancer, present: Sequence[str] = TASKS) -> Gradients:
        """A whole step of plain gradient descent; returns its gradients."""
        parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        for p in parameters:
            p.grad = None
        gradients = self.backward(balancer, present)
        with torch.no_grad():
            for p in parameters:
                if p.grad is not None:
                    p.sub_(0.01 * p.grad)
            if balancer.needs == "losses_after_step":
                balancer.after_step(self.losses(present)[0])
        return gradients


def _check_who_gets_gradients(
    make: Callable[[], Balancer], present: Sequence[str], rows: int, dtype: torch.dtype, claims: Claims
) -> None:
    problem = Problem(dtype, rows)
    before = [p.detach().clone() for p in problem.encoder.parameters()]
    when = f"with tasks {', '.join(present)} in a batch of {rows} ({dtype})"
    for name, gradient in problem.backward(make(), present).items():
        absent = name.startswith("heads.") and name.split(".")[1] not in present
        if absent:
            claims.holds(
                gradient is None, f"{when}: '{name}' of an absent task got a gradient; it must stay None."
            )
            continue
        if gradient is None:
            raise AssertionError(f"{claims.subject}: {when}: '{name}' got no gradient.")
        claims.holds(bool(torch.isfinite(gradient).all()), f"{when}: the gradient of '{name}' is not finite.")
        claims.holds(gradient.dtype == dtype, f"{when}: the gradient of '{name}' is {gradient.dtype}.")
    weight = problem.encoder.weight.grad
    claims.holds(weight is not None and bool(weight.any()), f"{when}: the shared gradient is zero.")
    unmoved = all(torch.equal(p, q) for p, q in zip(problem.encoder.parameters(), before))
    claims.holds(unmoved, f"{when}: backward moved parameters; that is the optimizer's job.")


def _check_addition(make: Callable[[], Balancer], claims: Claims) -> None:
    plain, offset = Problem(), Problem()
    for p in [*offset.encoder.parameters(), *offset.heads.parameters()]:
        p.grad = torch.ones_like(p)
    torch.manual_seed(0)
    alone = plain.backward(make())
    torch.manual_seed(0)
    for name, added in offset.backward(make()).items():
        assert added is not None
        claims.same(added - 1, alone[name], f"gradients must be added to those that '{name}' has")


def _check_refusals(make: Callable[[], Balancer], claims: Claims) -> None:
    for bad in (math.nan, math.inf):
        problem, balancer = Problem(), make()
        losses, features = problem.losses()
        losses["b"] = losses["b"] * bad
        shared = list(problem.encoder.parameters())
        backward = partial(balancer.backward, losses, shared=shared, features=features)
        message = _message(backward, TrainingError)
        claims.holds("'b'" in message, f"a loss of {bad} must raise a TrainingError that names its task.")
        untouched = all(g is None for g in problem.gradients().values())
        claims.holds(untouched, f"a loss of {bad} must be refused before any gradient is computed.")
    needs = make().needs
    if needs in ("gramian", "gradients", "features"):
        message = _message(lambda: make().backward(Problem().losses()[0]), SettingError)
        wanted = "features=" if needs == "features" else "shared="
        claims.holds(
            wanted in message, f"without what it needs it must raise a SettingError that asks for {wanted}…."
        )


def _message(action: Callable[[], None], kind: type[Exception]) -> str:
    """What the action raises, or nothing if it raises nothing."""
    try:
        action()
    except kind as error:
        return str(error)
    return ""


def _check_repeats(make: Callable[[], Balancer], claims: Claims) -> None:
    """The same two steps, then the same two more from a fresh, a copied and a restored balancer."""
    (balancer, problem), twin, (_, third_problem) = (_after_two_steps(make) for _ in range(3))
    copied = copy.deepcopy((balancer, problem))
    restored = make()
    restored.load_state_dict(_written_and_read(balancer, claims))
    reference = _two_more(balancer, problem)
    for what, other in (
        ("two runs with one seed", twin),
        ("a deep copy and its original", copied),
        ("a balancer restored by load_state_dict and its original", (restored, third_problem)),
    ):
        for name, gradient in _two_more(*other).items():
            claims.same(gradient, reference[name], f"{what} must give the same gradients of '{name}'", 1e-12)


def _after_two_steps(make: Callable[[], Balancer]) -> tuple[Balancer, Problem]:
    torch.manual_seed(0)
    balancer, problem = make(), Problem()
    problem.step(balancer)
    problem.step(balancer, TASKS[:2])
    return balancer, problem


def _two_more(balancer: Balancer, problem: Problem) -> Gradients:
    torch.manual_seed(3)
    problem.step(balancer)
    return problem.step(balancer)


def _written_and_read(balancer: Balancer, claims: Claims) -> dict[str, object]:
    """The state through a file that holds tensors and plain data only, as checkpoints do."""
    file = io.BytesIO()
    torch.save(balancer.state_dict(), file)
    file.seek(0)
    try:
        return torch.load(file, weights_only=True)
    except Exception as error:
        message = f"{claims.subject}: state_dict must hold tensors and plain data only: {error}"
        raise AssertionError(message) from error
