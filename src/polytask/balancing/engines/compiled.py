"""Networks compiled by `torch.compile`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from polytask.errors import TrainingError


@contextmanager
def explained() -> Iterator[None]:
    """Say what to do where a compiled network can be gone through once only.

    Raises
    ------
    TrainingError
        Where a balancer needs several passes through it.
    """
    try:
        yield
    except RuntimeError as error:
        if "donated buffers" not in str(error):
            raise
        raise TrainingError(
            "The network is compiled so that its graph can be gone through only once, and the tasks' gradients "
            "need a pass each. Set torch._functorch.config.donated_buffer = False before compiling; or compile "
            "encoder and heads apart and take gradients='features', which passes through each of them once."
        ) from error
