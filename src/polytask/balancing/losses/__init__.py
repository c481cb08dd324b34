"""Balancers that look at losses only."""

from polytask.balancing.losses.equal import Equal
from polytask.balancing.losses.fixed import Fixed

__all__ = ["Equal", "Fixed"]
