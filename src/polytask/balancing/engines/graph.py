"""Which parts of an autograd graph belong to one task, which to several, and where the layers are.

Autograd's graph is read after the forward pass, so nothing has to be prepared before it: a node knows its
inputs' nodes and, for layers, the tensors that it saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd.graph import GradientEdge

#: Nodes that pass a parameter on as it is, in another layout or precision.
ALIASES = ("TBackward0", "ToCopyBackward0")
LEAF = "torch::autograd::AccumulateGrad"

Edge = tuple[Any, int]
#: A node of one task, the position of one of its edges, and the task's number.
Feeder = tuple[Any, int, int]


class Graph:
    """The graph below some roots.

    Parameters
    ----------
    roots : sequence of Edge
        One per task, or a single one for all of them.
    stop : Edge, optional
        Where to stop; what is below is not looked at.

    Attributes
    ----------
    order : list of nodes
        Every node comes before those that it depends on.
    tasks : dict of node to int
        Bit t is set where root t depends on the node.
    names : dict of node to str
    leaves : dict of int to node
        ``id`` of a leaf tensor → the node that accumulates its gradient.
    """

    def __init__(self, roots: Sequence[Edge], stop: Edge | None = None) -> None:
        self.roots, self.stop = roots, stop
        stop_node = None if stop is None else stop[0]
        self.next: dict[Any, tuple[Edge, ...]] = {}
        self.order = self._sorted(stop_node)
        self.tasks = dict.fromkeys(self.order, 0)
        for t, (node, _) in enumerate(roots):
            self.tasks[node] |= 1 << t
        for node in self.order:
            bits = self.tasks[node]
            for child, _ in self.next[node]:
                self.tasks[child] |= bits
        self.names = {node: node.name() for node in self.order}
        self.leaves = {id(n.variable): n for n, name in self.names.items() if name == LEAF}

    def _sorted(self, stop: Any) -> list[Any]:
        """Reverse of a depth-first search's finishing order, without recursion."""
        finished: list[Any] = []
        known = self.next
        stack = [(root, False) for root, _ in self.roots]
        while stack:
            node, done = stack.pop()
            if done:
                finished.append(node)
            elif node not in known:
                # Asked once: wrappers of nodes are made anew unless they are kept.
                edges = () if node is stop else tuple(e for e in node.next_functions if e[0] is not None)
                known[node] = edges
                stack.append((node, True))
                stack += [(child, False) for child, _ in edges if child not in known]
        return finished[::-1]

    def tasks_of(self, leaf: Tensor) -> int:
        """Bits of the tasks that depend on a leaf."""
        return self.tasks[self.leaves[id(leaf)]]

    def cut(self) -> dict[Edge, int]:
        """The edges at which several tasks' graphs meet, and bits of the tasks that come in there."""
        found: dict[Edge, int] = {}
        for node in self.order:
            bits = self.tasks[node]
            if not is_common(bits):
                for edge in self.next[node]:
                    below = self.tasks[edge[0]]
                    if is_common(below):
                        found[edge] = found.get(edge, 0) | bits
        return found

    def feeders(self, edge: Edge) -> list[Feeder]:
        """The nodes that lead to an edge; none if one of them belongs to several tasks."""
        found = []
        for node, edges in self.next.items():
            if edge in edges:
                bits = self.tasks[node]
                if is_common(bits):
                    return []
                places = [i for i, e in enumerate(node.next_functions) if e == edge]
                found += [(node, i, bits.bit_length() - 1) for i in places]
        return found


def is_common(bits: int) -> bool:
    """Whether there are bits of several tasks."""
    return bits & (bits - 1) != 0


def edge_of(tensor: Tensor) -> Edge:
    """Where the gradient of a tensor comes in."""
    if tensor.grad_fn is None:
        # A leaf's node is reached through any operation on it.
        node = tensor.view_as(tensor).grad_fn.next_functions[0][0]  # type: ignore[union-attr]
        return node, 0
    return tensor.grad_fn, tensor.output_nr


def as_edges(edges: Iterable[Edge]) -> list[GradientEdge]:
    """In the form that autograd takes."""
    return [GradientEdge(node, index) for node, index in edges]


def parameter_of(edge: Edge) -> tuple[Tensor | None, bool]:
    """The leaf that an edge leads to through aliases only, and whether it is transposed on the way."""
    node, transposed = edge[0], False
    while node is not None and node.name() in ALIASES:
        transposed ^= node.name() == "TBackward0"
        node = node.next_functions[0][0]
    if node is None or node.name() != LEAF:
        return None, False
    return node.variable, transposed
