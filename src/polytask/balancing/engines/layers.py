"""A layer's share of the Gramian, from its inputs and the gradients of its outputs.

Each layer is found at its node in autograd's graph. "Ghost" layers never hold a gradient per task of their
weights; the "direct" one does, for everything that is not known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polytask.balancing.engines.graph import Edge
from polytask.balancing.engines.rows import rows_gramian, rows_weighted

Named = tuple[Tensor, ...]


class Layer(ABC):
    """The uses of one or two shared parameters in the graph.

    Attributes
    ----------
    parameters : tuple of Tensor
    edges : list of Edge
        Where the sweep has to bring the tasks' gradients.
    way : str
        For reports.
    position : int
        Of the first use in the graph, counted from the losses.
    reads_graph : bool
        Whether it looks at what its node saved, so that the sweep must not free it.
    """

    way = ""
    position = 0
    reads_graph = False

    def __init__(self, parameters: Named, edges: Sequence[Edge]) -> None:
        self.parameters, self.edges = parameters, list(edges)
        self.grads: list[Tensor] = []

    def receive(self, grads: list[Tensor]) -> None:
        """The tasks' gradients at `edges`, each of shape (T, …)."""
        self.grads = grads

    @abstractmethod
    def gramian(self) -> Tensor:
        """This layer's term of the Gramian, shape (T, T)."""

    @abstractmethod
    def per_task(self) -> list[Tensor]:
        """The tasks' gradients of each parameter, shapes (T, …)."""

    def weighted(self, weights: Tensor) -> list[Tensor]:
        """``Σ_t w_t g_t`` of each parameter."""
        return [torch.tensordot(weights.to(g.dtype), g, 1) for g in self.per_task()]


class Direct(Layer):
    """Any parameter, by its tasks' gradients as autograd gives them: memory T × its size."""

    way = "direct"

    def gramian(self) -> Tensor:
        flat = wide(self.grads[0]).flatten(1)
        return flat @ flat.T

    def per_task(self) -> list[Tensor]:
        return [self.grads[0]]


class Small(Layer):
    """Scale and shift of a normalisation: their gradients are sums, and small."""

    way = "ghost (sums)"
    reads_graph = True

    def gramian(self) -> Tensor:
        flat = [wide(g).flatten(1) for g in self.per_task()]
        return sum(f @ f.T for f in flat)  # type: ignore[return-value]


class LayerNorm(Small):
    """``y = γ x̂ + β``: ``∂γ = Σ D ∘ x̂``, ``∂β = Σ D`` over all but the normalised axes."""

    def __init__(self, parameters: Named, edges: Sequence[Edge], roles: Sequence[str]) -> None:
        super().__init__(parameters, edges)
        self.roles = roles

    def normalised(self) -> Tensor:
        node = self.edges[0][0]
        return (node._saved_input - node._saved_result1) * node._saved_result2

    def per_task(self) -> list[Tensor]:
        d = self.grads[0]
        shape = self.parameters[0].shape
        keep = (d.shape[0], -1, *shape)
        return [
            (d * self.normalised() if role == "weight" else d).reshape(keep).sum(1) for role in self.roles
        ]


class GroupNorm(LayerNorm):
    """The same over the groups of the channels."""

    def normalised(self) -> Tensor:
        node = self.edges[0][0]
        x = node._saved_input
        n, groups = x.shape[0], node._saved_group
        grouped = x.reshape(n, groups, -1)
        mean, inverse = node._saved_result1.view(n, groups, 1), node._saved_result2.view(n, groups, 1)
        return ((grouped - mean) * inverse).view(x.shape)

    def per_task(self) -> list[Tensor]:
        d = self.grads[0]
        channels = d.shape[2]
        found = (d * self.normalised() if role == "weight" else d for role in self.roles)
        return [f.reshape(len(d), d.shape[1], channels, -1).sum((1, 3)) for f in found]


