"""Equal-shaped modules (towers, experts, heads) computed as one batched product instead of a Python loop.

`ParallelLinear` is the building block with stacked weights. `Parallel` holds ordinary modules, so that each
keeps parameters of its own (and their gradients stay None when it is not used), and computes all at once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from polytask.errors import SettingError

#: Modules without parameters that act on each entry alone, so they apply to the stacked tensor as they are.
POINTWISE = (
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Hardtanh,
    nn.Identity,
    nn.Dropout,
)

#: Gradients of batched products are written out for weights of so many numbers and more: below, a call into
#: Python takes longer than what it saves.
WRITTEN_OUT_FROM = 2**14


class ParallelLinear(nn.Module):
    """T linear layers of equal shape in one batched product.

    Parameters
    ----------
    n : int
        Number of layers T.
    d_in, d_out : int
        Widths of each layer.
    bias : bool

    Attributes
    ----------
    weight : Parameter of shape (T, d_in, d_out)
    bias : Parameter of shape (T, d_out) or None
    """

    def __init__(self, n: int, d_in: int, d_out: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n, d_in, d_out))
        self.bias = nn.Parameter(torch.empty(n, d_out)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights as `nn.Linear` does: uniform in ±1/√d_in."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (n, d_in) for all layers, or (T, n, d_in) one input each → (T, n, d_out)."""
        return batched_linear(x, self.weight.transpose(1, 2), self.bias)


