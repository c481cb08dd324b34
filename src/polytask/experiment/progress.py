"""A progress bar over the units of a comparison."""

from __future__ import annotations

from typing import Any

from polytask.experiment.units import Unit


class ProgressBar:
    """A progress bar that is a context and a callback; silent unless asked for."""

    def __init__(self, show: bool) -> None:
        self.show = show
        self.bar: Any = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, unit: Unit, done: int, total: int) -> None:
        if not self.show:
            return
        if self.bar is None:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=total, unit="fit", desc="comparing")
        self.bar.n = done
        self.bar.set_postfix_str(f"{unit.candidate}, fold {unit.fold + 1} of repeat {unit.repeat + 1}")