class Embedding(Layer):
    """``y_b = E[i_b]``: only rows that were looked up have a gradient."""

    way = "ghost (rows looked up)"
    reads_graph = True

    def _collected(self) -> tuple[Tensor, Tensor]:
        """Rows of the table, and the tasks' gradients of them (T, rows, width)."""
        node, d = self.edges[0][0], self.grads[0]
        indices = node._saved_indices.reshape(-1)
        d = d.reshape(len(d), len(indices), -1)
        rows, where = torch.unique(indices, return_inverse=True)
        out = d.new_zeros(len(d), len(rows), d.shape[2]).index_add_(1, where, d)
        if node._saved_padding_idx >= 0:
            out = out * (rows != node._saved_padding_idx).to(out.dtype).unsqueeze(1)
        return rows, out

    def gramian(self) -> Tensor:
        flat = wide(self._collected()[1]).flatten(1)
        return flat @ flat.T

    def per_task(self) -> list[Tensor]:
        rows, found = self._collected()
        out = found.new_zeros(len(found), *self.parameters[0].shape)
        out[:, rows] = found
        return [out]

    def weighted(self, weights: Tensor) -> list[Tensor]:
        rows, found = self._collected()
        out = found.new_zeros(self.parameters[0].shape)
        out[rows] = torch.tensordot(weights.to(found.dtype), found, 1)
        return [out]


class Linear(Layer):
    """``Y = X Wᵀ + b``, used once or several times; see `polytask.balancing.engines.rows`."""

    way = "ghost"

    def __init__(
        self, parameters: Named, edges: Sequence[Edge], inputs: Sequence[Tensor], transposed: bool, bias: bool
    ) -> None:
        super().__init__(parameters, edges)
        self.inputs, self.transposed, self.bias = inputs, transposed, bias

    def rows(self) -> tuple[Tensor, Tensor]:
        """Inputs (n, d_in), and the tasks' gradients of outputs (T, n, d_out)."""
        x = [wide(a).flatten(0, -2) for a in self.inputs]
        d = [wide(g).flatten(1, -2) for g in self.grads]
        return (x[0], d[0]) if len(x) == 1 else (torch.cat(x), torch.cat(d, 1))

    def gramian(self) -> Tensor:
        x, d = self.rows()
        return rows_gramian(x, d, self.bias)

    def per_task(self) -> list[Tensor]:
        x, d = self.rows()
        weight = torch.matmul(d.transpose(1, 2), x)
        return self._shaped(weight, d.sum(1), 1)

    def weighted(self, weights: Tensor) -> list[Tensor]:
        x, d = self.rows()
        return self._shaped(*rows_weighted(x, d, weights), 0)

    def _shaped(self, weight: Tensor, bias: Tensor, lead: int) -> list[Tensor]:
        if not self.transposed:
            weight = weight.transpose(lead, lead + 1)
        return [weight, bias] if self.bias else [weight]


class Convolution(Linear):
    """A convolution is a linear layer on the patches of its input."""

    way = "ghost (patches)"
    reads_graph = True

    def __init__(self, parameters: Named, edges: Sequence[Edge], bias: bool) -> None:
        super().__init__(parameters, edges, (), True, bias)

    def rows(self) -> tuple[Tensor, Tensor]:
        (node, _), d = self.edges[0], wide(self.grads[0])
        return patches(node), d.flatten(3).transpose(2, 3).flatten(1, 2)

    def _shaped(self, weight: Tensor, bias: Tensor, lead: int) -> list[Tensor]:
        weight = weight.reshape(*weight.shape[:lead], *self.parameters[0].shape)
        return [weight, bias] if self.bias else [weight]


def patches(node: Any) -> Tensor:
    """The input of a convolution as rows (n · positions, channels · kernel), in the order of its weight."""
    x, weight = wide(node._saved_input), node._saved_weight
    stride, padding, dilation = (
        list(v) for v in (node._saved_stride, node._saved_padding, node._saved_dilation)
    )
    kernel = list(weight.shape[2:])
    if len(kernel) == 1:  # a sequence is an image of height one
        x = x.unsqueeze(2)
        kernel, stride, padding, dilation = [1, *kernel], [1, *stride], [0, *padding], [1, *dilation]
    columns = torch.nn.functional.unfold(x, *(tuple(v) for v in (kernel, dilation, padding, stride)))
    return columns.transpose(1, 2).flatten(0, 1)


def wide(x: Tensor) -> Tensor:
    """Half precision as float32: sums over many entries would lose all digits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
