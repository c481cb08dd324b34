"""How are the tasks' losses and gradients combined? One method a file."""

from polytask.balancing.base import Balancer, LossBalancer, TaskLosses
from polytask.balancing.losses import Equal, Fixed
from polytask.balancing.registry import BALANCERS, get_balancer

__all__ = ["BALANCERS", "Balancer", "Equal", "Fixed", "LossBalancer", "TaskLosses", "get_balancer"]
