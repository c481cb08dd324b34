"""Single-task learning: T independent networks, trained together as one batched computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from polytask.sharing.base import Rows, Sharing
from polytask.sharing.encoders import mlp
from polytask.sharing.networks import TaskNetworks


class SingleTask(Sharing):
    """``y_t = h_t(f_t(x))``: nothing is shared. The baseline of every comparison.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        Network of the first task up to its head; other tasks get copies with weights drawn anew.
    width : int
        Width of the encoder's output.
    task_hidden : sequence of int
        Widths of further layers before each output.
    dropout : float
        In these further layers.
    """

    name = "single"

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
        self.networks = TaskNetworks(heads, encoder, width, task_hidden, dropout)

    @classmethod
    def for_table(
        cls,
        n_inputs: int,
        heads: Mapping[str, int],
        *,
        hidden: Sequence[int] = (64, 64),
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> SingleTask:
        """An MLP per task."""
        width = hidden[-1] if hidden else n_inputs
        out = cls(heads, mlp(n_inputs, hidden, dropout), width, task_hidden=task_hidden, dropout=dropout)
        out.settings = {"hidden": list(hidden), "task_hidden": list(task_hidden), "dropout": dropout}
        return out

    @property
    def columns(self) -> dict[str, slice]:
        return self.networks.towers.columns

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        return self.networks(x, self.check_rows(rows))

    def table(self, x: Tensor) -> Tensor:
        return self.networks.table(x)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        return self.networks.own(x, task_of_row)

    @property
    def takes_blocks(self) -> bool:
        return self.networks.takes_blocks

    def own_blocks(self, x: Tensor, tasks: Sequence[int] | None = None) -> Tensor:
        return self.networks.own_blocks(x, tasks)

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        return self.networks.parameters_of(task)
