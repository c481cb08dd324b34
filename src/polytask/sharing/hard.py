"""Hard parameter sharing: one encoder for all tasks, a head per task.

Caruana, R. (1997). Multitask learning. Machine Learning 28, 41–75.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from polytask.sharing.base import Rows, Sharing, take
from polytask.sharing.encoders import head, mlp
from polytask.sharing.towers import Towers


class HardSharing(Sharing):
    """``y_t = h_t(f(x))``: encoder f is shared, head h_t is the task's own.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        From a batch of inputs to (n, width).
    width : int
        Width of the encoder's output.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    """

    name = "hard"

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int,
        *,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(heads)
        self.encoder = encoder
        self.towers = Towers({t: head(width, task_hidden, k, dropout) for t, k in heads.items()}, heads)

    @classmethod
    def for_table(
        cls,
        n_inputs: int,
        heads: Mapping[str, int],
        *,
        hidden: Sequence[int] = (64, 64),
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> HardSharing:
        """An MLP: ``len(hidden)`` shared layers, ``len(task_hidden)`` task-specific ones, outputs."""
        width = hidden[-1] if hidden else n_inputs
        out = cls(heads, mlp(n_inputs, hidden, dropout), width, task_hidden=task_hidden, dropout=dropout)
        out.settings = {"hidden": list(hidden), "task_hidden": list(task_hidden), "dropout": dropout}
        return out

    @property
    def columns(self) -> dict[str, slice]:
        return self.towers.columns

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        wanted = self.check_rows(rows)
        h = self.remember(self.encoder(x))
        return self.towers({task: take(h, index) for task, index in wanted.items()})

    def table(self, x: Tensor) -> Tensor:
        h = self.remember(self.encoder(x))
        return self.towers.table(h)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        h = self.remember(self.encoder(x))
        return self.towers.own(h, task_of_row)

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return self.encoder.parameters()

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        return self.towers.parameters_of(task)
