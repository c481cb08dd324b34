"""Progressive layered extraction: levels of shared experts and experts of the tasks' own.

Tang, H., Liu, J., Zhao, M., Gong, X. (2020). Progressive layered extraction (PLE): a novel multi-task learning
model for personalized recommendations. RecSys. Section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from polytask.sharing.blocks import Encoder
from polytask.sharing.cards import Card
from polytask.sharing.encoders import mlp
from polytask.sharing.mixture.base import Mixture, at_least_one
from polytask.sharing.mixture.bottom import split
from polytask.sharing.mixture.lower_level import LowerLevel, Streams
from polytask.sharing.mixture.top_level import TopLevel
from polytask.sharing.modes import evaluated
from polytask.sharing.parallel import fresh_copies
from polytask.sharing.parts import Matrix, Part


class PLE(Mixture):
    """``g^{k,j}(x) = w^{k,j}(g^{k,j−1}(x)) S^{k,j}(x)`` for task k at level j, ``y^k = t^k(g^{k,N}(x))``.

    w are softmax gates as in `polytask.sharing.mixture.CGC`, which is PLE with one level. Level j's experts of
    task k take ``g^{k,j−1}``; its shared experts take the output of the **shared gate** of level j − 1, which
    sees all experts of its level, those of all tasks and the shared ones. So all tasks depend on all experts
    below the last level: these are shared, and a task has parameters of its own in the last level (experts and
    gate) and in its gate of the level before.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        From a batch of inputs to (n, width): the first expert of level 1; the others are copies with weights
        drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it where it is not given.
    levels : int
        N.
    n_shared, n_own : int
        Number of shared experts, and of experts of each task, at every level.
    upper_hidden : sequence of int
        Experts above level 1 are MLPs from `width` to `width`, with hidden layers of these widths and ReLU after
        every layer; none: one layer.
    gate_dropout, bottom
        As in `polytask.sharing.mixture.MMoE`.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers and in the experts above level 1.
    example, blocks
        As in `polytask.sharing.mixture.MMoE`.

    Raises
    ------
    SettingError
        If a number is out of range, or the encoder's blocks or its input's shape cannot be found.
    """

    name = "ple"
    card = Card(
        "Tang, Liu, Zhao & Gong 2020, Progressive layered extraction, RecSys",
        "CGC in levels, with a shared gate that sees all experts",
        "levels of experts, fewer towards the top",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        levels: int = 2,
        n_shared: int = 2,
        n_own: int = 1,
        upper_hidden: Sequence[int] = (),
        gate_dropout: float = 0.0,
        bottom: int = 0,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        at_least_one(levels=levels, n_shared=n_shared, n_own=n_own)
        cut = split(encoder, bottom, blocks=blocks, example=example, width=width)
        super().__init__(heads, cut, task_hidden, dropout)
        experts, n_inputs = cut.expert, cut.gate_width
        lower = []
        n_experts = len(self.tasks) * n_own + n_shared
        for level in range(1, levels):
            below_top = level == levels - 1
            equal = fresh_copies(experts, n_experts)
            lower.append(LowerLevel(equal, self.tasks, n_own, n_inputs, gate_dropout, below_top))
            experts, n_inputs = mlp(cut.width, (*upper_hidden, cut.width), dropout), cut.width
        self.lower = nn.ModuleList(lower)
        self.top = TopLevel(fresh_copies(experts, n_experts), self.tasks, n_own, n_inputs, gate_dropout)

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        streams = self._first_streams(x)
        lower = self._lower()
        if not lower:
            return self._one_level(streams, tasks)
        for level in lower[:-1]:
            streams = level.next_streams(streams, level.outputs(streams))
        last = lower[-1]
        outputs = last.outputs(streams)
        common = self.top.common(last.shared_stream(streams.of_shared, outputs)).transpose(0, 1)
        seen = streams.of_tasks(tasks)
        if streams.x is x:
            outputs, common = self.cut(outputs, common)
        elif streams.apart:
            seen, outputs, common = self.cut(seen.transpose(0, 1), outputs, common)
            seen = seen.transpose(0, 1)
        else:
            seen, outputs, common = self.cut(seen, outputs, common)
        below = last.task_streams(seen, outputs, tasks)
        return self.top(below, below, common, tasks, apart=True)

    def _one_level(self, streams: Streams, tasks: Sequence[int]) -> Tensor:
        below, common = streams.x, self.top.common(streams.x).transpose(0, 1)
        if self.bottom is None:
            (common,) = self.cut(common)
        else:
            below, common = self.cut(below, common)
        return self.top(below, self.seen(below), common, tasks)

    def _first_streams(self, x: Tensor) -> Streams:
        below = self.below(x)
        return Streams(below, self.seen(below), apart=False)

    def _lower(self) -> list[LowerLevel]:
        return [level for level in self.lower if isinstance(level, LowerLevel)]

    def gates(self, x: Tensor) -> list[Matrix]:
        found = []
        with evaluated(self):
            streams = self._first_streams(x)
            for number, level in enumerate(self._lower(), start=1):
                outputs = level.outputs(streams)
                found.append(level.usage(f"level {number}", streams, outputs))
                streams = level.next_streams(streams, outputs)
            below, seen, shared = streams.x, streams.seen, streams.x
            if streams.apart:
                below, seen, shared = below[:-1], seen[:-1], below[-1]
            common = self.top.common(shared).transpose(0, 1)
            name = f"level {len(found) + 1}"
            found.append(self.top.usage(name, below, seen, common, streams.apart))
        return found

    def parts(self) -> list[Part]:
        out = self.bottom_parts()
        below: tuple[str, ...] = tuple(part.name for part in out[-1:])
        below_task = dict.fromkeys(self.tasks, below)
        for number, level in enumerate(self._lower(), start=1):
            out += level.parts(f"level {number} ", below, below_task)
            below, below_task = level.outputs_of(f"level {number} ")
        prefix = f"level {len(self.lower) + 1} "
        out += self.top.parts(prefix, below, below_task)
        return out + self.head_parts(self.top.outputs_of(prefix))
