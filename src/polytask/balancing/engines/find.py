"""Finding the layers that shared parameters belong to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polytask.balancing.engines.graph import ALIASES, LEAF, Graph, parameter_of
from polytask.balancing.engines.layers import (
    Convolution,
    Direct,
    Embedding,
    GroupNorm,
    Layer,
    LayerNorm,
    Linear,
)
from polytask.balancing.engines.rows import ghost_is_cheaper
from polytask.errors import SettingError


@dataclass
class Use:
    """A node that uses shared parameters in a known way."""

    node: Any
    weight: Tensor | None
    bias: Tensor | None
    transposed: bool = True

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return tuple(p for p in (self.weight, self.bias) if p is not None)


#: Node → positions of weight and bias among what it depends on.
POSITIONS = {
    "AddmmBackward0": (2, 0),
    "MmBackward0": (1, None),
    "ConvolutionBackward0": (1, 2),
    "NativeLayerNormBackward0": (1, 2),
    "NativeGroupNormBackward0": (1, 2),
    "EmbeddingBackward0": (0, None),
}


def find_layers(
    graph: Graph,
    shared: Iterable[Tensor],
    n_tasks: int,
    ghost: bool = True,
    batched: bool = True,
    alone: Iterable[Tensor] = (),
) -> list[Layer]:
    """The layers of the shared parameters that the graph reaches, those next to the losses first.

    Parameters
    ----------
    graph : Graph
    shared : iterable of Tensor
    n_tasks : int
    ghost : bool
        False: take all parameters directly.
    batched : bool
        Whether all tasks go down at once. Where they go one by one, autograd forms gradients of weights on its
        way as fast as a layer could, and a layer is worth it only where it takes fewer multiplications.
    alone : iterable of Tensor
        Parameters whose gradients are known already: direct layers without edges.
    """
    reached = {id(p): p for p in shared if id(p) in graph.leaves}
    position, count = _uses(graph)
    found: list[Layer] = []
    done: set[int] = set()
    known = {id(p) for p in alone}
    rest = {key: p for key, p in reached.items() if key not in known}
    for uses in _candidates(graph, rest) if ghost else ():
        # A hook on a parameter is for its gradient, which only the direct way forms.
        complete = all(count[id(p)] == len(uses) and not p._backward_hooks for p in uses[0].parameters)
        layer = _layer(uses, n_tasks, batched) if complete else None
        if layer is not None:
            layer.position = min(position[node] for node, _ in layer.edges)
            found.append(layer)
            done.update(id(p) for p in layer.parameters)
    for key, p in reached.items():
        if key not in done:
            layer = Direct((p,), [] if key in known else [(graph.leaves[key], 0)])
            layer.position = position[graph.leaves[key]]
            found.append(layer)
    return sorted(found, key=lambda layer: layer.position)


def _uses(graph: Graph) -> tuple[dict[Any, int], Counter[int]]:
    """Positions of nodes (a leaf's is that of its first user), and how often each leaf is used."""
    position = {node: i for i, node in enumerate(graph.order)}
    first: dict[Any, int] = {}
    count: Counter[int] = Counter()
    for node in graph.order:
        if graph.names[node] in ALIASES:
            continue
        for edge in graph.next[node]:
            if graph.names[edge[0]] in ALIASES or graph.names[edge[0]] == LEAF:
                leaf, _ = parameter_of(edge)
                if leaf is not None:
                    count[id(leaf)] += 1
                    first.setdefault(graph.leaves[id(leaf)], position[node])
    return position | first, count


def _candidates(graph: Graph, reached: dict[int, Tensor]) -> list[list[Use]]:
    """Uses of the same parameters in the same way, together."""
    groups: dict[tuple[Any, ...], list[Use]] = {}
    for node in graph.order:
        name = graph.names[node]
        if name not in POSITIONS:
            continue
        at_weight, at_bias = POSITIONS[name]
        edges = node.next_functions
        weight, transposed = parameter_of(edges[at_weight])
        bias = None if at_bias is None else parameter_of(edges[at_bias])[0]
        use = Use(
            node,
            weight if weight is not None and id(weight) in reached else None,
            bias if bias is not None and id(bias) in reached else None,
            transposed,
        )
        if use.parameters:
            groups.setdefault((name, id(use.weight), id(use.bias), transposed), []).append(use)
    return list(groups.values())


def _layer(uses: list[Use], n_tasks: int, batched: bool) -> Layer | None:
    """The layer of these uses, or None where its parameters are better taken directly."""
    use, name = uses[0], uses[0].node.name()
    edges = [(u.node, 0) for u in uses]
    if name in ("AddmmBackward0", "MmBackward0"):
        return _linear(uses, name) if batched or _rows_pay(uses, n_tasks) else None
    if len(uses) > 1:
        return None
    if name == "ConvolutionBackward0":
        fits = use.weight is not None and _is_plain(use.node) and _patches_pay(use.node, n_tasks)
        return Convolution(use.parameters, edges, use.bias is not None) if fits else None
    if name == "EmbeddingBackward0":
        if use.node._saved_sparse:
            raise SettingError(
                "An embedding with sparse=True has sparse gradients, which cannot be compared between tasks: make "
                "it sparse=False, or take gradients='features'."
            )
        return None if use.node._saved_scale_grad_by_freq else Embedding(use.parameters, edges)
    if not batched:
        return None
    roles = [role for role, p in (("weight", use.weight), ("bias", use.bias)) if p is not None]
    kind = LayerNorm if name == "NativeLayerNormBackward0" else GroupNorm
    return kind(use.parameters, edges, roles)


def _linear(uses: list[Use], name: str) -> Layer | None:
    use = uses[0]
    width = uses[0].node._input_metadata[0].shape[-1]
    if use.weight is None or (use.bias is not None and use.bias.shape != (width,)):
        return None
    if name == "AddmmBackward0":
        if any(u.node._saved_alpha != 1 or u.node._saved_beta != 1 for u in uses):
            return None
        inputs = [u.node._saved_mat1 for u in uses]
    else:
        inputs = [u.node._saved_self for u in uses]
    return Linear(use.parameters, [(u.node, 0) for u in uses], inputs, use.transposed, use.bias is not None)


def _is_plain(node: Any) -> bool:
    return not node._saved_transposed and node._saved_groups == 1 and node._saved_weight.dim() <= 4


def _patches_pay(node: Any, n_tasks: int) -> bool:
    shape, weight = node._input_metadata[0].shape, node._saved_weight
    rows = shape[0] * math.prod(shape[2:])
    return ghost_is_cheaper(rows, weight[0].numel(), weight.shape[0], n_tasks)


def _rows_pay(uses: list[Use], n_tasks: int) -> bool:
    shapes = [use.node._input_metadata[0].shape for use in uses]
    weight = uses[0].weight
    rows = sum(math.prod(shape[:-1]) for shape in shapes)
    d_out = shapes[0][-1]
    return weight is not None and ghost_is_cheaper(rows, weight.numel() // d_out, d_out, n_tasks)
