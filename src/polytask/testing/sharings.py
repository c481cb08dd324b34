"""What every sharing architecture must keep (`polytask.sharing.Sharing`)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import Sharing
from polytask.testing.claims import Claims

N_INPUTS, N_ROWS = 5, 11
HEADS: tuple[dict[str, int], ...] = ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 3, "c": 2}, {"only": 2})

Make = Callable[[int, Mapping[str, int]], Sharing]


def check_sharing(sharing: type[Sharing] | Make) -> None:
    """Check an architecture with equal heads, mixed heads and a single task, in float64.

    Checked are the shapes of outputs; that `forward`, `table`, `own` and `own_blocks` agree; that rows and
    tasks asked for are the ones computed, and a row does not depend on the others; that every parameter has one
    owner, gets a gradient from the tasks that use it and from no other; that all of a task's gradient to the
    shared parameters passes `features`, where there are any; that seeds, copies and states reproduce outputs;
    that `penalty` is a finite scalar and `after_step` leaves parameters finite; that gradients are the same
    under DistributedDataParallel; and that the description is plain data that rebuilds the network.

    Parameters
    ----------
    sharing : class or callable
        A class with ``for_table(n_inputs, heads)``, or a function of these two that returns a new network.

    Raises
    ------
    AssertionError
        Naming the architecture and what failed.
    """
    make: Make = getattr(sharing, "for_table", sharing)
    for heads in HEADS:
        torch.manual_seed(0)
        network = make(N_INPUTS, heads)
        claims = Claims(f"Sharing {getattr(network, 'name', '') or type(network).__name__!r}, heads {heads}")
        claims.holds(isinstance(network, Sharing), "it does not subclass polytask.sharing.Sharing.")
        claims.holds(bool(network.name), "it has no name.")
        network = network.double().eval()
        x = torch.randn(N_ROWS, N_INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        _check_outputs(network, x, claims)
        _check_rows(network, x, claims)
        _check_owners(network, claims)
        _check_gradients(network, x, claims)
        _check_features(network, x, claims)
        _check_copies(network, make, x, claims)
        _check_penalty(network, claims)
        _check_distributed(network, x, claims)
        _check_description(network, sharing, x, claims)


def _check_outputs(network: Sharing, x: Tensor, claims: Claims) -> None:
    outputs = network(x)
    claims.holds(set(outputs) == set(network.heads), f"forward returned {sorted(outputs)}, not all tasks.")
    for task, width in network.heads.items():
        shape = tuple(outputs[task].shape)
        claims.holds(
            shape == (N_ROWS, width), f"outputs of '{task}' have the shape {shape}, not {(N_ROWS, width)}."
        )
        claims.holds(
            outputs[task].dtype == x.dtype, f"outputs of '{task}' are {outputs[task].dtype} for float64."
        )
        claims.holds(bool(torch.isfinite(outputs[task]).all()), f"outputs of '{task}' are not finite.")
    features = network.features()
    right = features is None or features.shape[0] == N_ROWS
    claims.holds(right, "features() must be None or hold a representation of each row.")
    table = network.table(x)
    for task, columns in network.columns.items():
        claims.same(
            _plain(table[:, columns]), _plain(outputs[task]), f"table must agree with forward on '{task}'"
        )
    task_of_row = (torch.arange(N_ROWS) * 7) % len(network.tasks)
    own = network.own(x, task_of_row)
    claims.same(_plain(own), _plain(Sharing.own(network, x, task_of_row)), "own must agree with forward")
    if network.takes_blocks:
        blocks = torch.stack([x.roll(k, 0) for k in range(len(network.tasks))])
        of_row = torch.arange(len(network.tasks)).repeat_interleave(N_ROWS)
        expected = network.own(blocks.flatten(0, 1), of_row).view(len(blocks), N_ROWS, -1)
        claims.same(_plain(network.own_blocks(blocks)), _plain(expected), "own_blocks must agree with own")
    try:
        network(x[:, :-1])
    except Exception:
        return
    claims.holds(False, "a table with a column too few must raise an error (use check_input).")


def _check_rows(network: Sharing, x: Tensor, claims: Claims) -> None:
    outputs, index, first = network(x), torch.tensor([3, 0, 8]), network.tasks[0]
    asked: dict[str, Tensor | None] = dict.fromkeys(network.tasks[2:]) | {first: index}
    some = network(x, asked)
    claims.holds(set(some) == set(asked), f"asked for {sorted(asked)}, forward returned {sorted(some)}.")
    for task, rows in asked.items():
        wanted = outputs[task] if rows is None else outputs[task][rows]
        claims.same(
            _plain(some[task]), _plain(wanted), f"the rows of '{task}' asked for must be those of forward"
        )
    claims.holds(network(x, {}) == {}, "no task asked for must give no output.")
    turned = network(x, dict.fromkeys(reversed(network.tasks)))
    for task in network.tasks:
        claims.same(
            _plain(turned[task]), _plain(outputs[task]), f"'{task}' must not depend on the order of tasks"
        )
    alone = network(x[:1])
    for task in network.tasks:
        claims.same(
            _plain(alone[task]), _plain(outputs[task][:1]), f"a row of '{task}' must not depend on other rows"
        )
    try:
        network(x, {"no such task": None})
    except SettingError as error:
        claims.holds("no such task" in str(error), "the error for an unknown task must name it.")
    else:
        claims.holds(False, "an unknown task in rows must raise a SettingError (use check_rows).")


def _check_owners(network: Sharing, claims: Claims) -> None:
    owners: dict[int, list[str]] = {id(p): [] for p in network.parameters()}
    listed = [("shared_parameters", network.shared_parameters())]
    listed += [(f"task_parameters('{t}')", network.task_parameters(t)) for t in network.tasks]
    for where, parameters in listed:
        for p in parameters:
            claims.holds(id(p) in owners, f"{where} lists a tensor that is not a parameter of the network.")
            owners[id(p)].append(where)
    for name, p in network.named_parameters():
        found = owners[id(p)]
        claims.holds(
            bool(found), f"parameter '{name}' is neither among the shared nor among any task's parameters."
        )
        claims.holds(len(found) == 1, f"parameter '{name}' has more than one owner: {' and '.join(found)}.")


def _check_gradients(network: Sharing, x: Tensor, claims: Claims) -> None:
    """Each task's loss by itself: who gets a gradient?"""
    names = {id(p): name for name, p in network.named_parameters()}
    reached: dict[int, set[str]] = {key: set() for key in names}
    for task in network.tasks:
        network.zero_grad(set_to_none=True)
        network(x, {task: None})[task].square().sum().backward()
        for p in network.parameters():
            if p.grad is not None:
                reached[id(p)].add(task)
                claims.holds(
                    bool(torch.isfinite(p.grad).all()), f"the gradient of '{names[id(p)]}' is not finite."
                )
        for p in _trained(network.task_parameters(task)):
            claims.holds(
                p.grad is not None,
                f"the loss of '{task}' gives its own parameter '{names[id(p)]}' no gradient.",
            )
    for task in network.tasks:
        for p in _trained(network.task_parameters(task)):
            others = sorted(reached[id(p)] - {task})
            claims.holds(
                not others,
                f"parameter '{names[id(p)]}' of '{task}' gets a gradient from {others}; is it shared?",
            )
    for p in _trained(network.shared_parameters()):
        wanted = min(2, len(network.tasks))
        n = len(reached[id(p)])
        claims.holds(n >= wanted, f"the shared parameter '{names[id(p)]}' gets a gradient from {n} tasks.")
    network.zero_grad(set_to_none=True)


