"""How networks are trained: the loop, batches, losses, stopping and checkpoints."""

from polytask.training.loop import train
from polytask.training.model import NetworkModel
from polytask.training.sampling import TaskSampler
from polytask.training.settings import Training
from polytask.training.tensors import TaskTensors
from polytask.training.units import Units, find_units
from polytask.training.widening import Widened, Widening, thin_start, widen

__all__ = [
    "NetworkModel",
    "TaskSampler",
    "TaskTensors",
    "Training",
    "Units",
    "Widened",
    "Widening",
    "find_units",
    "thin_start",
    "train",
    "widen",
]