def batched_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x_t W_tᵀ + b_t`` for all t.

    Parameters
    ----------
    x : Tensor of shape (n, d_in) or (T, n, d_in)
    weight : Tensor of shape (T, d_out, d_in)
    bias : Tensor of shape (T, d_out) or None

    Returns
    -------
    Tensor of shape (T, n, d_out)
    """
    n_members, d_out, d_in = weight.shape
    if x.dim() == 2:
        # One wide product reads the common input once; T narrow ones would read it T times.
        wide = nn.functional.linear(x, weight.reshape(-1, d_in), None if bias is None else bias.reshape(-1))
        return wide.view(x.shape[0], n_members, d_out).transpose(0, 1)
    if weight.numel() < WRITTEN_OUT_FROM:
        return _products(x, weight, bias)
    out: Tensor = _Products.apply(x, weight, bias)
    return out


def _products(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return torch.bmm(x, weight.transpose(1, 2))
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


class _Products(torch.autograd.Function):
    """``x_t W_tᵀ + b_t`` with its gradients written out.

    Autograd finds the gradient of Wᵀ, and turning it round for W costs as much as a product of this size.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _products(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        # Products in mixed precision return another type than they were given.
        return (
            torch.bmm(grad, weight.to(grad.dtype)) if of_x else None,
            torch.bmm(grad.transpose(1, 2), x.to(grad.dtype)) if of_weight else None,
            grad.sum(1) if of_bias else None,
        )


def parallel(modules: Sequence[nn.Module]) -> Parallel:
    """Stack equal modules; calling the result equals calling each and stacking the outputs."""
    return Parallel(modules)


class Parallel(nn.Module):
    """Modules of equal structure and shapes, computed together.

    Three ways, the first that applies, reported in ``path``: "batched" (nested Sequential of Linear,
    LayerNorm, Dropout and pointwise activations), "vmap" (any module without buffers), "loop" (modules with
    buffers such as BatchNorm's running statistics, which must not mix; recurrent and attention layers).

    Parameters
    ----------
    modules : sequence of Module
        Equal up to the values of their parameters.

    Raises
    ------
    SettingError
        If there are none, or their structures or shapes differ.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        modules = list(modules)
        if not modules:
            raise SettingError("parallel() needs at least one module.")
        for i, module in enumerate(modules[1:], start=1):
            if signature(module) != signature(modules[0]):
                raise SettingError(
                    f"Modules 0 and {i} differ in structure or shapes and cannot run as one product."
                )
        self.members = nn.ModuleList(modules)
        self._program = program_of(modules[0])
        if self._program is not None:
            self.path = "batched"
        else:
            self.path = "vmap" if can_vmap(modules[0]) else "loop"
        self._leaves: dict[str, Tensor] | None = None
        self._places = {
            name: [place_of(m, name) for m in modules] for name, _ in modules[0].named_parameters()
        }

    def __len__(self) -> int:
        return len(self.members)

    def forward(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """Run all members, or the chosen ones.

        Parameters
        ----------
        x : Tensor
            (n, …) the same input for all; with ``stacked`` (T, n, …) see `forward_stacked`.
        members : sequence of int, optional

        Returns
        -------
        Tensor of shape (T, n, …)
        """
        return self._run(x, members, stacked=False)

    def forward_stacked(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """As `forward`, each member with an input of its own: x of shape (T, n, …)."""
        return self._run(x, members, stacked=True)

    def stacked(self, members: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Parameters by name, stacked: (T, *shape) each, with gradients that reach the members."""
        if self._leaves is not None:
            if members is None:
                return self._leaves
            index = torch.as_tensor(members, device=next(iter(self._leaves.values())).device)
            return {name: leaf.index_select(0, index) for name, leaf in self._leaves.items()}
        chosen = range(len(self)) if members is None else members
        return {
            name: torch.stack([places[i][0]._parameters[places[i][1]] for i in chosen])  # type: ignore[misc]
            for name, places in self._places.items()
        }

    # ------------------------------------------------------------------ one block of memory

    def bind(self, values: Tensor, grads: Tensor) -> None:
        """Move all parameters into one table, a row per member; gradients go into a buffer.

        Training then updates, copies or restores a member by its row, at no cost per parameter. While bound,
        gradients arrive in `grads` and not in the members' parameters.

        Parameters
        ----------
        values : Tensor of shape (T, P)
            P is the number of parameters of one member.
        grads : Tensor of shape (T · P,)
            Filled parameter by parameter, each (T, *shape): autograd wants gradients contiguous.
        """
        self._leaves = {}
        start = 0
        for name, first in self.members[0].named_parameters():
            stop = start + first.numel()
            shape = (len(self), *first.shape)
            leaf = values[:, start:stop].view(shape)
            for i, module in enumerate(self.members):
                parameter = module.get_parameter(name)
                leaf[i].copy_(parameter.data)
                parameter.data = leaf[i]
            leaf = leaf.detach().requires_grad_()
            leaf.grad = grads[start * len(self) : stop * len(self)].view(shape)
            self._leaves[name] = leaf
            start = stop

    def unbind(self) -> None:
        """Give every parameter its own memory again."""
        self._leaves = None
        for parameter in self.parameters():
            parameter.data = parameter.data.clone()

    # ------------------------------------------------------------------ the three ways

    def _run(self, x: Tensor, members: Sequence[int] | None, stacked: bool) -> Tensor:
        if self.path == "loop":
            chosen = range(len(self)) if members is None else members
            return torch.stack([self.members[i](x[k] if stacked else x) for k, i in enumerate(chosen)])
        n = len(self) if members is None else len(members)
        return run_stacked(self.members[0], self._program, self.stacked(members), n, x, stacked)


def run_stacked(
    template: nn.Module,
    program: list[tuple[str, nn.Module]] | None,
    weights: dict[str, Tensor],
    n_members: int,
    x: Tensor,
    stacked: bool,
) -> Tensor:
    """Run members whose parameters are stacked: one batched product per layer, or `vmap`.

    Parameters
    ----------
    template : Module
        One of the members, for its structure.
    program : list of (prefix, Module) or None
        From `program_of`; None: vmap.
    weights : dict of str to Tensor of shape (T, *shape)
    x : Tensor of shape (n, …), or (T, n, …) where `stacked`

    Returns
    -------
    Tensor of shape (T, n, …)
    """
    if program is not None:
        return _run_batched(program, weights, n_members, x, stacked)
    call = vmap(
        lambda w, v: functional_call(template, w, (v,)),
        in_dims=(0, 0 if stacked else None),
        randomness="different",
    )
    return call(weights, x)


def _run_batched(
    program: list[tuple[str, nn.Module]], weights: dict[str, Tensor], n_members: int, x: Tensor, stacked: bool
) -> Tensor:
    starts_linear = bool(program) and isinstance(program[0][1], nn.Linear)
    if not stacked and not (x.dim() == 2 and starts_linear):
        x, stacked = x.expand(n_members, *x.shape), True
    lead = x.shape[1:-1] if stacked else x.shape[:-1]
    if stacked and x.dim() != 3:
        x = x.reshape(n_members, -1, x.shape[-1])
    for prefix, module in program:
        if isinstance(module, nn.Linear):
            x = batched_linear(x, weights[prefix + "weight"], weights.get(prefix + "bias"))
        elif isinstance(module, nn.LayerNorm):
            x = _batched_norm(x, module, weights.get(prefix + "weight"), weights.get(prefix + "bias"))
        else:
            # The mode of a member decides (train() and eval() reach it, and not a copy of it).
            x = module(x)
    return x if len(lead) == 1 else x.reshape(n_members, *lead, x.shape[-1])


def place_of(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The submodule that holds a parameter, and its name there: a walk through all of them takes longer."""
    owner, _, leaf = name.rpartition(".")
    return module.get_submodule(owner), leaf


def signature(module: nn.Module) -> tuple[Any, ...]:
    """Structure and shapes of a module; equal ones can be stacked."""
    return repr(module), tuple((name, tuple(p.shape), p.dtype) for name, p in module.named_parameters())


def can_vmap(module: nn.Module) -> bool:
    """Whether a module can run as one of many.

    What keeps statistics cannot, nor recurrent kernels; attention can, but member by member and without its
    fast kernels.
    """
    one_by_one = any(isinstance(m, (nn.RNNBase, nn.MultiheadAttention)) for m in module.modules())
    return not one_by_one and not any(True for _ in module.buffers())


def fresh_copies(module: nn.Module, n: int) -> list[nn.Module]:
    """The module and n − 1 copies of it with weights drawn anew (where layers can: ``reset_parameters``)."""
    copies = [module]
    for _ in range(n - 1):
        other = copy.deepcopy(module)
        for layer in other.modules():
            parameters = list(layer.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                continue
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
        copies.append(other)
    return copies


def _batched_norm(x: Tensor, module: nn.LayerNorm, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = nn.functional.layer_norm(x, module.normalized_shape, eps=module.eps)
    if weight is not None:
        x = x * weight.unsqueeze(1)
    return x if bias is None else x + bias.unsqueeze(1)


def program_of(module: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """The layers of a nested Sequential in order, or None when a layer is not known to batch."""
    program = _layers_of(module, "", {})
    names = {name for name, _ in module.named_parameters()}
    needed = {f"{prefix}{name}" for prefix, layer in program or () for name, _ in layer.named_parameters()}
    return program if needed <= names else None


def _layers_of(
    module: nn.Module, prefix: str, met: dict[nn.Module, str]
) -> list[tuple[str, nn.Module]] | None:
    # A module that stands in several places (one nn.ReLU for all) has its parameters under its first name.
    prefix = met.setdefault(module, prefix)
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    if type(module) is nn.Sequential:
        out: list[tuple[str, nn.Module]] = []
        for name, child in module._modules.items():
            part = _layers_of(child, f"{prefix}{name}.", met)
            if part is None:
                return None
            out += part
        return out
    known = type(module) is nn.Linear or type(module) in POINTWISE
    norm = type(module) is nn.LayerNorm and len(module.normalized_shape) == 1
    plain = {name for name, _ in module.named_parameters()} <= {"weight", "bias"}
    return [(prefix, module)] if (known or norm) and plain else None
