"""The protocol that both statistical benchmarks of sharing follow.

Every architecture gets the same: parameters as close to a common budget as its width allows (all are counted, those
of gates and stitches too), epochs, batches, optimizer, and the same number of learning rates to choose from. The
learning rate is chosen once per architecture, by its mean validation score over all settings on data of *tuning
seeds*. The runs that count are on data of other seeds; their test rows are looked at once, after training. Data,
first weights and order of batches depend on the seed alone, so differences between architectures are paired by seed.
Intervals are Student's at 95 %, one by one.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed

from common import Result, parser
from polytask import environment
from polytask.balancing import get_balancer
from polytask.data import TaskData
from polytask.evaluation.significance import from_standard_error
from polytask.files import write_atomic
from polytask.sharing import Sharing
from polytask.sharing.cross_stitch import CrossStitch
from polytask.sharing.hard import HardSharing
from polytask.sharing.mixture import PLE, MMoE
from polytask.sharing.single import SingleTask
from polytask.training import NetworkModel, Training

#: What all architectures are compared with.
REFERENCE = "shared_bottom"

SHARINGS: dict[str, Any] = {
    "single": SingleTask,
    REFERENCE: HardSharing,
    "hard": HardSharing,
    "mmoe": MMoE,
    "ple": PLE,
    "cross_stitch": CrossStitch,
}


@dataclass(frozen=True)
class Method:
    """An architecture but for one width, with which its number of parameters is set.

    Attributes
    ----------
    hidden : tuple of int or None
        Widths of the encoder's (an expert's) layers; None: the free one.
    task_hidden : tuple of int
        Widths of a task's own layers.
    settings : dict
        Further settings of the architecture.
    """

    hidden: tuple[int | None, ...]
    task_hidden: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self, name: str, width: int, n_inputs: int, heads: Mapping[str, int]) -> Sharing:
        hidden = tuple(width if h is None else h for h in self.hidden)
        network: Sharing = SHARINGS[name].for_table(
            n_inputs, heads, hidden=hidden, task_hidden=self.task_hidden, **self.settings
        )
        return network


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes
    ----------
    settings : tuple of str
        Data that all methods see, such as a correlation or a pair of tasks.
    data : callable
        (setting, seed) → "train", "validation" and "test" as `TaskData`.
    score : callable
        (data, predictions) → score of each task.
    larger_is_better : bool
    budget : int
        Parameters of every network.
    seeds, tuning_seeds : tuple of int
        Disjoint.
    size : dict
        What else decides about the data; part of the name of the folder with finished runs.
    """

    benchmark: str
    settings: tuple[str, ...]
    methods: dict[str, Method]
    learning_rates: tuple[float, ...]
    training: Training
    data: Callable[[str, int], dict[str, TaskData]]
    score: Callable[[TaskData, dict[str, np.ndarray]], dict[str, float]]
    larger_is_better: bool
    budget: int
    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    size: dict[str, Any]


class Job(NamedTuple):
    """One training run; `tuning` runs never see test rows."""

    setting: str
    method: str
    learning_rate: float
    seed: int
    tuning: bool

    @property
    def file(self) -> str:
        kind = "tuning" if self.tuning else "run"
        return f"{kind}-{self.setting}-{self.method}-{self.learning_rate:g}-{self.seed}.json"


Record = dict[str, Any]


# ---------------------------------------------------------------------------------------------- parameters


def count(network: Sharing) -> int:
    return sum(p.numel() for p in network.parameters())


