"""A tree of branches: tasks share the lower layers and part, group by group, on their way up.

Lu, Y., Kumar, A., Zhai, S., Cheng, Y., Javidi, T., Feris, R. (2017). Fully-adaptive feature sharing in
multi-task networks with applications in person attribute classification. CVPR, 5334–5343. The tree is found by
`polytask.training.widening`; here it is a setting.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import Encoder, find_blocks
from polytask.sharing.cards import Card
from polytask.sharing.parallel import Parallel, fresh_copies, program_of, run_stacked
from polytask.sharing.parts import Part, parameters_of
from polytask.sharing.rows import group_rows, ungroup_rows

#: From so many common branches on, one batched product is faster than a product for each (measured on a CPU).
BATCHED_FROM = 4

#: Groups of tasks, by their positions.
Groups = list[tuple[int, ...]]


class Branched(Architecture):
    """``y_t = h_t(f_L,g_L(t)(… f_1,g_1(t)(x)))``: block l exists once for each group of tasks g at that layer.

    Groups of a layer are unions of those of the layer after it, so the network is a tree with the tasks' heads
    as leaves. All tasks together at every layer: hard sharing. Each by itself: single-task networks. A branch
    that one task alone goes through is its own; only branches that lead to the tasks asked for are computed.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        Blocks from a batch of inputs to (n, width). The first branch of every layer has these weights, further
        ones are drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    branches : sequence of (sequence of (sequence of str)), optional
        Per block, input side first, the groups of tasks: ``[[["a", "b", "c"]], [["a", "b"], ["c"]]]``. None: all
        tasks together at every layer.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    example : Tensor of shape (n, …), optional
        A few rows of input.
    blocks : sequence of str, optional
        Names of the encoder's submodules that are its blocks, see `polytask.sharing.blocks.find_blocks`.

    Raises
    ------
    SettingError
        Where `branches` has another number of layers than the encoder has blocks, leaves out or repeats a task,
        or brings tasks together again that a lower layer has parted.

    Notes
    -----
    `features` is the output of the last block that all tasks share, where every branch above it belongs to one
    task; it is None for other trees, where shared parameters lie on several ways to the losses.
    """

    name = "branched"
    card = Card(
        "Lu et al. 2017, Fully-adaptive feature sharing in multi-task networks, CVPR",
        "y_t = h_t(f_{L,g_L(t)}(… f_{1,g_1(t)}(x)))",
        "branches of a tree, found by `widen` or given",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        branches: Sequence[Sequence[Sequence[str]]] | None = None,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        super().__init__(heads, found.widths[-1], task_hidden, dropout, found.shapes[0])
        if branches is None:
            branches = [[self.tasks]] * len(found)
        tree = check_tree(branches, self.tasks, len(found))
        self._grow([fresh_copies(module, len(groups)) for module, groups in zip(found.modules, tree)], tree)

    def _grow(self, modules: Sequence[Sequence[nn.Module]], tree: Sequence[Groups]) -> None:
        layers: list[BranchedLayer] = []
        for of_layer, groups in zip(modules, tree):
            below = layers[-1].groups if layers else [tuple(range(len(self.tasks)))]
            layers.append(BranchedLayer(of_layer, groups, below))
        self.layers = nn.ModuleList(layers)
        self._layers = layers
        lengths = [len(groups) for groups in tree]
        #: Number of layers that all tasks share.
        self.trunk = next((i for i, n in enumerate(lengths) if n > 1), len(lengths))
        if len(self.tasks) == 1:
            self.trunk = 0
        self._cut = all(len(group) == 1 for groups in tree[self.trunk :] for group in groups)
        # In this order of tasks the tasks of any branch stand side by side.
        paths = [[layer.branch_of[t] for layer in layers] for t in range(len(self.tasks))]
        self._tree_order = sorted(range(len(self.tasks)), key=lambda t: paths[t])

    # ------------------------------------------------------------------ outputs

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        outputs = Outputs()
        outputs.put([0], x)
        for i, layer in enumerate(self._layers, start=1):
            outputs = layer(outputs, layer.asked(tasks))
            if i == self.trunk and self._cut:
                self.remember(outputs.one(0))
        ends = [self._layers[-1].branch_of[t] for t in tasks]
        return outputs.one(ends[0]) if len(set(ends)) == 1 else outputs.stacked(ends)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """As in the base; a branch computes the rows of its own tasks only."""
        if self.trunk == len(self._layers):
            return super().own(x, task_of_row)
        self.check_input(x)
        rank = torch.empty(len(self.tasks), dtype=torch.int64, device=x.device)
        rank[self._tree_order] = torch.arange(len(self.tasks), device=x.device)
        order = torch.argsort(rank[task_of_row], stable=True)
        counts = torch.bincount(task_of_row, minlength=len(self.tasks)).tolist()
        h = x[order]
        for i, layer in enumerate(self._layers, start=1):
            h = layer.own_rows(h, self._tree_order, counts)
            if i == self.trunk and self._cut:
                self.remember(h)
        return self.towers.own(h, task_of_row[order])[torch.argsort(order)]

    # ------------------------------------------------------------------ the tree

    def branches(self) -> list[list[tuple[str, ...]]]:
        """Per layer, input side first, the groups of tasks that share a branch."""
        return [[tuple(self.tasks[t] for t in group) for group in layer.groups] for layer in self._layers]

    def block(self, layer: int, task: str | None = None) -> nn.Module:
        """The block of a layer that a task goes through; None: the first branch's."""
        branch = 0 if task is None else self._layers[layer].branch_of[self.tasks.index(task)]
        return self._layers[layer].module(branch)

    def split(self, layer: int, groups: Sequence[Sequence[str]]) -> Branched:
        """A new network with other groups at one layer; new branches copy the weights of the one they leave.

        Outputs do not change: branches differ only once they are trained.

        Parameters
        ----------
        layer : int
            Position of the block, 0 is the one next to the input.
        groups : sequence of (sequence of str)
            Of this layer.

        Raises
        ------
        SettingError
            For a layer that is not there, and where the result is no tree or would merge branches.
        """
        if not 0 <= layer < len(self._layers):
            raise SettingError(f"No layer {layer}: this network has the layers 0 to {len(self._layers) - 1}.")
        branches: list[Sequence[Sequence[str]]] = [*self.branches()]
        branches[layer] = groups
        return self.with_branches(branches)

    def with_branches(self, branches: Sequence[Sequence[Sequence[str]]]) -> Branched:
        """A new network with these groups at all layers; otherwise as `split`."""
        tree = check_tree(branches, self.tasks, len(self._layers))
        modules = [
            [copy.deepcopy(layer.module(layer.branch_with(group, self.tasks))) for group in groups]
            for layer, groups in zip(self._layers, tree)
        ]
        out = copy.deepcopy(self)
        out._grow(modules, tree)
        for layer in out._layers:  # what is new; blocks keep their own modes
            layer.training = self.training
        if out.settings is not None:
            plain = [[list(group) for group in groups] for groups in out.branches()]
            out.settings = {**out.settings, "branches": plain}
        return out

    def parts(self) -> list[Part]:
        out: list[Part] = []
        below: list[str] = []
        for i, layer in enumerate(self._layers, start=1):
            names = []
            for b, group in enumerate(layer.groups):
                tasks = tuple(self.tasks[t] for t in group)
                names.append(f"layer {i}" if len(layer.groups) == 1 else f"layer {i} of {', '.join(tasks)}")
                inputs = (below[layer.parents[b]],) if below else ()
                out.append(Part(names[-1], tasks, "layer", parameters_of(layer.module(b)), inputs))
            below = names
        ends = self._layers[-1].branch_of
        return out + self.head_parts({task: [below[ends[t]]] for t, task in enumerate(self.tasks)})


