"""What a balancer does, step by step: losses, weights, gradient norms, cosines and conflicts as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.distributed as dist

from polytask.balancing.engines.problem import Problem
from polytask.balancing.engines.ranks import Ranks
from polytask.balancing.engines.totals import total_gramian
from polytask.errors import SettingError
from polytask.files import write_atomic

if TYPE_CHECKING:
    from polytask.balancing.base import Balancer, Part

Record = dict[str, Any]


class Watch:
    """Keeps a record of every `every`-th step of the balancer that it is set on.

    In any loop::

        balancer.watch = Watch(every=10, gradients=True)
        ...  # balancer.backward(losses, shared=encoder), as always
        polytask.reporting.write_balancing(balancer.watch.records, "balancing.html")

    The gradients of the step are the same with and without it, bit for bit.

    Parameters
    ----------
    every : int
        Steps between two records; the first step is recorded.
    path : path, optional
        A file that gets each record as a line of JSON. It holds one run: the first record of a new run
        replaces what was there, so models that are trained at the same time need files of their own. Of
        several ranks the first one writes.
    gradients : bool
        False: norms and cosines of the gradients that the balancer itself looks at, in steps in which it does
        (with `update_every`, `every` should be a multiple of it); none for balancers that look at losses only.
        True: those of the shared parameters, computed apart in the recorded steps, for any balancer;
        ``backward(losses, shared=…)`` is then needed. Such a step costs about as much as one of MGDA.

    Attributes
    ----------
    step : int
        Steps seen so far.
    records : list of dict
        Of plain data. "step", counted from 0; "tasks", those in the batch; "losses" and "weights" in their
        order (weights are None for a direction that is no weighted sum of the tasks' gradients);
        "gradients_of", what the gradients were taken with respect to, or None where there are none; "norms" of
        the tasks' gradients; "cosines" of their pairs, in the order of ``itertools.combinations(tasks, 2)``,
        None where a gradient is zero; "conflicts", the share of these pairs whose cosine is negative. Numbers
        that are NaN or infinite are None.

    Raises
    ------
    SettingError
        If `every` is not a whole number of at least 1; from ``backward`` without shared parameters, where
        their gradients are wanted.
    """

    def __init__(self, every: int = 10, path: str | Path | None = None, gradients: bool = False) -> None:
        if isinstance(every, bool) or not (isinstance(every, int) and every >= 1):
            raise SettingError(f"Watch: every must be a whole number of at least 1, got {every!r}.")
        self.every, self.path, self.gradients = every, path, gradients
        self.step = 0
        self.records: list[Record] = []
        self._gramian: np.ndarray | None = None

    @property
    def due(self) -> bool:
        """Whether the step that comes, or is under way, will be recorded."""
        return self.step % self.every == 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the record: plain data.

        Records are part of it only where they are not in a file, which long runs with many tasks should have.
        """
        return {"step": self.step, "records": list(self.records) if self.path is None else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called; records of later steps, also those in the file, are dropped."""
        self.step = state["step"]
        kept = self._read() if state["records"] is None else state["records"]
        self.records = [record for record in kept if record["step"] < self.step]
        if self.path is not None and self.records:
            write_atomic(self.path, "".join(map(_line, self.records)))

    # ------------------------------------------------------------------ what a balancer calls

    def before(self, tasks: Sequence[str], parts: Sequence[Part], ranks: Ranks | None) -> None:
        """While the losses' graph is still there."""
        self._gramian = None
        if self.gradients and self.due:
            self._gramian = _gramian_of_parameters(tasks, parts, ranks)

    def after(self, balancer: Balancer) -> None:
        """When the step's gradients have been added."""
        if self.due:
            gramian, of = self._gramian, "shared parameters"
            if gramian is None:
                gramian, of = balancer.last["gramian"], _own_gradients_of(balancer)
            self.records.append(_record(self.step, balancer.last, gramian, of))
            self._write(balancer)
        self.step += 1

    # ------------------------------------------------------------------ the file

    def _write(self, balancer: Balancer) -> None:
        ranks = balancer._ranks
        if self.path is None or (ranks is not None and dist.get_rank(ranks.group) != 0):
            return
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if len(self.records) == 1 else "a", encoding="utf-8") as file:
            file.write(_line(self.records[-1]))

    def _read(self) -> list[Record]:
        records: list[Record] = []
        if self.path is not None and Path(self.path).exists():
            for line in Path(self.path).read_text(encoding="utf-8").splitlines():
                try:
                    records.append(json.loads(line))
                except ValueError:  # a run was killed in the middle of its last line
                    break
        return records


def _gramian_of_parameters(tasks: Sequence[str], parts: Sequence[Part], ranks: Ranks | None) -> np.ndarray:
    """The Gramian of the shared parameters' gradients over all micro-batches and ranks, shape (T, T)."""
    shared = parts[0].shared
    if not shared:
        raise SettingError(
            "Watch(gradients=True) needs shared parameters that are trained: backward(losses, shared=…); in a "
            "network that shares none there are no gradients to compare."
        )
    problems = [
        Problem(part.losses, part.shared, part.features, scale=part.scale, strict=part.strict)
        for part in parts
        if part.losses is not None
    ]
    for problem in problems:
        problem.sweep()
    return total_gramian(tasks, problems, shared, False, ranks).cpu().numpy()


def _own_gradients_of(balancer: Balancer) -> str:
    """What the balancer itself takes gradients with respect to."""
    if balancer.needs == "features":
        return "shared representation"
    return "last shared layer" if getattr(balancer, "layer", "all") == "last" else "shared parameters"


def _record(step: int, last: dict[str, Any], gramian: np.ndarray | None, of: str) -> Record:
    weights = last["weights"]
    record = {
        "step": step,
        "tasks": list(last["tasks"]),
        "losses": _plain(last["losses"]),
        "weights": None if weights is None else _plain(weights),
    }
    if gramian is None:
        return record | {"gradients_of": None, "norms": None, "cosines": None, "conflicts": None}
    norms = np.sqrt(np.diagonal(gramian))
    pairs = np.triu_indices(len(norms), 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # gradients that are zero or not finite
        cosines = (gramian / np.outer(norms, norms))[pairs]
    known = cosines[np.isfinite(cosines)]
    return record | {
        "gradients_of": of,
        "norms": _plain(norms),
        "cosines": _plain(np.clip(cosines, -1.0, 1.0)),
        "conflicts": float((known < 0).mean()) if len(known) else None,
    }


def _plain(values: Any) -> list[float | None]:
    """Numbers of an array or a tensor, on whatever device."""
    return [v if math.isfinite(v) else None for v in map(float, values.tolist())]


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
