"""One head for all tasks, which are told apart by what it sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from polytask.errors import SettingError


class SharedHead(nn.Module):
    """Stands where `polytask.sharing.towers.Towers` has a head per task, with the same methods.

    Parameters
    ----------
    module : Module
        From (…, width) to (…, outputs of a task).
    heads : mapping of str to int
        Task name → number of outputs, the same for all.

    Raises
    ------
    SettingError
        Naming two tasks with different numbers of outputs.
    """

    def __init__(self, module: nn.Module, heads: Mapping[str, int]) -> None:
        super().__init__()
        first, width = next(iter(heads.items()))
        for task, other in heads.items():
            if other != width:
                raise SettingError(
                    f"head='shared' needs the same number of outputs for all tasks; '{first}' has {width}, "
                    f"'{task}' has {other}. Use head='multi'."
                )
        self.module = module
        self.columns = {task: slice(i * width, (i + 1) * width) for i, task in enumerate(heads)}

    def parameters_of(self, task: str) -> Iterator[nn.Parameter]:
        """None is the task's own."""
        return iter(())

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of the tasks in `inputs`, each over its own rows (n_t, d)."""
        return {task: self.module(x) for task, x in inputs.items()}

    def forward_stacked(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """Outputs of `tasks` from an input for each, (T, n, d) → (n, width) each."""
        return dict(zip(tasks, self.module(x)))

    def table(self, x: Tensor) -> Tensor:
        """As `forward_stacked` for all tasks, side by side: (n, total outputs)."""
        return self.module(x).transpose(0, 1).flatten(1)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """The output of each row's own task: (n, d) → (n, width)."""
        return self.module(x)
