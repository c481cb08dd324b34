"""polytask: does learning several tasks together help, which ones, with what model?

Public names are imported on first use, so that `import polytask` stays light and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Task": "tasks",
    "TaskData": "data",
    "PolytaskError": "errors",
    "compare": "comparison",
    "Comparison": "comparison",
    "load": "persistence",
    "MultiTaskNetwork": "networks",
    "MultiTaskRegressor": "networks",
    "MultiTaskClassifier": "networks",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604 (the names are the keys above)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"polytask.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'polytask' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
