"""What experts are used for: mean gate weights, and warnings where a mixture is none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from polytask.errors import PolytaskWarning
from polytask.sharing.parts import Matrix

#: A mixture has collapsed where every gate puts more than this on one and the same expert.
COLLAPSED = 0.95
#: An expert is not used where every gate gives it less than this part of an equal share.
UNUSED = 0.01
#: Two experts are identical where their outputs differ by less than this part of the largest one.
IDENTICAL = 1e-5
#: So many rows are enough to compare outputs.
ROWS = 256


def warn_of_collapse(gates: Matrix, *, sparse: bool = False) -> None:
    """Warn where all tasks use one expert, or an expert is used by none.

    Parameters
    ----------
    gates : Matrix
        Gates by experts: mean weights; NaN where a gate does not see an expert.
    sparse : bool
        Whether gates leave experts out on purpose; then unused ones are no fault.
    """
    seen = ~np.isnan(gates.values)
    weights = np.where(seen, gates.values, 0.0)
    if weights.shape[1] == 1:
        return
    where = f"{gates.name}: " if gates.name else ""
    smallest = np.where(seen.all(0), weights.min(0), 0.0)
    if smallest.max() > COLLAPSED:
        _warn(
            f"{where}every gate puts more than {COLLAPSED:.0%} of its weight on {gates.columns[smallest.argmax()]}: "
            "the mixture has collapsed to one shared network. Train again with gate_dropout=0.1 or another seed."
        )
    elif not sparse:
        equal_share = 1 / seen.sum(1, keepdims=True)
        unused = (weights < UNUSED * equal_share).all(0)
        if unused.any():
            _warn(
                f"{where}no gate uses {_named(gates.columns, unused)} (less than {UNUSED:g} of an equal share). "
                "Take fewer experts, or train again with gate_dropout=0.1 or another seed."
            )


def warn_of_unsettled(gates: Matrix, k: int) -> None:
    """Warn where a task still takes more than the k experts that it is to select."""
    taken = (gates.values > 0).sum(1)
    if taken.max() > k:
        task = gates.rows[int(taken.argmax())]
        _warn(
            f"Task '{task}' takes {taken.max()} experts, where {k} are to be selected: its selectors have not settled "
            "yet. Train longer, or with a larger entropy."
        )


def warn_of_twins(outputs: Sequence[Tensor], experts: Sequence[str], where: str = "") -> None:
    """Warn of experts that give the same outputs.

    Parameters
    ----------
    outputs : sequence of E Tensor of shape (n, d)
    experts : sequence of str
    where : str
        The mixture's name.
    """
    flat = torch.stack([output[:ROWS].flatten() for output in outputs])
    size = float(flat.abs().max())
    distance = torch.cdist(flat, flat, p=torch.inf)
    twin = torch.triu(distance <= IDENTICAL * size, diagonal=1)
    if bool(twin.any()):
        i, j = twin.nonzero()[0].tolist()
        _warn(
            f"{where + ': ' if where else ''}{experts[i]} and {experts[j]} give the same outputs, so one of them "
            "is of no use. Give them other weights at the start (another seed), or train with gate_dropout=0.1."
        )


def _named(names: Sequence[str], chosen: np.ndarray) -> str:
    return ", ".join(name for name, yes in zip(names, chosen) if yes)


def _warn(message: str) -> None:
    # Shown at the line that calls `gates`.
    warnings.warn(message, PolytaskWarning, stacklevel=4)
