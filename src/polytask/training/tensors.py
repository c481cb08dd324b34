"""Task data as tensors, and the losses of all tasks of a batch in vectorised form.

Two layouts. "rows": a batch is a set of rows of a wide table, with all their labels. "pairs": a batch is a
set of labels, (row, task) pairs; it serves tasks with rows of their own and batches drawn task by task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polytask.data import TaskData
from polytask.errors import DataError
from polytask.sharing import Sharing
from polytask.tasks import Task
from polytask.training.class_weights import row_weights
from polytask.training.losses import LOSS_FUNCTIONS, Loss
from polytask.training.units import Units

#: Blocks of all labels may be this many times larger than the labels; where one task has most of them the
#: labels are taken as they are.
MOST_PADDING = 8


@dataclass
class Group:
    """Tasks with the same loss and number of outputs k, computed together.

    Attributes
    ----------
    loss : callable
    positions : list of int
        Positions of the tasks in the data.
    columns : slice or Tensor
        Their columns in the table of outputs.
    offset : Tensor of shape (T_g, k) or None
        Added to the outputs.
    y, w : Tensor
        "rows": (n, T_g, k) and (n, T_g, k or 1); "pairs": not used. `w` is None where all weights are one.
    """

    loss: Loss
    positions: list[int]
    k: int
    columns: slice | Tensor
    offset: Tensor | None
    y: Tensor | None = None
    w: Tensor | None = None


class TaskTensors:
    """The tensors of a `TaskData`.

    Parameters
    ----------
    data : TaskData
    x : ndarray of shape (n_rows, p)
        The features as the network sees them.
    units : mapping of str to Units
    columns : mapping of str to slice
        `Sharing.columns`.
    layout : {"rows", "pairs"}
    device : torch.device
    dtype : torch.dtype

    Attributes
    ----------
    pair_counts : list of int
        Layout of pairs: labels of each task; they are numbered task by task.
    """

    def __init__(
        self,
        data: TaskData,
        x: np.ndarray,
        units: Mapping[str, Units],
        columns: Mapping[str, slice],
        layout: str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.tasks = tuple(data.task_names)
        self.layout = layout
        self.device, self.dtype = torch.device(device), dtype
        self.x = self._tensor(x)
        self.groups: list[Group] = []
        self._group_of_task = torch.zeros(len(self.tasks), dtype=torch.int64, device=self.device)
        self._make_groups(data, units, columns)
        order = [p for g in self.groups for p in g.positions]
        self._inverse = (
            None if order == sorted(order) else torch.tensor(np.argsort(order), device=self.device)
        )
        if layout == "rows":
            self._fill_rows(data, units)
            #: Known in advance where no label is missing, so that steps need not look.
            self.complete = all(g.w is None for g in self.groups)
        else:
            self._fill_pairs(data, units)
            self.complete = False

    @property
    def n_units(self) -> int:
        """What batches are drawn from: rows, or labels."""
        return len(self.x) if self.layout == "rows" else len(self.pair_row)

    # ------------------------------------------------------------------ losses

    def sums(
        self, sharing: Sharing, index: Tensor | None = None, active: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Per task the sum of weighted losses over a batch, and the sum of weights.

        Their ratio is the masked loss; sums of both over micro-batches or ranks give the global one.

        Parameters
        ----------
        sharing : Sharing
        index : int64 Tensor of shape (n,) or (T, B), optional
            Units of the batch; None: all. In two dimensions: blocks of labels, a row per task, see
            `polytask.training.sampling.block_batches`.
        active : bool Tensor of shape (T,), optional
            In blocks, the tasks that are asked for; the sums of the others may be left at zero.

        Returns
        -------
        numerator, denominator : Tensor of shape (T,)
        """
        if self.layout == "rows":
            x = self.x if index is None else self.x.index_select(0, index)
            return self._row_sums(sharing.table(x), index)
        if index is None and sharing.takes_blocks:
            index = self._everything
        if index is not None and index.dim() == 2:
            if sharing.takes_blocks:
                return self._block_sums(sharing, index, active)
            index = index[index >= 0]
        rows = self.pair_row if index is None else self.pair_row.index_select(0, index)
        tasks = self.pair_task if index is None else self.pair_task.index_select(0, index)
        return self._pair_sums(sharing.own(self.x.index_select(0, rows), tasks), tasks, index)

    def null_sums(self) -> tuple[Tensor, Tensor]:
        """The same for a network whose outputs are all zero: the null model."""
        if self.layout == "rows":
            width = sum(len(g.positions) * g.k for g in self.groups)
            return self._row_sums(self.x.new_zeros(len(self.x), width), None)
        return self._pair_sums(self.pair_y.new_zeros(self.pair_y.shape), self.pair_task, None)

    def _row_sums(self, table: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        numerators, denominators = [], []
        for g in self.groups:
            out = table[:, g.columns] if len(self.groups) > 1 else table
            out = out.reshape(len(table), len(g.positions), g.k)
            if g.offset is not None:
                out = out + g.offset
            loss = g.loss(out, _pick(g.y, index))
            if g.w is None:
                numerators.append(loss.sum((0, 2)))
                denominators.append(loss.new_full((len(g.positions),), float(loss.shape[0] * loss.shape[2])))
            else:
                w = _pick(g.w, index)
                numerators.append((w * loss).sum((0, 2)))
                denominators.append(w.sum((0, 2)))
        if len(self.groups) == 1:
            numerator, denominator = numerators[0], denominators[0]
        else:
            numerator, denominator = torch.cat(numerators), torch.cat(denominators)
        if self._inverse is not None:
            numerator, denominator = numerator[self._inverse], denominator[self._inverse]
        return numerator, denominator

    def _pair_sums(self, out: Tensor, tasks: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        y = _pick(self.pair_y, index)
        w = None if self.pair_w is None else _pick(self.pair_w, index)
        numerator = out.new_zeros(len(self.tasks))
        if len(self.groups) == 1:
            total, weight = _pair_group(self.groups[0], out, y, w, tasks, self.pair_offset)
            denominator = _count(tasks, weight, len(self.tasks), out)
            return numerator.index_add(0, tasks, total), denominator
        denominator = out.new_zeros(len(self.tasks))
        group_of_row = self._group_of_task[tasks]
        for i, g in enumerate(self.groups):
            rows = (group_of_row == i).nonzero().squeeze(1)
            t = tasks[rows]
            part = None if w is None else w[rows]
            total, weight = _pair_group(g, out[rows], y[rows], part, t, self.pair_offset)
            numerator = numerator.index_add(0, t, total)
            denominator = denominator + _count(t, weight, len(self.tasks), out)
        return numerator, denominator

    def _block_sums(self, sharing: Sharing, index: Tensor, active: Tensor | None) -> tuple[Tensor, Tensor]:
        chosen = None if active is None else active.nonzero().squeeze(1)
        tasks = None if chosen is None else chosen.tolist()
        if chosen is not None:
            index = index[chosen]
        label = index.clamp(min=0).flatten()
        x = self.x.index_select(0, self.pair_row.index_select(0, label))
        out = sharing.own_blocks(x.view(*index.shape, *x.shape[1:]), tasks)
        y = self.pair_y.index_select(0, label).view(*index.shape, -1)
        w = (index >= 0).to(self.dtype).unsqueeze(-1)
        if self.pair_w is not None:
            w = w * self.pair_w.index_select(0, label).view(*index.shape, -1)
        if self.pair_offset is not None:
            out = out + (self.pair_offset if chosen is None else self.pair_offset[chosen]).unsqueeze(1)
        if len(self.groups) == 1:
            numerator, denominator = _block_group(self.groups[0], out, y, w)
        else:
            group_of_row = self._group_of_task if chosen is None else self._group_of_task[chosen]
            numerator = denominator = out.new_zeros(len(index))
            for i, g in enumerate(self.groups):
                rows = (group_of_row == i).nonzero().squeeze(1)
                total, weight = _block_group(g, out[rows], y[rows], w[rows])
                numerator = numerator.index_copy(0, rows, total)
                denominator = denominator.index_copy(0, rows, weight)
        if chosen is None:
            return numerator, denominator
        zeros = numerator.new_zeros(len(self.tasks))
        return zeros.index_copy(0, chosen, numerator), zeros.index_copy(0, chosen, denominator)

    # ------------------------------------------------------------------ construction

    def _make_groups(self, data: TaskData, units: Mapping[str, Units], columns: Mapping[str, slice]) -> None:
        keys: dict[tuple[Loss, int], list[int]] = {}
        for position, task in enumerate(data.tasks):
            loss = LOSS_FUNCTIONS[str(task.kind), task.loss_name]
            keys.setdefault((loss, task.n_outputs), []).append(position)
        for i, ((loss, k), positions) in enumerate(keys.items()):
            self._group_of_task[positions] = i
            names = [self.tasks[p] for p in positions]
            index = np.concatenate([np.arange(columns[n].start, columns[n].stop) for n in names])
            offset = np.stack([units[n].offset for n in names])
            self.groups.append(
                Group(
                    loss, positions, k, self._columns(index), self._tensor(offset) if offset.any() else None
                )
            )
        if len(self.groups) == 1 and not isinstance(self.groups[0].columns, slice):
            raise DataError("The tasks of the data and the columns of the network are in a different order.")

    def _columns(self, index: np.ndarray) -> slice | Tensor:
        if (np.diff(index) == 1).all():
            return slice(int(index[0]), int(index[-1]) + 1)
        return torch.as_tensor(index, device=self.device)

    def _fill_rows(self, data: TaskData, units: Mapping[str, Units]) -> None:
        for g in self.groups:
            per_row = _one_per_row(data.tasks[g.positions[0]])
            y = np.zeros((data.n_rows, len(g.positions), g.k))
            w = np.zeros((data.n_rows, len(g.positions), 1 if per_row else g.k))
            for i, p in enumerate(g.positions):
                rows = data.rows[self.tasks[p]]
                y[rows, i], w[rows, i] = self._encoded(data, data.tasks[p], units)
            g.y = self._tensor(y)
            g.w = None if (w == 1).all() else self._tensor(w)

    def _fill_pairs(self, data: TaskData, units: Mapping[str, Units]) -> None:
        width = max(g.k for g in self.groups)
        n = self.pair_counts = [len(data.rows[name]) for name in self.tasks]
        y = np.zeros((sum(n), width))
        w = np.zeros((sum(n), width))
        offset = np.zeros((len(self.tasks), width))
        start = 0
        for p, task in enumerate(data.tasks):
            part = slice(start, start + n[p])
            targets, weights = self._encoded(data, task, units)
            y[part, : targets.shape[1]], w[part, : weights.shape[1]] = targets, weights
            offset[p, : task.n_outputs] = units[task.name].offset
            start = part.stop
        rows = np.concatenate([data.rows[name] for name in self.tasks])
        self.pair_row = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
        self.pair_task = torch.as_tensor(
            np.repeat(np.arange(len(n)), n), dtype=torch.int64, device=self.device
        )
        self.pair_y = self._tensor(y)
        self.pair_w = None if width == 1 and (w == 1).all() else self._tensor(w)
        self.pair_offset = self._tensor(offset) if offset.any() else None
        self._everything = (
            _all_blocks(n).to(self.device) if len(n) * max(n) <= MOST_PADDING * sum(n) else None
        )

    def _encoded(
        self, data: TaskData, task: Task, units: Mapping[str, Units]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Targets (n_t, k) without NaN, and weights (n_t, k or 1), zero where a label is missing."""
        y = data.targets[task.name]
        if task.kind == "multiclass" and y.ndim == 1:
            y = np.eye(task.n_outputs)[y]
        y = y.reshape(len(y), task.n_outputs)
        w = row_weights(task, y) * data.weights[task.name][:, None]
        return np.nan_to_num(units[task.name].encode(y)), w

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=self.dtype, device=self.device)


def _one_per_row(task: Task) -> bool:
    return task.kind == "multiclass"


def _pick(values: Tensor | None, index: Tensor | None) -> Tensor:
    assert values is not None
    return values if index is None else values.index_select(0, index)


def _pair_group(
    g: Group, out: Tensor, y: Tensor, w: Tensor | None, tasks: Tensor, offset: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    out, y = out[:, : g.k], y[:, : g.k]
    if offset is not None:
        out = out + offset[tasks][:, : g.k]
    loss = g.loss(out, y)
    if w is None:
        return loss.sum(1), None
    w = w[:, : loss.shape[1]]
    return (w * loss).sum(1), w.sum(1)


def _block_group(g: Group, out: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of losses and of weights over blocks (T_g, B, width) of the tasks of a group."""
    loss = g.loss(out[..., : g.k], y[..., : g.k])
    w = w[..., : loss.shape[-1]]
    return (w * loss).sum((1, 2)), w.sum((1, 2))


def _all_blocks(counts: list[int]) -> Tensor:
    """All labels as one block per task (T, largest count), -1 for places that are left."""
    n = torch.tensor(counts)
    slot = torch.arange(max(counts))
    return torch.where(slot < n[:, None], (torch.cumsum(n, 0) - n)[:, None] + slot, -1)


def _count(tasks: Tensor, weight: Tensor | None, n_tasks: int, like: Tensor) -> Tensor:
    if weight is None:
        return torch.bincount(tasks, minlength=n_tasks).to(like.dtype)
    return like.new_zeros(n_tasks).index_add_(0, tasks, weight)
