"""What a linear model can take, and the error for what it can't by nature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from polytask.errors import DataError, SettingError
from polytask.linear.losses.kinds import KINDS
from polytask.linear.moments import Moments
from polytask.linear.table import LabelledTable

if TYPE_CHECKING:
    from polytask.linear.base import LinearTaskModel


@dataclass(frozen=True)
class Capabilities:
    """Each entry is empty where the model can, else the reason why it can't.

    Attributes
    ----------
    losses : tuple of str
        Losses it is fitted with.
    missing, own_rows, positive, factors, unpenalised, scale_targets, moments : str
        Missing labels; tasks with their own rows; ``positive=True``; penalty factors, and those of zero;
        ``scale_targets=True``; fitting from `Moments`.
    """

    losses: tuple[str, ...] = ("squared",)
    missing: str = ""
    own_rows: str = ""
    positive: str = ""
    factors: str = ""
    unpenalised: str = ""
    scale_targets: str = ""
    moments: str = ""

    def check_settings(self, model: LinearTaskModel) -> None:
        """Refuse settings that the model can't take."""
        name = type(model).__name__
        if model.loss not in self.losses:
            known = ", ".join(repr(loss) for loss in self.losses)
            why = f"{name} is fitted by {known}" if model.loss in KINDS else f"loss must be one of {known}"
            raise SettingError(f"{why}; got loss={model.loss!r}.")
        if model.scale_targets and model.loss != "squared":
            raise SettingError(
                f"scale_targets=True is for squared loss; with loss={model.loss!r} leave it out."
            )
        asked = {
            "positive": model.positive,
            "scale_targets": model.scale_targets,
            "factors": model.penalty_factors is not None,
        }
        for setting, wanted in asked.items():
            reason = getattr(self, setting)
            if wanted and reason:
                shown = "penalty_factors" if setting == "factors" else f"{setting}=True"
                raise SettingError(f"{name} can't take {shown}: {reason}.")
        if self.unpenalised and model.penalty_factors is not None and not np.all(model.penalty_factors):
            raise SettingError(f"{name} can't take penalty_factors of zero: {self.unpenalised}.")

    def check_data(self, model: LinearTaskModel, data: Moments | LabelledTable) -> None:
        """Refuse data that the model can't be fitted on."""
        name = type(model).__name__
        if isinstance(data, Moments):
            reason = self.moments or (
                "" if model.loss == "squared" else f"loss={model.loss!r} needs the rows"
            )
            if reason:
                raise DataError(f"{name} can't be fitted from moments: {reason}; call fit(X, y).")
            one_pattern = len(data.weight) == 1
            own_rows = False
        else:
            one_pattern, own_rows = len(data.patterns) == 1, data.own_rows and len(data.task_names) > 1
        if self.own_rows and own_rows:
            raise DataError(f"{name} can't take tasks with their own rows: {self.own_rows}.")
        if self.missing and not one_pattern:
            raise DataError(f"{name} can't take labels that are missing in some tasks only: {self.missing}.")