class Outputs:
    """What branches of one layer return; those computed together lie in one tensor."""

    def __init__(self) -> None:
        self._where: dict[int, tuple[Tensor, int | None]] = {}

    def put(self, branches: Sequence[int], h: Tensor, stacked: bool = False) -> None:
        """One branch's output (n, …), or with `stacked` several branches' (k, n, …)."""
        for i, branch in enumerate(branches):
            self._where[branch] = (h, i if stacked else None)

    def one(self, branch: int) -> Tensor:
        """Shape (n, …)."""
        h, i = self._where[branch]
        return h if i is None else h[i]

    def stacked(self, branches: Sequence[int]) -> Tensor:
        """Shape (len(branches), n, …); a copy only where they do not lie like this already."""
        places = [self._where[branch] for branch in branches]
        h, index = places[0][0], [i for _, i in places if i is not None]
        if len(index) == len(places) and all(other is h for other, _ in places):
            return h if index == list(range(len(h))) else h[index]
        return torch.stack([self.one(branch) for branch in branches])


class BranchedLayer(nn.Module):
    """The branches of one block: equal modules, each for a group of tasks.

    Branches of a single task are kept apart from common ones: their parameters belong to the task, and training
    holds them in one table.

    Parameters
    ----------
    modules : sequence of Module
        One for each group.
    groups : list of tuple of int
    below : list of tuple of int
        Groups of the layer before.
    """

    def __init__(self, modules: Sequence[nn.Module], groups: Groups, below: Groups) -> None:
        super().__init__()
        self.groups = groups
        self.branch_of = {t: b for b, group in enumerate(groups) for t in group}
        before = {t: b for b, group in enumerate(below) for t in group}
        self.parents = [before[group[0]] for group in groups]
        kinds: tuple[list[int], list[int]] = ([], [])
        self._place: list[tuple[bool, int]] = []
        for b, group in enumerate(groups):
            single = len(group) == 1
            self._place.append((single, len(kinds[single])))
            kinds[single].append(b)
        self.common = nn.ModuleList(modules[b] for b in kinds[False])
        self.single = Parallel([modules[b] for b in kinds[True]]) if kinds[True] else None
        self._program = program_of(modules[0])

    def module(self, branch: int) -> nn.Module:
        single, i = self._place[branch]
        return self.single.members[i] if single and self.single is not None else self.common[i]

    def asked(self, tasks: Sequence[int]) -> list[int]:
        """Branches that lead to these tasks."""
        return sorted({self.branch_of[t] for t in tasks})

    def branch_with(self, group: Sequence[int], names: Sequence[str]) -> int:
        """The branch that all tasks of a group go through."""
        found = {self.branch_of[t] for t in group}
        if len(found) > 1:
            raise SettingError(
                f"Tasks {', '.join(repr(names[t]) for t in group)} go through different branches already; "
                "branches can be split, not merged."
            )
        return found.pop()

    def forward(self, inputs: Outputs, branches: Sequence[int]) -> Outputs:
        """Outputs of these branches from those of the layer before."""
        out = Outputs()
        common = [b for b in branches if not self._place[b][0]]
        if len(common) < BATCHED_FROM or self._program is None:
            for b in common:
                out.put([b], self.module(b)(inputs.one(self.parents[b])))
        else:
            out.put(common, self._batched(inputs, common), stacked=True)
        single = [b for b in branches if self._place[b][0]]
        if single and self.single is not None:
            members = [self._place[b][1] for b in single]
            chosen = None if members == list(range(len(self.single))) else members
            x, stacked = self._inputs(inputs, single)
            run = self.single.forward_stacked if stacked else self.single
            out.put(single, run(x, chosen), stacked=True)
        return out

    def own_rows(self, h: Tensor, order: Sequence[int], counts: Sequence[int]) -> Tensor:
        """Each row through its own branch: (n, …) → (n, …).

        Rows are sorted by their task: first those of task ``order[0]``, and so on, ``counts[t]`` of task t.
        """
        branches = list(dict.fromkeys(self.branch_of[t] for t in order))
        sizes = [sum(counts[t] for t in self.groups[b]) for b in branches]
        rows = {b: part for b, part in zip(branches, h.split(sizes)) if len(part)}
        batched = self.single is not None and self.single.path == "batched"
        together = [b for b in rows if batched and self._place[b][0]]
        out = {b: self._alone(b, part) for b, part in rows.items() if b not in together}
        if together:
            members = [self._place[b][1] for b in together]
            out.update(zip(together, self._single_rows([rows[b] for b in together], members)))
        return torch.cat([out[b] for b in rows])

    def _alone(self, branch: int, x: Tensor) -> Tensor:
        single, i = self._place[branch]
        # Not the member itself: in training its weights may lie in the table of all of them.
        return self.single(x, [i])[0] if single and self.single is not None else self.common[i](x)

    def _single_rows(self, parts: Sequence[Tensor], members: Sequence[int]) -> Sequence[Tensor]:
        assert self.single is not None
        sizes = [len(part) for part in parts]
        x = torch.cat(list(parts))
        of_row = torch.repeat_interleave(torch.tensor(sizes, device=x.device))
        grouped, place = group_rows(x, of_row, len(sizes))
        return ungroup_rows(self.single.forward_stacked(grouped, members), place).split(sizes)

    def _inputs(self, inputs: Outputs, branches: Sequence[int]) -> tuple[Tensor, bool]:
        """What the branches take, and whether it is stacked: one input for each."""
        parents = [self.parents[b] for b in branches]
        if len(set(parents)) == 1:
            return inputs.one(parents[0]), False
        return inputs.stacked(parents), True

    def _batched(self, inputs: Outputs, common: Sequence[int]) -> Tensor:
        tables = [dict(self.module(b).named_parameters()) for b in common]
        weights = {name: torch.stack([table[name] for table in tables]) for name in tables[0]}
        x, stacked = self._inputs(inputs, common)
        return run_stacked(self.module(common[0]), self._program, weights, len(common), x, stacked)