def _check_features(network: Sharing, x: Tensor, claims: Claims) -> None:
    """Gradients through the features alone must be all of the shared parameters' gradients."""
    shared = _trained(network.shared_parameters())
    for task in network.tasks:
        loss = network(x, {task: None})[task].square().sum()
        features = network.features()
        if features is None or not shared:
            return
        direct = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        (at_features,) = torch.autograd.grad(loss, features, retain_graph=True)
        through = torch.autograd.grad(features, shared, at_features, allow_unused=True)
        for p, a, b in zip(shared, direct, through):
            a, b = (torch.zeros_like(p) if g is None else g for g in (a, b))
            claims.same(
                _plain(b), _plain(a), f"features() must lie on every way from shared parameters to '{task}'"
            )


def _check_copies(network: Sharing, make: Make, x: Tensor, claims: Claims) -> None:
    """After a forward pass, whose graph must not be copied."""
    before = _plain(network.table(x))
    torch.manual_seed(0)
    again = make(N_INPUTS, network.heads).double().eval()
    claims.same(_plain(again.table(x)), before, "one seed must give one network")
    drawn = []
    for again in (network, copy.deepcopy(network)):
        torch.manual_seed(7)
        drawn.append(_plain(again.train().table(x)))
        again.eval()
    claims.same(drawn[1], drawn[0], "in training mode, one seed must give the same outputs")
    torch.manual_seed(5)
    other = make(N_INPUTS, network.heads).double().eval()
    other.load_state_dict(network.state_dict())
    claims.same(_plain(other.table(x)), before, "state_dict must hold everything that outputs depend on")
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for p in copied.parameters():
            p.add_(1.0)
    claims.same(_plain(network.table(x)), before, "changing a deep copy must not change the original")
    claims.holds(
        bool((_plain(copied.table(x)) != before).any()), "a deep copy's outputs ignore its parameters."
    )


