"""Gramians and weighted sums of the tasks' gradients, from autograd's graph."""

from polytask.balancing.engines.problem import Problem
from polytask.balancing.engines.ranks import Ranks, global_losses
from polytask.balancing.engines.shared import shared_parameters

__all__ = ["Problem", "Ranks", "global_losses", "shared_parameters"]