def check_tree(
    branches: Sequence[Sequence[Sequence[str]]], tasks: Sequence[str], n_blocks: int
) -> list[Groups]:
    """Groups of task positions; raises `SettingError` where they are no tree over these tasks and blocks."""
    if isinstance(branches, str) or len(branches) != n_blocks:
        raise SettingError(
            f"branches must hold groups of tasks for each of the encoder's {n_blocks} blocks, input side first; "
            f"got {branches!r}."
        )
    position = {task: i for i, task in enumerate(tasks)}
    tree: list[Groups] = []
    for i, groups in enumerate(branches, start=1):
        names = [task for group in groups for task in ([group] if isinstance(group, str) else group)]
        if any(isinstance(group, str) or not len(group) for group in groups):
            raise SettingError(f"branches, layer {i}: each group is a list of task names, got {groups!r}.")
        for task in names:
            if task not in position:
                raise SettingError(
                    f"branches, layer {i}: no task '{task}'; the tasks are {', '.join(tasks)}."
                )
        for task in tasks:
            if names.count(task) != 1:
                raise SettingError(
                    f"branches, layer {i}: task '{task}' is in {names.count(task)} groups; it must be in one."
                )
        tree.append([tuple(sorted(position[task] for task in group)) for group in groups])
        if i > 1:
            _check_nested(tree[-2], tree[-1], tasks, i)
    return tree


def _check_nested(below: Groups, groups: Groups, tasks: Sequence[str], layer: int) -> None:
    before = {t: b for b, group in enumerate(below) for t in group}
    for group in groups:
        for t in group[1:]:
            if before[t] != before[group[0]]:
                raise SettingError(
                    f"branches, layer {layer}: tasks '{tasks[group[0]]}' and '{tasks[t]}' share a branch, but layer "
                    f"{layer - 1} has parted them; groups of a layer must be unions of those of the next one."
                )
