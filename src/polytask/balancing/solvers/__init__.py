"""The T×T problems behind the gradient methods: exact, warm-started, compiled. One problem a file.

Each takes a Gramian as a float64 array and gives float64 weights; `on_device` has the same problems in torch
operations that never wait for the host. These modules know numbers only, no tasks.
"""

from polytask.balancing.solvers.cagrad import cagrad
from polytask.balancing.solvers.dual_cone import dual_cone
from polytask.balancing.solvers.fair import fair
from polytask.balancing.solvers.min_norm import min_norm
from polytask.balancing.solvers.nash import nash

__all__ = ["cagrad", "dual_cone", "fair", "min_norm", "nash"]
