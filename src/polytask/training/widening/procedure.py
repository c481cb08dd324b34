"""Fully-adaptive feature sharing: a thin network that all tasks share becomes a tree, layer by layer.

Lu, Y., Kumar, A., Zhai, S., Cheng, Y., Javidi, T., Feris, R. (2017). Fully-adaptive feature sharing in
multi-task networks with applications in person attribute classification. CVPR, 5334–5343. No code of the authors
is public.

1. Train a thin network that all tasks share up to their heads (see `polytask.training.widening.thin`).
2. From the top layer down: measure which branches above are difficult on the same samples, choose the grouping of
   least cost, give each group a copy of the layer, and train on. Stop at a layer that is left with one branch.
3. Train the tree that was found.

Where this differs from the paper: errors are measured on validation data, where a network that fits its training
data still makes some; every stage has an optimizer of its own and goes back to its best epoch; and weights of the
thin start may be drawn at random, where there is no trained encoder.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from polytask.balancing import Balancer, get_balancer
from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.sharing import Sharing
from polytask.sharing.blocks import Encoder
from polytask.sharing.branched import Branched
from polytask.training.model import NetworkModel
from polytask.training.settings import Training
from polytask.training.widening.affinity import branch_affinity, margins, task_affinity
from polytask.training.widening.grouping import balanced_cost, best, choices
from polytask.training.widening.thin import thin_encoder

Build = Callable[[int, dict[str, int]], Sharing]
Callback = Callable[[dict[str, Any]], None]

_POOLING = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._LPPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)


@dataclass(frozen=True)
class Widening:
    """How a network widens.

    Parameters
    ----------
    unit_cost : float, optional
        L₀, the cost of a new branch in a layer that no pooling layer lies above; it doubles with each of those.
        What it is weighed against, a separation, is one minus the share of samples on which two tasks agree about
        the difficulty. None: the cost at which, for the top layer, one branch for all tasks is as good as one
        for each; see `polytask.training.widening.grouping.balanced_cost`.
    alpha : float
        α, the weight of the separation; larger values give more branches.
    epochs : int
        The most epochs before each decision.
    """

    unit_cost: float | None = None
    alpha: float = 1.0
    epochs: int = 20

    def __post_init__(self) -> None:
        for name in ("unit_cost", "alpha"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise SettingError(f"{name} must be zero or more, got {value!r}.")
        if not self.epochs > 0:
            raise SettingError(f"epochs must be positive, got {self.epochs!r}.")


class Widened(NamedTuple):
    """What `widen` returns.

    Attributes
    ----------
    model : NetworkModel
        Trained; ``model.sharing.branches()`` is the tree. Its history has the epochs of all stages, each with its
        "stage": 0 for the thin network.
    decisions : list of dict
        Plain data for each layer that was looked at, top layer first: "layer" (1 is next to the input), "above"
        (branches above, as lists of tasks), "pooling" (p_l), "unit_cost" (L₀), "task_affinity" (A) and
        "branch_affinity" (A_b) as tables in the order of the tasks and of "above", "choices" (for each number of
        groups: "groups" of tasks, "creation", "separation", "cost"), "groups" (the ones chosen), "epochs" (trained
        so far) and "parameters" (of the network afterwards).
    """

    model: NetworkModel
    decisions: list[dict[str, Any]]


def thin_start(
    encoder: Encoder | None = None,
    widths: Sequence[int] | float | None = None,
    *,
    hidden: Sequence[int] = (64, 64),
    task_hidden: Sequence[int] = (),
    dropout: float = 0.0,
    blocks: Sequence[str] | None = None,
) -> Callable[[int, Mapping[str, int]], Branched]:
    """The network that widening begins with, as a function ``(number of features, {task: outputs}) -> Branched``.

    Parameters
    ----------
    encoder : Module or sequence of Module, optional
        Takes rows of features; best a trained one. None: an MLP for tables, with `hidden`.
    widths : sequence of int, or float, optional
        Filters of each layer of the encoder to begin with, or the share of them; see `thin_encoder`. None: all.
    hidden, task_hidden, dropout
        Of an MLP; layers of each task, and their dropout.
    blocks : sequence of str, optional
        Names of the encoder's blocks.

    Raises
    ------
    SettingError
        For `widths` without an encoder whose filters could be chosen.
    """
    if encoder is None and widths is not None:
        raise SettingError(
            "widths chooses among the filters of a trained encoder: pass encoder=…, or give the thin widths of "
            "an untrained network as hidden=…."
        )

    def build(n_inputs: int, heads: Mapping[str, int]) -> Branched:
        if encoder is None:
            return Branched.for_table(
                n_inputs, heads, hidden=hidden, task_hidden=task_hidden, dropout=dropout
            )
        example = torch.zeros(2, n_inputs)
        start, names = copy.deepcopy(encoder), blocks
        if widths is not None:
            start, names = thin_encoder(encoder, widths, example=example, blocks=blocks).encoder, None
        network = Branched(
            heads, start, task_hidden=task_hidden, dropout=dropout, example=example, blocks=names
        )
        return network.to(torch.get_default_dtype())

    return build


def widen(
    build: Build,
    data: TaskData,
    validation: TaskData | None,
    *,
    widening: Widening | None = None,
    balancer: Balancer | None = None,
    settings: Training | None = None,
    scale_inputs: bool = True,
    seed: int = 0,
    callback: Callback | None = None,
) -> Widened:
    """Train a network that finds out which tasks share which layers.

    Parameters
    ----------
    build : callable
        ``(number of features, {task: outputs}) -> Branched``, all tasks together; see `thin_start`.
    data, validation : TaskData
        Over finite float matrices with the same columns and tasks. Decisions are made on the validation rows.
    widening : Widening, optional
    balancer : Balancer, optional
        Copied for every stage; None: equal weights.
    settings : Training, optional
        Of all stages. `max_epochs` is the most of all of them together, but the last one gets as many as the ones
        before a decision at least.
    scale_inputs : bool
        Standardise the features.
    seed : int
    callback : callable, optional
        Called after every epoch with its record.

    Raises
    ------
    SettingError
        Without validation data, for a network that is not `Branched` or has branches already, and for a
        checkpoint: the network changes.
    DataError
        Where tasks have no validation rows in common, see `task_affinity`.
    """
    if validation is None:
        raise SettingError("Widening decides by the errors on validation rows; there are none.")
    rules = Widening() if widening is None else widening
    run = _Run(data, validation, balancer, settings or Training(), scale_inputs, seed, callback)
    early = replace(run.settings, max_epochs=rules.epochs)
    model = run.stage(build, early)
    decisions: list[dict[str, Any]] = []
    above = [[task] for task in model.sharing.tasks]
    top = len(_checked(model.sharing).branches())
    for layer in _weighted(_checked(model.sharing)):
        if len(above) == 1:
            break
        decision = decide(model, validation, layer, above, rules, seed)
        # The cost that the top layer gives holds for the layers below.
        rules = replace(rules, unit_cost=decision["unit_cost"])
        branches = _checked(model.sharing).branches()
        # Blocks without weights up to the next one with weights part like the one below.
        branches[layer:top] = [decision["groups"]] * (top - layer)
        network = _checked(model.sharing).with_branches(branches)
        decisions.append(
            decision
            | {"epochs": len(run.history), "parameters": sum(p.numel() for p in network.parameters())}
        )
        if len(decision["groups"]) == 1:
            break
        above, top = decision["groups"], layer
        model = run.stage(network, early)
    left = max(run.settings.max_epochs - len(run.history), rules.epochs)
    model = run.stage(_checked(model.sharing), replace(run.settings, max_epochs=left))
    model.history = run.history
    return Widened(model, decisions)


def decide(
    model: NetworkModel,
    validation: TaskData,
    layer: int,
    above: Sequence[Sequence[str]],
    rules: Widening,
    seed: int = 0,
) -> dict[str, Any]:
    """Choose the groups of one layer.

    Parameters
    ----------
    model : NetworkModel
        Its network is `Branched`.
    validation : TaskData
    layer : int
        Position of the block, 0 is the one next to the input.
    above : sequence of (sequence of str)
        The branches that leave this layer, as groups of tasks.
    rules : Widening
    seed : int
        Of the clustering.

    Returns
    -------
    dict
        See `Widened`, without "epochs" and "parameters".
    """
    names = [task.name for task in model.tasks]
    found = model.predict_tasks(validation.X, validation.rows)
    affinity = task_affinity(*margins(validation.select(names), found), names)
    between = branch_affinity(affinity, [[names.index(t) for t in branch] for branch in above])
    pooling = n_pooling_above(_checked(model.sharing), layer)
    cost = rules.unit_cost
    if cost is None:
        cost = balanced_cost(between, alpha=rules.alpha, n_pooling=pooling)
    options = choices(between, unit_cost=cost, alpha=rules.alpha, n_pooling=pooling, seed=seed)
    described = [
        option.to_dict() | {"groups": [[t for k in group for t in above[k]] for group in option.groups]}
        for option in options
    ]
    return {
        "layer": layer + 1,
        "above": [list(branch) for branch in above],
        "pooling": pooling,
        "unit_cost": cost,
        "task_affinity": _rounded(affinity),
        "branch_affinity": _rounded(between),
        "choices": described,
        "groups": described[options.index(best(options))]["groups"],
    }


def n_pooling_above(network: Branched, layer: int) -> int:
    """p_l: pooling layers between the weights of block l and the heads."""
    chains = [list(network.block(i).modules()) for i in range(layer, len(network.branches()))]
    weighted = [i for i, m in enumerate(chains[0]) if any(True for _ in m.parameters(recurse=False))]
    behind = chains[0][weighted[-1] :] if weighted else []
    return sum(isinstance(m, _POOLING) for m in [*behind, *(m for chain in chains[1:] for m in chain)])


def _weighted(network: Branched) -> list[int]:
    """Layers with weights, the top one first."""
    layers = range(len(network.branches()))
    return [i for i in reversed(layers) if any(True for _ in network.block(i).parameters())]


class _Run:
    """What all stages have in common, and the epochs so far."""

    def __init__(
        self,
        data: TaskData,
        validation: TaskData,
        balancer: Balancer | None,
        settings: Training,
        scale_inputs: bool,
        seed: int,
        callback: Callback | None,
    ) -> None:
        if settings.checkpoint is not None:
            raise SettingError(
                "Widening changes the network while it trains and cannot go on from a checkpoint; leave it out."
            )
        self.data, self.validation, self.settings = data, validation, settings
        self.balancer = get_balancer("equal") if balancer is None else balancer
        self.scale_inputs, self.seed, self.callback = scale_inputs, seed, callback
        self.history: list[dict[str, Any]] = []
        self.n_stages = 0
        self.dtype: torch.dtype | None = None

    def stage(self, network: Build | Branched, settings: Training) -> NetworkModel:
        """Train on; the records of its epochs join the history."""

        def build(n_inputs: int, heads: dict[str, int]) -> Sharing:
            made = network if isinstance(network, Branched) else network(n_inputs, heads)
            if self.dtype is None:
                self.dtype = next(_checked(made, fresh=True).parameters()).dtype
            # A model predicts in double precision, and is trained in the precision it began with.
            return made.to(self.dtype)

        model = NetworkModel.fit(
            build,
            self.data,
            self.validation,
            copy.deepcopy(self.balancer),
            settings,
            scale_inputs=self.scale_inputs,
            seed=self.seed + self.n_stages,
            callback=self._record,
        )
        self.n_stages += 1
        return model

    def _record(self, record: dict[str, Any]) -> None:
        self.history.append(record | {"epoch": len(self.history), "stage": self.n_stages})
        if self.callback is not None:
            self.callback(self.history[-1])


def _checked(network: Sharing, fresh: bool = False) -> Branched:
    if not isinstance(network, Branched):
        raise SettingError(
            f"Widening needs a network with branches, not a {type(network).__name__}; see thin_start."
        )
    if fresh and any(len(groups) > 1 for groups in network.branches()):
        raise SettingError("Widening begins with a network that all tasks share; leave branches=… out.")
    return network


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[round(v, 6) for v in row] for row in values.tolist()]
