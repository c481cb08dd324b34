"""Where a step's graph is cut: above it every task has its own graph, below it they share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from polytask.balancing.engines.graph import LEAF, Edge, Feeder, Graph, edge_of, is_common
from polytask.balancing.task_losses import TaskLosses
from polytask.errors import SettingError


@dataclass
class Plan:
    """How to bring the tasks' gradients down.

    Attributes
    ----------
    graph : Graph
        From the losses, or down to the cut where that is given by the features.
    below : Graph
        What is shared; where layers are looked for.
    cut : list of Edge
        Where the tasks' own graphs end. Empty: there is no such place, and every task goes its whole way alone.
    touched : list of list of int
        Positions in `cut` that each task reaches; a single entry where all losses have one root.
    feeders : list of Feeder
        Where the cut is one place that only single tasks' nodes lead to: these. One backward pass then tells
        the gradients of all tasks apart.
    own : list of Tensor
        Parameters above the cut that are not shared.
    rest : list of Tensor
        Parameters that are not shared and are reached otherwise.
    alone : list of Tensor
        Shared parameters that tasks reach above the cut, each on its own way.
    """

    graph: Graph
    below: Graph
    cut: list[Edge]
    touched: list[list[int]]
    feeders: list[Feeder] = field(default_factory=list)
    own: list[Tensor] = field(default_factory=list)
    rest: list[Tensor] = field(default_factory=list)
    alone: list[Tensor] = field(default_factory=list)


def make_plan(losses: TaskLosses, shared: dict[Tensor, str], features: Tensor | None, must: bool) -> Plan:
    """Read the graph.

    Parameters
    ----------
    losses : TaskLosses
    shared : dict of Tensor to str
    features : Tensor, optional
        The shared representation.
    must : bool
        Whether everything shared has to go through `features`.
    """
    roots = _roots(losses)
    ids = {id(p) for p in shared}
    if features is not None and features.requires_grad:
        plan = _cut_at(roots, edge_of(features), ids, losses.tasks, shared if must else None)
        if plan is not None:
            return plan
    elif must:
        raise SettingError("The features do not depend on any parameter: they need no gradient.")
    graph = Graph(roots)
    if len(roots) > 1:
        met = graph.cut()
        if met and not _nested(graph, met, len(roots)):
            return _cut_where_they_meet(graph, met, len(roots), ids)
        return Plan(graph, graph, [], [], rest=_others(graph, ids))
    return Plan(graph, graph, list(roots), [[0]], rest=_others(graph, ids))


def _roots(losses: TaskLosses) -> list[Edge]:
    losses.check_attached()
    if losses.scalars is None:
        return [edge_of(losses.vector)]
    return [edge_of(loss) for loss in losses.scalars]


def _cut_at(
    roots: Sequence[Edge], stop: Edge, ids: set[int], tasks: Sequence[str], shared: dict[Tensor, str] | None
) -> Plan | None:
    """A plan that goes through the features; None where shared parameters are reached past them."""
    above, below = Graph(roots, stop), Graph([stop])
    missing = [t for i, t in enumerate(tasks) if len(roots) > 1 and not above.tasks.get(stop[0], 0) >> i & 1]
    past = [leaf for leaf in above.leaves if leaf in ids]
    # A node can have several outputs (all of a compiled network is one node): it counts which one is gone through.
    entered = {*roots, *(edge for edges in above.next.values() for edge in edges)}
    other_outputs = {edge for edge in entered if edge[0] is stop[0]} != {stop}
    if shared is not None:
        if stop[0] not in above.tasks or missing or other_outputs:
            which = f"The loss of task '{missing[0]}' does" if missing else "The losses do"
            raise SettingError(
                f"{which} not depend on the features: give the ones that heads were applied to."
            )
        if past:
            name = next(name for p, name in shared.items() if id(p) == past[0])
            raise SettingError(
                f"The shared parameter {name} is used past the features; take gradients='parameters' instead."
            )
    if past or missing or other_outputs or stop[0] not in above.tasks:
        return None
    both = set(above.leaves) & set(below.leaves)
    own = [n.variable for key, n in above.leaves.items() if key not in both]
    rest = [n.variable for key, n in (above.leaves | below.leaves).items() if key in both]
    rest += [n.variable for key, n in below.leaves.items() if key not in ids and key not in both]
    feeders = above.feeders(stop) if len(roots) > 1 else []
    return Plan(above, below, [stop], [[0]] * len(roots), feeders, own=own, rest=rest)


def _cut_where_they_meet(graph: Graph, met: dict[Edge, int], n_tasks: int, ids: set[int]) -> Plan:
    # Tasks that meet at a parameter have their own ways to it: nothing is left to bring down.
    at_leaves = {edge[0] for edge in met if graph.names[edge[0]] == LEAF}
    places = {edge: bits for edge, bits in met.items() if edge[0] not in at_leaves}
    cut = list(places)
    touched = [[i for i, bits in enumerate(places.values()) if bits >> t & 1] for t in range(n_tasks)]
    plan = Plan(graph, graph, cut, touched, graph.feeders(cut[0]) if len(cut) == 1 else [])
    for key, node in graph.leaves.items():
        bits = graph.tasks[node]
        single = not is_common(bits)
        if key in ids:
            if single or node in at_leaves:
                plan.alone.append(node.variable)
        else:
            (plan.own if single else plan.rest).append(node.variable)
    return plan


def _others(graph: Graph, ids: set[int]) -> list[Tensor]:
    return [node.variable for key, node in graph.leaves.items() if key not in ids]


def _nested(graph: Graph, met: dict[Edge, int], n_tasks: int) -> bool:
    """Whether a task reaches one place of the cut through another: its gradient there would count twice."""
    places: dict[object, int] = {}
    for i, (node, _) in enumerate(met):
        places[node] = places.get(node, 0) | 1 << i
    above = dict.fromkeys(graph.order, 0)  # bits of the places that a node is below of
    for node in graph.order:
        bits = above[node] | places.get(node, 0)
        for child, _ in graph.next[node]:
            above[child] |= bits
    for t in range(n_tasks):
        mine = [(i, edge) for i, (edge, tasks) in enumerate(met.items()) if tasks >> t & 1]
        bits = sum(1 << i for i, _ in mine)
        if any(above[node] & bits for _, (node, _) in mine):
            return True
    # A leaf that is met at the cut and used below it as well has parts of its gradient on both ways.
    return any(graph.names[node] == LEAF and above[node] for node, _ in met)


def check_reached(
    plan: Plan, losses: TaskLosses, shared: dict[Tensor, str], strict: bool, some: bool
) -> None:
    """Whether losses and shared parameters hang together.

    Parameters
    ----------
    strict : bool
        Every shared parameter has to be reached by a loss.
    some : bool
        At least one has to be, and by every task.
    """
    if "CheckpointFunctionBackward" in {*plan.graph.names.values(), *plan.below.names.values()}:
        raise SettingError(
            "The network has a checkpoint with use_reentrant=True, which hides its parameters from the graph: "
            "call torch.utils.checkpoint.checkpoint(…, use_reentrant=False)."
        )
    reached = set(plan.graph.leaves) | set(plan.below.leaves)
    missing = [name for p, name in shared.items() if id(p) not in reached]
    if some and missing and len(missing) == len(shared):
        raise SettingError(
            "None of the losses depends on the shared parameters: are these the encoder's, and was its output "
            "detached?"
        )
    if missing and strict:
        raise SettingError(
            f"No loss depends on {len(missing)} of {len(shared)} shared parameters: {', '.join(missing[:5])}. "
            "Leave them out of shared=…, or pass unreached='ignore'."
        )
    if some and shared and losses.scalars is not None and len(losses) > 1 and plan.graph is plan.below:
        bits = 0
        for p in shared:
            if id(p) in plan.graph.leaves:
                bits |= plan.graph.tasks_of(p)
        loose = [task for t, task in enumerate(losses.tasks) if not bits >> t & 1]
        if loose:
            raise SettingError(
                f"The loss of task '{loose[0]}' does not depend on the shared parameters: it is not attached to "
                "the encoder. Train it apart, or use the encoder's output."
            )