def _check_penalty(network: Sharing, claims: Claims) -> None:
    penalty = network.penalty()
    if penalty is not None:
        claims.holds(
            penalty.dim() == 0, f"penalty must be a scalar, it has the shape {tuple(penalty.shape)}."
        )
        claims.holds(bool(torch.isfinite(penalty)), "penalty is not finite.")
        claims.holds(penalty.requires_grad, "penalty has no gradient.")
    network.step_size = 1e-3
    network.after_step()
    finite = all(bool(torch.isfinite(p).all()) for p in network.parameters())
    claims.holds(finite, "after_step left parameters that are not finite.")


def _check_distributed(network: Sharing, x: Tensor, claims: Claims) -> None:
    """One process is enough to see whether outputs, owners and state survive the wrapper."""
    if not torch.distributed.is_available() or torch.distributed.is_initialized():
        return
    alone, wrapped = copy.deepcopy(network), copy.deepcopy(network)
    _backward(alone, x)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about its speed
            # No name for the wrapper: one that outlives its process group can hang.
            _backward(nn.parallel.DistributedDataParallel(wrapped), x)
    finally:
        torch.distributed.destroy_process_group()
    for (name, p), q in zip(alone.named_parameters(), wrapped.parameters()):
        if p.grad is None or q.grad is None:
            claims.holds(
                (p.grad is None) == (q.grad is None), f"under DDP '{name}' gets a gradient only on one side."
            )
        else:
            claims.same(_plain(q.grad), _plain(p.grad), f"under DDP '{name}' must get the same gradient")


def _backward(network: nn.Module, x: Tensor) -> None:
    torch.manual_seed(3)
    sum(out.square().sum() for out in network(x).values()).backward()


def _check_description(network: Sharing, sharing: Any, x: Tensor, claims: Claims) -> None:
    described = network.describe()
    claims.plain(described, "describe must return plain data")
    total = sum(p.numel() for p in network.parameters())
    claims.holds(
        described["parameters"] == total, f"describe counts {described['parameters']} of {total} parameters."
    )
    if hasattr(sharing, "for_table"):
        settings = described["settings"]
        claims.holds(
            settings is not None, "for_table must set `settings`, from which a saved model is rebuilt."
        )
        rebuilt = sharing.for_table(N_INPUTS, described["heads"], **settings).double().eval()
        rebuilt.load_state_dict(network.state_dict())
        claims.same(
            _plain(rebuilt.table(x)),
            _plain(network.table(x)),
            "for_table(**settings) must rebuild the network",
        )


def _trained(parameters: Any) -> list[nn.Parameter]:
    return [p for p in parameters if p.requires_grad]


def _plain(tensor: Tensor) -> Any:
    return tensor.detach().numpy()