def free_width(name: str, method: Method, n_inputs: int, heads: Mapping[str, int], budget: int) -> int:
    """The width with which the number of parameters is closest to the budget."""

    def parameters(width: int) -> int:
        return count(method.build(name, width, n_inputs, heads))

    low, high = 1, 2
    while parameters(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(middle) < budget else (low, middle)
    return min((low, high), key=lambda width: abs(parameters(width) - budget))


# ---------------------------------------------------------------------------------------------- runs


def run(protocol: Protocol, job: Job) -> Record:
    """One run on one thread."""
    torch.set_num_threads(1)
    data = protocol.data(job.setting, job.seed)
    method = protocol.methods[job.method]

    def build(n_inputs: int, heads: dict[str, int]) -> Sharing:
        width = free_width(job.method, method, n_inputs, heads, protocol.budget)
        return method.build(job.method, width, n_inputs, heads)

    training = Training(**(asdict(protocol.training) | {"learning_rate": job.learning_rate}))
    model = NetworkModel.fit(
        build, data["train"], data["validation"], get_balancer("equal"), training, seed=job.seed
    )
    looked_at = ("validation",) if job.tuning else ("validation", "test")
    scores = {part: protocol.score(data[part], model.predict_tasks(data[part].X)) for part in looked_at}
    settings = model.sharing.settings or {}
    return {
        **job._asdict(),
        **scores,
        "parameters": count(model.sharing),
        "hidden": settings["hidden"],
    }


def cached(protocol: Protocol, job: Job, cache: Path | None) -> Record:
    """The record of a finished run, or a new one."""
    path = None if cache is None else cache / job.file
    if path is not None and path.exists():
        found: Record = json.loads(path.read_text())
        return found
    found = run(protocol, job)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(found))
    return found


def cache_folder(protocol: Protocol, folder: Path | None) -> Path:
    """A folder for each protocol, so that runs of another one are not taken for this one's."""
    versions = {k: v for k, v in environment.versions().items() if k in ("polytask", "torch")}
    methods = {name: asdict(method) for name, method in protocol.methods.items()}
    what = [protocol.size, methods, asdict(protocol.training), protocol.budget, versions]
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]
    return (folder or Path(tempfile.gettempdir(), f"polytask-{protocol.benchmark}")) / name


def run_all(
    result: Result, protocol: Protocol, cache: Path | None, jobs: int
) -> tuple[list[Record], list[Record]]:
    """The tuning runs, and then those with the learning rate that each method chose."""
    done = asked = 0

    def every(list_of_jobs: list[Job], what: str) -> list[Record]:
        nonlocal done, asked
        found = 0 if cache is None else sum((cache / job.file).exists() for job in list_of_jobs)
        done, asked = done + found, asked + len(list_of_jobs)
        print(
            f"{len(list_of_jobs)} {what}; {f'{found} found in {cache}' if cache else 'none is kept'}",
            flush=True,
        )
        return Parallel(n_jobs=jobs, verbose=10)(delayed(cached)(protocol, j, cache) for j in list_of_jobs)

    # Methods of one seed run one after the other, so that a busy hour does not slow down one method alone.
    tuning = every(
        [
            Job(setting, method, rate, seed, True)
            for seed, setting, rate, method in product(
                protocol.tuning_seeds, protocol.settings, protocol.learning_rates, protocol.methods
            )
        ],
        "tuning runs",
    )
    rates = {m: max(tried, key=lambda r: tried[r]) for m, tried in tuned(protocol, tuning).items()}
    records = every(
        [
            Job(setting, method, rates[method], seed, False)
            for seed, setting, method in product(protocol.seeds, protocol.settings, protocol.methods)
        ],
        "runs",
    )
    if done:
        result.content["assembled"] = (
            f"{done} of {asked} runs are of an earlier start, and not in the minutes."
        )
    return tuning, records


def tuned(protocol: Protocol, tuning: Sequence[Record]) -> dict[str, dict[float, float]]:
    """Each method's mean validation score at each learning rate, larger being better."""
    sign = 1 if protocol.larger_is_better else -1
    out: dict[str, dict[float, float]] = {}
    for method, rate in product(protocol.methods, protocol.learning_rates):
        mine = [r for r in tuning if r["method"] == method and r["learning_rate"] == rate]
        out.setdefault(method, {})[rate] = sign * float(np.mean([mean_score(r["validation"]) for r in mine]))
    return out


def at_the_edge(protocol: Protocol, tuning: Sequence[Record]) -> str:
    """Says which methods chose the smallest or largest learning rate, so that a wider grid may serve them better."""
    chosen = {m: max(tried, key=lambda r: tried[r]) for m, tried in tuned(protocol, tuning).items()}
    edge = (min(protocol.learning_rates), max(protocol.learning_rates))
    found = [f"{method} ({rate:g})" for method, rate in chosen.items() if rate in edge]
    return f"Learning rates chosen at the edge of the grid: {', '.join(found) or 'none'}."


