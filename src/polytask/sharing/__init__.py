"""Which parameters are shared? One architecture a file."""

from polytask.sharing.base import Sharing
from polytask.sharing.encoders import mlp
from polytask.sharing.hard import HardSharing
from polytask.sharing.parallel import Parallel, ParallelLinear, parallel
from polytask.sharing.registry import SHARINGS, get_sharing
from polytask.sharing.single import SingleTask
from polytask.sharing.soft import SoftSharing

__all__ = [
    "SHARINGS",
    "HardSharing",
    "Parallel",
    "ParallelLinear",
    "Sharing",
    "SingleTask",
    "SoftSharing",
    "get_sharing",
    "mlp",
    "parallel",
]
