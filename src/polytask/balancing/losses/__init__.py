"""Balancers that look at losses only."""

from polytask.balancing.losses.dwa import DWA
from polytask.balancing.losses.equal import Equal
from polytask.balancing.losses.famo import FAMO
from polytask.balancing.losses.fixed import Fixed
from polytask.balancing.losses.geometric import GeometricMean
from polytask.balancing.losses.imtl_l import IMTLL
from polytask.balancing.losses.rlw import RLW
from polytask.balancing.losses.scale_invariant import ScaleInvariant
from polytask.balancing.losses.stch import STCH
from polytask.balancing.losses.uncertainty import Uncertainty
from polytask.balancing.losses.worst_case import WorstCase

__all__ = [
    "DWA",
    "FAMO",
    "IMTLL",
    "RLW",
    "STCH",
    "Equal",
    "Fixed",
    "GeometricMean",
    "ScaleInvariant",
    "Uncertainty",
    "WorstCase",
]