# ---------------------------------------------------------------------------------------------- figures


def mean_score(scores: Mapping[str, float]) -> float:
    return float(np.mean(list(scores.values())))


def interval(values: np.ndarray) -> list[float]:
    """Student's interval of the mean."""
    n = len(values)
    found = from_standard_error(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(n)), n)
    return [round(found.low, 5), round(found.high, 5)]


def by_seed(records: Sequence[Record], setting: str, method: str, task: str) -> np.ndarray:
    """Test scores of a task, or of the "mean" of both, in the order of the seeds."""
    mine = [r for r in records if r["setting"] == setting and r["method"] == method]
    mine.sort(key=lambda r: r["seed"])
    return np.array([mean_score(r["test"]) if task == "mean" else r["test"][task] for r in mine])


def lead(protocol: Protocol, records: Sequence[Record], setting: str, method: str, task: str) -> np.ndarray:
    """By how much a method's score is better than the reference's, seed by seed."""
    sign = 1 if protocol.larger_is_better else -1
    difference = by_seed(records, setting, method, task) - by_seed(records, setting, REFERENCE, task)
    return sign * difference


def add_rows(result: Result, protocol: Protocol, records: Sequence[Record]) -> None:
    """A row for each setting and method: scores of the tasks and of their mean, and leads over the reference."""
    for setting, method in product(protocol.settings, protocol.methods):
        mine = [r for r in records if r["setting"] == setting and r["method"] == method]
        row: dict[str, Any] = {"lr": mine[0]["learning_rate"], "parameters": mine[0]["parameters"]}
        tasks = (*mine[0]["test"], "mean")
        for task in tasks:
            values = by_seed(records, setting, method, task)
            row |= {task: float(values.mean()), f"{task}_interval": interval(values)}
        for task in tasks:
            values = lead(protocol, records, setting, method, task)
            row |= {f"{task}_lead": float(values.mean()), f"{task}_lead_interval": interval(values)}
        result.row(method, setting, **row)


def add_common(
    result: Result, protocol: Protocol, tuning: Sequence[Record], records: Sequence[Record]
) -> None:
    """What was tried, and the goals that both benchmarks have."""
    sign = 1 if protocol.larger_is_better else -1
    result.content["tuning"] = {
        method: {f"{rate:g}": round(sign * value, 5) for rate, value in tried.items()}
        for method, tried in tuned(protocol, tuning).items()
    }
    result.content["tuning_seeds"] = list(protocol.tuning_seeds)
    result.content["hidden"] = {r["method"]: r["hidden"] for r in records}
    result.content["training"] = {
        k: getattr(protocol.training, k) for k in ("batch_size", "max_epochs", "schedule", "weight_decay")
    }
    result.content["size"] = protocol.size
    parameters = [r["parameters"] for r in records]
    off = max(abs(n - protocol.budget) for n in parameters) / protocol.budget
    # One unit more in each of eight experts can be 7 % of all parameters, so half of that.
    result.reached(
        name="parameters: largest distance from the budget", value=off, target=0.035, at_least=False
    )
    asked = len(protocol.settings) * len(protocol.methods) * len(protocol.seeds)
    result.reached(name="runs finished", value=len(records), target=asked)


# ---------------------------------------------------------------------------------------------- arguments


def options(doc: str | None) -> ArgumentParser:
    out = parser(doc or "")
    out.add_argument("--cache", type=Path, help="keeps finished runs, so that a benchmark can go on")
    out.add_argument("--seeds", type=int, help="how many, at least 2: an interval needs them")
    return out


def parse(out: ArgumentParser, full: int) -> Namespace:
    """`full` seeds, or 2 with --quick."""
    args = out.parse_args()
    args.seeds = (2 if args.quick else full) if args.seeds is None else args.seeds
    if args.seeds < 2:
        out.error("--seeds must be at least 2: an interval needs them")
    return args


def cache_of(args: Namespace, protocol: Protocol) -> Path | None:
    """None for a quick run without --cache: nothing is kept."""
    return None if args.quick and args.cache is None else cache_folder(protocol, args.cache)
