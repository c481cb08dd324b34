"""A digest of everything that decides the results of a plan, the same in every process."""

from __future__ import annotations

import hashlib
import inspect
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from polytask import __version__
from polytask.data import frames

if TYPE_CHECKING:
    from polytask.data import TaskData
    from polytask.experiment.units import Plan


def fingerprint(plan: Plan) -> str:
    """Changes with anything that changes a result: data, folds, candidates, settings, preprocessing."""
    head = [__version__, plan.seed, plan.inner_folds, plan.settings, plan.preprocessing, plan.candidates]
    digest = hashlib.sha256(describe(head).encode())
    _add_data(digest, plan.data)
    for _, test in (fold for repeat in plan.folds for fold in repeat):
        digest.update(test.tobytes())
    return digest.hexdigest()[:32]


def describe(value: Any) -> str:
    """What an object is made of, in text without addresses, so that equal objects of two runs read alike."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{describe(k)}:{describe(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(describe(v) for v in value) + "]"
    if isinstance(value, np.ndarray):
        return f"array{value.shape}{value.tolist()!r}"
    if isinstance(value, partial):
        return f"partial({describe([value.func, value.args, value.keywords])})"
    if isinstance(value, type) or inspect.isroutine(value):
        return _describe_code(value)
    if hasattr(value, "get_params"):
        return f"{_describe_code(type(value))}{describe(value.get_params(deep=False))}"
    if type(value).__repr__ is object.__repr__:
        return f"{_describe_code(type(value))}{describe(getattr(value, '__dict__', {}))}"
    return repr(value)


def _describe_code(value: Any) -> str:
    """A class or function by its name; the code of a function too, since two lambdas share one name."""
    code = getattr(value, "__code__", None)
    text = (
        ""
        if code is None
        else f"{code.co_code.hex()}{[c for c in code.co_consts if not inspect.iscode(c)]!r}"
    )
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}{text}"


def _add_data(digest: Any, data: TaskData) -> None:
    for name in data.feature_names:
        digest.update(name.encode() + b"\0")
    digest.update(_table_bytes(data.X))
    for values in (data.groups, data.time):
        digest.update(b"none" if values is None else _array_bytes(values))
    for task in data.tasks:
        digest.update(json.dumps(task.to_dict(), default=str).encode())
        for part in (data.rows, data.targets, data.weights):
            digest.update(np.ascontiguousarray(part[task.name]).tobytes())


def _table_bytes(X: Any) -> bytes:
    if hasattr(X, "indptr"):
        return X.data.tobytes() + X.indices.tobytes() + X.indptr.tobytes()
    if frames.is_frame(X):
        return b"".join(_array_bytes(frames.column(X, name)) for name in frames.column_names(X) or ())
    return _array_bytes(X)


def _array_bytes(values: np.ndarray) -> bytes:
    return (
        repr(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).tobytes()
    )
