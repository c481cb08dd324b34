"""One network for all tasks, f(x, z_t), which is told the task by its descriptor z_t.

Finn, C. (2020). CS 330: Deep multi-task and meta learning, lecture 2, Stanford University.
Dumoulin, V., Perez, E., Schucher, N., Strub, F., de Vries, H., Courville, A., Bengio, Y. (2018). Feature-wise
transformations. Distill.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.base import Rows
from polytask.sharing.blocks import Blocks, Encoder, find_blocks, running_statistics
from polytask.sharing.conditioning.descriptors import DescriptorSetting, OneHot, make_descriptor
from polytask.sharing.conditioning.shared_head import SharedHead
from polytask.sharing.conditioning.steps import Asked, Step, cut_at_flatten
from polytask.sharing.parts import Matrix, Part, parameters_of


class Conditioned(Architecture, ABC):
    """``y_t = h_t(f(x, z_t))``: a subclass says how z acts on a block.

    The weights of f are common to all tasks. Blocks before the first one that z acts on are computed once, all
    later ones for every task that is asked for, together as one batch. With a head per task (the default) this
    adds conditioning to hard sharing, which is what the heads alone are: the multi-head architecture. With one
    head for all, z alone tells tasks apart.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        Blocks from a batch of inputs to (n, width).
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    descriptor : {"one-hot", "embedding"} or mapping of str to sequence of float
        z_t. "one-hot": only that tasks differ is known; what z adds is then the task's own. "embedding": a
        learned vector of the task, on which all tasks' common weights act. A mapping: numbers that describe
        each task, as many for all, best of the order of one.
    dimension : int, optional
        Length of the learned vector; 8 where it is not given.
    at : {"all", "first", "last"} or sequence of int
        Blocks that z acts on; numbers begin with 1 next to the input.
    head : {"multi", "shared"}
        A head per task, or one for all tasks, which then need as many outputs each.
    task_hidden : sequence of int
        Widths of further layers before each output; none: linear heads.
    dropout : float
        In these further layers.
    example : Tensor of shape (n, …), optional
        A few rows of input.
    blocks : sequence of str, optional
        Names of the encoder's submodules that are its blocks, see `polytask.sharing.blocks.find_blocks`.

    Raises
    ------
    SettingError
        For a descriptor, blocks or a head that cannot be, naming the task or the block.

    Warns
    -----
    PolytaskWarning
        Where a layer keeps running statistics of what the descriptor acts on, such as batch normalisation: they
        mix the distributions of all tasks.

    Notes
    -----
    `features` holds each row's representations for the tasks that were asked for, (n, T', width); where all
    that is shared comes before the descriptor, what it acts on, (n, width); with a shared head it is None.
    """

    #: Whether z enters before a block's layer, and not after the block.
    enters: ClassVar[bool] = False

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        descriptor: DescriptorSetting = "one-hot",
        dimension: int | None = None,
        at: str | Sequence[int] = "all",
        head: str = "multi",
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        super().__init__(heads, found.widths[-1], task_hidden, dropout, found.shapes[0])
        self.descriptor = make_descriptor(descriptor, self.tasks, dimension)
        if head not in ("multi", "shared"):
            raise SettingError(f"head must be 'multi' or 'shared', got {head!r}.")
        self.shared_head = head == "shared"
        if self.shared_head:
            one: Any = SharedHead(self.towers.module(self.tasks[0]), self.heads)
            self.towers = one
        chosen = block_numbers(at, len(found))
        #: Steps of each block.
        self._blocks = [
            self.conditioned(i, found) if i in chosen else [Step(module)]
            for i, module in enumerate(found.modules, start=1)
        ]
        self._steps = [step for steps in self._blocks for step in steps]
        self.steps = nn.ModuleList(self._steps)
        self._first = next(i for i, step in enumerate(self._steps) if step.condition is not None)
        self._cut = self._common_cut()
        self._warn_of_statistics(encoder)

    @abstractmethod
    def conditioned(self, number: int, blocks: Blocks) -> list[Step]:
        """Block `number` (1 is the first one) in steps, one of them with a condition."""

    # ------------------------------------------------------------------ outputs

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        h = self._encode(x, Asked(tasks, self.descriptor(tasks)))
        return h if self.shared_head or self._cut else self.remember(h.transpose(0, 1)).transpose(0, 1)

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        wanted = self.check_rows(rows)
        if all(index is None for index in wanted.values()):
            return super().forward(x, wanted)
        self.check_input(x)
        every = torch.arange(len(x), device=x.device)
        index = [every if i is None else i for i in wanted.values()]
        sizes = [len(i) for i in index]
        of_row = torch.arange(len(sizes), device=x.device).repeat_interleave(
            torch.tensor(sizes, device=x.device)
        )
        tasks = [self.tasks.index(task) for task in wanted]
        h = self._rows(x, Asked(tasks, self.descriptor(tasks), of_row, torch.cat(index)))
        return self.towers(dict(zip(wanted, h.split(sizes))))

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        self.check_input(x)
        present, of_row = torch.unique(task_of_row, return_inverse=True)
        tasks = present.tolist()
        return self.towers.own(self._rows(x, Asked(tasks, self.descriptor(tasks), of_row)), task_of_row)

    def _rows(self, x: Tensor, asked: Asked) -> Tensor:
        h = self._encode(x, asked)
        return h if self.shared_head or self._cut else self.remember(h)

    def _encode(self, x: Tensor, asked: Asked) -> Tensor:
        h = x
        for i, step in enumerate(self._steps):
            out = step.module(h) if i <= self._first else asked.run(step.module, h)
            if i == self._first:
                out = asked.part(self.remember(out) if self._cut else out)
            if step.condition is not None:
                out = step.condition(out, asked, step.module, h.shape)
            h = out
        return h

    def _common_cut(self) -> bool:
        """Whether everything shared comes before the first place that the descriptor acts on."""
        after = [step.module for step in self._steps[self._first + 1 :]]
        conditions = [step.condition for step in self._steps if step.condition is not None]
        common = any(condition.numbers.common_parameters() for condition in conditions)
        return not (self.shared_head or common or parameters_of(after))

    # ------------------------------------------------------------------ what it is

    def conditions(self) -> list[Matrix]:
        """What tasks' descriptors do at each block: a row per task, a column per channel.

        Where descriptors are not one-hot, the first table are the descriptors themselves.
        """
        tasks = range(len(self.tasks))
        out: list[Matrix] = []
        with torch.no_grad():
            z = self.descriptor(tasks)
            if not isinstance(self.descriptor, OneHot):
                out.append(self._matrix("descriptor", "z", z))
            for number, steps in enumerate(self._blocks, start=1):
                for step in steps:
                    tables = step.condition.tables(Asked(tasks, z)) if step.condition is not None else {}
                    for name, values in tables.items():
                        out.append(self._matrix(f"{name} of layer {number}", "", values))
        return out

    def _matrix(self, name: str, letter: str, values: Tensor) -> Matrix:
        columns = tuple(f"{letter}{i + 1}" for i in range(values.shape[1]))
        return Matrix(name, self.tasks, columns, values.double().cpu().numpy())

    def parts(self) -> list[Part]:
        out = [
            Part(f"descriptor of {task}", (task,), "condition", self.descriptor.parameters_of(k))
            for k, task in enumerate(self.tasks)
            if self.descriptor.parameters_of(k)
        ]
        z = tuple(part.name for part in out)
        below: list[Part] = []
        for number, steps in enumerate(self._blocks, start=1):
            inputs = tuple(part.name for part in below)
            conditions: list[Part] = []
            if self.enters:
                conditions = self._condition_parts(number, steps, z)
                out += conditions
                inputs += tuple(part.name for part in conditions)
            parameters = parameters_of(step.module for step in steps)
            layer = Part(f"layer {number}", self.tasks, "layer", parameters, inputs, shared=True)
            out.append(layer)
            if not self.enters:
                conditions = self._condition_parts(number, steps, (layer.name, *z))
                out += conditions
            below = conditions if conditions and not self.enters else [layer]
        if self.shared_head:
            inputs = tuple(part.name for part in below)
            parameters = parameters_of(self.towers)
            return [*out, Part("head", self.tasks, "head", parameters, inputs, shared=True)]
        return out + self.head_parts(
            {task: [part.name for part in below if task in part.tasks] for task in self.tasks}
        )

    def _condition_parts(self, number: int, steps: Sequence[Step], inputs: tuple[str, ...]) -> list[Part]:
        condition = next((step.condition for step in steps if step.condition is not None), None)
        if condition is None:
            return []
        name, numbers = f"condition {number}", condition.numbers
        if any(numbers.parameters_of(k) for k in range(len(self.tasks))):
            return [
                Part(f"{name} of {task}", (task,), "condition", numbers.parameters_of(k), inputs)
                for k, task in enumerate(self.tasks)
            ]
        common = numbers.common_parameters()
        return [Part(name, self.tasks, "condition", common, inputs, shared=True)]

    def _warn_of_statistics(self, encoder: Encoder) -> None:
        modules = [encoder] if isinstance(encoder, nn.Module) else list(encoder)
        names = {id(m): name for module in modules for name, m in module.named_modules()}
        level = 3 if type(self).__init__ is Conditioned.__init__ else 4
        for step in self._steps[self._first + 1 :]:
            for inside in running_statistics(step.module):
                layer = step.module.get_submodule(inside)
                name = names[id(layer)] or type(layer).__name__
                warnings.warn(
                    f"Sharing '{self.name}': layer '{name}' of the encoder keeps running statistics of what the "
                    "task descriptor has changed; they mix the distributions of all tasks. Use GroupNorm or "
                    "LayerNorm there.",
                    PolytaskWarning,
                    stacklevel=level,
                )


def block_numbers(at: str | Sequence[int], n_blocks: int) -> list[int]:
    """Numbers of the blocks that a setting names, 1 is the first one; raises for one that is not there."""
    named = {"all": list(range(1, n_blocks + 1)), "first": [1], "last": [n_blocks]}
    if isinstance(at, str):
        if at not in named:
            raise SettingError(f"at must be 'all', 'first', 'last' or a list of block numbers, got {at!r}.")
        return named[at]
    numbers = list(at)
    if not numbers:
        raise SettingError("at names no block; without conditioning this is hard sharing, sharing='hard'.")
    for number in numbers:
        if number not in named["all"]:
            raise SettingError(f"at: no block {number!r}; the encoder has the blocks 1 to {n_blocks}.")
    return numbers


def at_the_end(number: int, blocks: Blocks) -> tuple[list[nn.Module], int, int, list[nn.Module]]:
    """A block for a condition on its output: what comes before, channels, where they are, what comes after.

    Feature maps are conditioned channel by channel, also where the block flattens them in the end.
    """
    block = blocks.modules[number - 1]
    cut = cut_at_flatten(block)
    if cut is not None:
        before, channels, after = cut
        return before, channels, 1, after
    return [block], blocks.widths[number], blocks.channels[number], []


def chain(modules: Sequence[nn.Module]) -> nn.Module:
    """Modules one after another as one."""
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def rest(modules: Sequence[nn.Module]) -> list[Step]:
    """A step without a condition, where there is anything left to do."""
    return [Step(chain(modules))] if modules else []
