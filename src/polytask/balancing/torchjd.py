"""Weightings and aggregators of TorchJD as balancers. The only file that imports `torchjd`."""

from __future__ import annotations

import importlib
from typing import Any, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.base import Balancer
from polytask.balancing.by_gradients import GradientBalancer
from polytask.balancing.by_gramian import GramianBalancer
from polytask.errors import MissingPackageError, SettingError

#: Weightings whose matrix is a product of the gradients of two batches.
OF_TWO_BATCHES = ("MoDoWeighting", "SDMGradWeighting")
#: Weightings of a matrix that look at its number of rows only.
OF_THE_SHAPE = ("ConstantWeighting", "MeanWeighting", "RandomWeighting", "SumWeighting")


def is_torchjd(thing: Any) -> bool:
    """Whether it is a weighting or an aggregator of TorchJD, or of a class made from those; imports nothing."""
    return any(
        base.__module__.startswith("torchjd.aggregation") and base.__name__ in ("Weighting", "Aggregator")
        for base in type(thing).__mro__
    )


def from_torchjd(thing: Any, gradients: str = "parameters", update_every: int = 1) -> Balancer:
    """A balancer from a weighting or an aggregator of TorchJD.

    Weightings of the Gramian, and aggregators made of one, become a `GramianBalancer`, which never forms the
    matrix of gradients; other aggregators, and weightings of that matrix, become a `GradientBalancer`.

    Parameters
    ----------
    thing : torchjd.aggregation.Weighting or torchjd.aggregation.Aggregator
        Used as it is: one that remembers earlier steps must not be shared between runs.
    gradients, update_every
        See `GramianBalancer`; for things that need the Gramian only.

    Returns
    -------
    Balancer

    Raises
    ------
    MissingPackageError
        If TorchJD is not installed.
    SettingError
        For another object, a weighting that needs two batches, or settings that have no effect.
    """
    aggregation = _torchjd()
    weighting = getattr(thing, "gramian_weighting", thing)
    if type(weighting).__name__ in OF_TWO_BATCHES:
        raise SettingError(f"{type(thing).__name__} needs the gradients of two batches; a step has only one.")
    if isinstance(weighting, aggregation.Weighting) and not _takes_matrix(weighting, aggregation):
        return TorchJDWeights(weighting, gradients, update_every)
    if not isinstance(thing, (aggregation.Aggregator, aggregation.Weighting)):
        raise SettingError(f"{type(thing).__name__} is neither a Weighting nor an Aggregator of torchjd.")
    if gradients != "parameters" or update_every != 1:
        raise SettingError(
            f"{type(thing).__name__} needs the gradients themselves: gradients and update_every have no effect."
        )
    return TorchJDDirection(thing)


class TorchJDWeights(GramianBalancer):
    """A weighting of TorchJD that is a function of the Gramian; see `from_torchjd`."""

    name = "torchjd"

    def __init__(self, weighting: Any, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)
        self.weighting = weighting

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        # A preference is multiplied with the Gramian as it is, so both must be of one type.
        preference = getattr(self.weighting, "pref_vector", None)
        dtype = torch.float64 if preference is None else preference.dtype
        found = self.weighting(torch.from_numpy(gramian).to(dtype))
        return found.detach().to("cpu", torch.float64).numpy()

    def state_dict(self) -> dict[str, Any]:
        _check_forgetful(self.weighting)
        return super().state_dict()


class TorchJDDirection(GradientBalancer):
    """An aggregator, or a weighting of the matrix of gradients, of TorchJD; see `from_torchjd`."""

    name = "torchjd"

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: Tensor) -> Tensor:
        found = self.thing(jacobian).detach()
        if isinstance(self.thing, _torchjd().Weighting):
            return found.to(jacobian) @ jacobian
        return found

    def state_dict(self) -> dict[str, Any]:
        _check_forgetful(self.thing)
        return super().state_dict()


def _torchjd() -> Any:
    try:
        return importlib.import_module("torchjd.aggregation")
    except ImportError as error:
        raise MissingPackageError("This needs TorchJD: pip install torchjd") from error


def _takes_matrix(weighting: Any, aggregation: Any) -> bool:
    """Whether its class says it is a weighting of the matrix of gradients, and not of the Gramian.

    One that says neither and wraps another is as that one is.
    """
    if type(weighting).__name__ in OF_THE_SHAPE:
        return False
    linalg = importlib.import_module("torchjd.linalg")
    bases = [b for c in type(weighting).__mro__ for b in getattr(c, "__orig_bases__", ())]
    for base in bases:
        if get_origin(base) is aggregation.Weighting and get_args(base)[0] in (
            linalg.Matrix,
            linalg.PSDMatrix,
        ):
            return get_args(base)[0] is linalg.Matrix
    inner = getattr(weighting, "weighting", None)
    return isinstance(inner, aggregation.Weighting) and _takes_matrix(inner, aggregation)


def _check_forgetful(thing: Any) -> None:
    """TorchJD's stateful classes have a `reset` but no complete state to save."""
    if hasattr(thing, "reset"):
        raise SettingError(
            f"torchjd's {type(thing).__name__} remembers earlier steps but cannot save what it remembers, so the "
            "run could not be resumed; use polytask's own method of that name, or do not save checkpoints."
        )
