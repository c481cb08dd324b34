"""Bringing all tasks' gradients down a graph: all at once, or one task after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from polytask.balancing.engines.graph import ALIASES, LEAF, Edge, as_edges

_NAMES = """
Abs Add Addmm Alias AsStrided Baddbmm Bmm Cat Clamp ClampMin Clone Cos Div Elu Embedding Exp Expand Gelu Hardtanh
Index IndexSelect LeakyRelu Log LogSoftmax MaskedFill Mean Mm MseLoss Mul NativeLayerNorm Neg Permute Pow Relu Repeat
ReshapeAlias Rsqrt Select Sigmoid Silu Sin Slice Softmax Softplus Split Sqrt Squeeze Stack Sub Sum Tanh Threshold
Transpose Unbind UnsafeView Unsqueeze Var View Where
"""
#: Nodes that take the tasks as one more batch axis at no loss of speed; the batched product of polytask's own
#: towers and experts is among them. Convolutions are not among them: on a
#: CPU a loop is faster.
BATCHED = {LEAF, *ALIASES, "_ProductsBackward"} | {
    f"{name}Backward{i}" for name in _NAMES.split() for i in range(3)
}


def batches(names: Iterable[str]) -> str | None:
    """The first node that all tasks cannot go through at once, or None."""
    return next((name for name in names if name not in BATCHED), None)


def sweep(
    outputs: Sequence[Edge],
    gradients: Sequence[Tensor],
    inputs: Sequence[Edge],
    batched: bool,
    keep: bool = True,
) -> list[Tensor]:
    """All tasks' gradients at `inputs`, given those at `outputs`.

    Parameters
    ----------
    outputs : sequence of Edge
    gradients : sequence of Tensor of shape (T, …)
        At the outputs.
    inputs : sequence of Edge
    batched : bool
        All tasks at once.
    keep : bool
        False: the graph is freed on the way of the last task.

    Returns
    -------
    list of Tensor of shape (T, …)
        Zero where an output does not depend on an input.
    """
    if not inputs:
        return []
    tops, ends = as_edges(outputs), as_edges(inputs)
    if batched:
        found = torch.autograd.grad(
            tops, ends, gradients, retain_graph=keep, allow_unused=True, is_grads_batched=True
        )
        n_tasks = len(gradients[0])
        return [zeros_at(edge, n_tasks, gradients[0]) if g is None else g for edge, g in zip(inputs, found)]
    rows, last = [], len(gradients[0]) - 1
    for t in range(last + 1):
        outer = [g[t] for g in gradients]
        rows.append(torch.autograd.grad(tops, ends, outer, retain_graph=keep or t < last, allow_unused=True))
    return stacked(rows, inputs, gradients[0])


def stacked(rows: Sequence[Sequence[Tensor | None]], inputs: Sequence[Edge], like: Tensor) -> list[Tensor]:
    """Tasks × edges → one tensor per edge, zero for tasks that do not reach it."""
    out = []
    for edge, column in zip(inputs, zip(*rows)):
        if all(g is not None for g in column):
            out.append(torch.stack(column))  # type: ignore[arg-type]
            continue
        whole = zeros_at(edge, len(rows), next((g for g in column if g is not None), like))
        for t, g in enumerate(column):
            if g is not None:
                whole[t] = g
        out.append(whole)
    return out


def zeros_at(edge: Edge, n_tasks: int, like: Tensor) -> Tensor:
    """Zeros of shape (T, …) for the tasks' gradients at an edge."""
    return empty_at(edge, n_tasks, like).zero_()


def empty_at(edge: Edge, n_tasks: int, like: Tensor) -> Tensor:
    """Room of shape (T, …) for the tasks' gradients at an edge."""
    node, index = edge
    what = node.variable if node.name() == LEAF else node._input_metadata[index]
    return torch.empty((n_tasks, *what.shape), dtype=what.dtype, device=like.device)
