"""Hierarchical sharing: tasks are supervised at different depths of one encoder.

Søgaard, A., Goldberg, Y. (2016). Deep multi-task learning with low level tasks supervised at lower layers. ACL.
Hashimoto, K., Xiong, C., Tsuruoka, Y., Socher, R. (2017). A joint many-task model: growing a neural network for
multiple NLP tasks. EMNLP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.base import Rows, take
from polytask.sharing.blocks import Encoder, find_blocks
from polytask.sharing.cards import Card
from polytask.sharing.parts import Part, parameters_of


class Hierarchical(Architecture):
    """``y_t = h_t(h^(l_t)(x))``, with ``h^(l) = f_l(h^(l−1))``: task t is predicted from block l_t.

    Tasks at lower blocks shape what those above them build on. A block that leads to one task alone is its own.
    A sequence or feature map at an inner block is averaged over its positions before the head. Only blocks up
    to the deepest one that is asked for are computed. What Hashimoto et al. add, shortcuts from the words and
    from the labels of lower tasks and successive regularisation, is left out.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        Blocks from a batch of inputs to (n, width).
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    levels : mapping of str to int, optional
        The block of each task, from 1 (next to the input) to L; one task at least is at block L. None: tasks
        are spread evenly in their order, task k of T at block ⌈kL/T⌉, so that the last one is at the top.
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
        Where `levels` leaves out a task, names one that is not known or a block that is not there, or leaves
        blocks at the top without a task.

    Notes
    -----
    `features` is the output of the deepest block that several tasks use, where no task is predicted from a
    lower one; else None, as no single layer is passed on all ways from shared parameters to losses.
    """

    name = "hierarchical"
    card = Card(
        "Søgaard & Goldberg 2016, Deep multi-task learning with low level tasks supervised at lower layers, ACL",
        "y_t = h_t(f_{l_t}(… f_1(x)))",
        "blocks up to the lower task's level",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        levels: Mapping[str, int] | None = None,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        of_task = check_levels(levels, tuple(heads), len(found))
        widths = [found.widths[of_task[task]] for task in heads]
        super().__init__(heads, widths, task_hidden, dropout, found.shapes[0])
        self.levels = of_task
        self.layers = nn.ModuleList(found.modules)
        self._channels = found.channels
        deepest_first = sorted(of_task.values(), reverse=True)
        shared = deepest_first[1] if len(of_task) > 1 else 0
        self._cut = shared if shared == deepest_first[-1] else 0

    # ------------------------------------------------------------------ outputs

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        """As in the base, for tasks whose representations are equally wide."""
        names = [self.tasks[t] for t in tasks]
        reached = dict(self._reached(x, {self.levels[name] for name in names}))
        return torch.stack([reached[self.levels[name]] for name in names])

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        wanted = self.check_rows(rows)
        self.check_input(x)
        out: dict[str, Tensor] = {}
        for level, h in self._reached(x, {self.levels[task] for task in wanted}):
            here = {task: index for task, index in wanted.items() if self.levels[task] == level}
            if all(index is None for index in here.values()):
                out.update(self.towers.forward_stacked(h, list(here)))
            else:
                out.update(self.towers({task: take(h, index) for task, index in here.items()}))
        return {task: out[task] for task in wanted}

    def table(self, x: Tensor) -> Tensor:
        outputs = self(x)
        return torch.cat([outputs[task] for task in self.columns], 1)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """As in the base; a row goes no further than to its own task's block."""
        self.check_input(x)
        levels = torch.tensor([self.levels[task] for task in self.tasks], device=x.device)[task_of_row]
        # Sorted by level, the rows that go on are the last ones.
        order = torch.argsort(levels, stable=True)
        counts = torch.bincount(levels).tolist()
        tasks = task_of_row[order].split([n for n in counts if n])
        h = x.index_select(0, order)
        outputs: list[Tensor] = []
        for level, n in enumerate(counts[1:], start=1):
            h = self._layer(level, h)
            if n:
                out = self.towers.own(self._pooled(h[:n], level), tasks[len(outputs)])
                outputs.append(self._padded(out))
                h = h[n:]
        return torch.cat(outputs).index_select(0, torch.argsort(order))

    def _reached(self, x: Tensor, levels: set[int]) -> Iterator[tuple[int, Tensor]]:
        """What heads at these levels see, (n, width) each."""
        h = x
        for level in range(1, max(levels, default=0) + 1):
            h = self._layer(level, h)
            if level in levels:
                yield level, self._pooled(h, level)

    def _layer(self, level: int, h: Tensor) -> Tensor:
        h = self.layers[level - 1](h)
        return self.remember(h) if level == self._cut else h

    def _pooled(self, h: Tensor, level: int) -> Tensor:
        if h.dim() == 2:
            return h
        return h.flatten(2).mean(2) if self._channels[level] == 1 else h.flatten(1, -2).mean(1)

    def _padded(self, out: Tensor) -> Tensor:
        return nn.functional.pad(out, (0, max(self.heads.values()) - out.shape[1]))

    # ------------------------------------------------------------------ what it is

    def parts(self) -> list[Part]:
        out: list[Part] = []
        for number, layer in enumerate(self.layers, start=1):
            tasks = tuple(task for task in self.tasks if self.levels[task] >= number)
            below = tuple(part.name for part in out[-1:])
            out.append(Part(f"layer {number}", tasks, "layer", parameters_of(layer), below))
        return out + self.head_parts({task: [f"layer {level}"] for task, level in self.levels.items()})


def check_levels(levels: Mapping[str, int] | None, tasks: Sequence[str], n_blocks: int) -> dict[str, int]:
    """The block of each task; raises `SettingError` where it cannot be."""
    if levels is None:
        return {task: -(-k * n_blocks // len(tasks)) for k, task in enumerate(tasks, start=1)}
    for task in levels:
        if task not in tasks:
            raise SettingError(f"levels: no task '{task}'; the tasks are {', '.join(tasks)}.")
    for task in tasks:
        if task not in levels:
            raise SettingError(f"levels: task '{task}' has no block; give it one of 1 to {n_blocks}.")
        if levels[task] not in range(1, n_blocks + 1):
            raise SettingError(
                f"levels: task '{task}' is at block {levels[task]!r}; the encoder has the blocks 1 to {n_blocks}."
            )
    top = max(levels[task] for task in tasks)
    if top < n_blocks:
        raise SettingError(
            f"levels: no task is at block {n_blocks}, the last one, so blocks above {top} would never learn. Put "
            "a task there, or leave these blocks out of the encoder."
        )
    return {task: levels[task] for task in tasks}
