"""Fully-adaptive sharing: does a network that widens find out which tasks belong together?

    POLYTASK_DATA=... python benchmarks/sharing_images.py [--quick] [--json FILE] [--cache DIR] [--jobs 1] [--seeds 4]

Images of two MNIST digits (see multimnist.py), averaged to 18×18 pixels, and seven binary tasks: whether the left
digit is even, above four, has a loop (0, 6, 8, 9); the same of the right digit; and one task that has nothing to do
with digits: whether a faint grating laid over the image, with a direction, phase and wavelength of its own, is
horizontal. A tree that is right keeps the left digit's tasks together, the right one's, and the grating apart.

Compared are, with the same network of two convolutions and two layers:
  widened             starts from half the filters of "hard, wide" and widens (Lu et al. 2017)
  widened, shuffled   the tree of the same shape with the tasks shuffled, from the same start, trained in one go: is it
                      the grouping? (The found tree trained in one go came to .9486 with seeds 0 to 3 and rate .01.)
  hard, thin          half the filters; "from filters": from the start of "widened"
  hard, as large      as many parameters as the tree that was found
  hard, wide          all filters
  single, thin        a thin network for each task
All have the same images and patience, two learning rates, of which the one with the best mean validation loss is
taken for each system, and 48 epochs at most, of which "widened" has six before each decision. Systems that start
from filters owe them to "hard, wide", whose epochs are not counted. Test images are looked at once. Differences to
"widened" are paired by seed; intervals are Student's at 95 %, one by one.

Runs that are finished are kept in the folder of `--cache` (default: one among the system's temporary files). Delete
the folder after a change of the method.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor, nn

from common import Result, parser
from multimnist import digits, interval, name_of, overlay, source
from polytask import Task, TaskData, environment
from polytask.balancing import get_balancer
from polytask.files import write_atomic
from polytask.reporting import sharing_svg
from polytask.sharing import HardSharing, Sharing, SingleTask
from polytask.training import NetworkModel, Training
from polytask.training.widening import Widening, thin_start, widen

SIDE = 18
WIDE = (16, 32, 64, 64)
SHARE = 0.5
GRATING = 0.5
TASKS = ("left even", "left above 4", "left loop", "right even", "right above 4", "right loop", "grating")
SYSTEMS = (
    "widened",
    "widened, shuffled",
    "hard, thin",
    "hard, thin, from filters",
    "hard, as large",
    "hard, wide",
    "single, thin",
)
LEARNING_RATES = (3e-3, 1e-2)


@dataclass(frozen=True)
class Size:
    """Images of each part, and the most epochs, in all and before each decision."""

    train: int = 4_000
    validation: int = 2_000
    test: int = 5_000
    epochs: int = 48
    patience: int = 8
    early: int = 6


QUICK = Size(train=512, validation=300, test=300, epochs=6, early=1)


# ---------------------------------------------------------------------------------------------- data


def grating(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Waves (n, 18, 18) with amplitude one, and whether they are horizontal: constant along rows."""
    horizontal = rng.integers(2, size=n)
    place = np.arange(SIDE)
    wave = np.sin(2 * np.pi * (place / rng.uniform(3, 9, size=(n, 1)) + rng.uniform(size=(n, 1))))
    along = np.where(horizontal[:, None, None] == 1, wave[:, :, None], wave[:, None, :])
    return np.broadcast_to(along, (n, SIDE, SIDE)), horizontal


def attributes(y: np.ndarray) -> dict[str, np.ndarray]:
    """Labels of the six tasks on digits, from the labels (n, 2) of left and right."""
    out = {}
    for side, digit in zip(("left", "right"), y.T):
        out[f"{side} even"] = digit % 2 == 0
        out[f"{side} above 4"] = digit > 4
        out[f"{side} loop"] = np.isin(digit, (0, 6, 8, 9))
    return out


def make_data(where: str, seed: int, size: Size) -> dict[str, TaskData]:
    rng = np.random.default_rng(seed)
    tasks = [Task(name, "binary", classes=(0, 1)) for name in TASKS]
    out = {}
    for part, (x, y) in digits(where, rng).items():
        n = getattr(size, part)
        images = overlay(x, y, n, rng)
        small = nn.functional.avg_pool2d(images.x, 2).squeeze(1).numpy()
        wave, horizontal = grating(n, rng)
        labels = attributes(images.y.numpy()) | {"grating": horizontal}
        rows = (small + GRATING * wave).reshape(n, -1).astype(np.float32)
        out[part] = TaskData.from_wide(rows, {t: labels[t].astype(float) for t in TASKS}, tasks)
    return out


# ---------------------------------------------------------------------------------------------- networks


def encoder(widths: Sequence[int]) -> nn.Sequential:
    a, b, c, d = widths
    return nn.Sequential(
        *(nn.Unflatten(1, (1, SIDE, SIDE)), nn.Conv2d(1, a, 3), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(a, b, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(9 * b, c), nn.ReLU()),
        *(nn.Linear(c, d), nn.ReLU()),
    )


def example() -> Tensor:
    return torch.zeros(2, SIDE * SIDE)


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def scaled(share: float) -> list[int]:
    return [max(1, round(share * width)) for width in WIDE]


def as_large(n: int) -> list[int]:
    """Widths in the proportions of `WIDE` whose network is closest to n parameters."""
    heads = dict.fromkeys(TASKS, 1)
    shares = np.arange(0.25, 4, 1 / 64)
    sizes = [n_parameters(HardSharing(heads, encoder(scaled(s)), scaled(s)[-1])) for s in shares]
    return scaled(float(shares[np.argmin(np.abs(np.array(sizes) - n))]))


def shuffled(branches: Sequence[Sequence[Sequence[str]]], seed: int) -> list[list[list[str]]]:
    """The same tree with other tasks on its leaves."""
    names = dict(zip(TASKS, np.random.default_rng(seed).permutation(TASKS).tolist()))
    return [[[names[t] for t in group] for group in groups] for groups in branches]


# ---------------------------------------------------------------------------------------------- training


def run(lr: float, seed: int, size: Size, where: str) -> dict[str, Any]:
    """All systems with one learning rate and one seed, on one thread."""
    torch.set_num_threads(1)
    data = make_data(where, seed, size)
    settings = Training(learning_rate=lr, max_epochs=size.epochs, patience=size.patience, device="cpu")

    def fit(build: Callable[[int, dict[str, int]], Sharing]) -> NetworkModel:
        balancer = get_balancer("equal")
        return NetworkModel.fit(
            build, data["train"], data["validation"], balancer, settings, scale_inputs=False, seed=seed
        )

    def hard(widths: Sequence[int]) -> NetworkModel:
        return fit(lambda _, heads: HardSharing(heads, encoder(widths), widths[-1], example=example()))

    out: dict[str, Any] = {}

    def note(system: str, model: NetworkModel, **more: Any) -> NetworkModel:
        out[system] = measured(model, data["test"]) | more
        print(f"seed {seed}  rate {lr:g}  {system:26s} {out[system]['mean']:.4f}", flush=True)
        return model

    wide = note("hard, wide", hard(WIDE))
    start = thin_start(wide.sharing.encoder, SHARE)
    rules = Widening(epochs=size.early)
    found = widen(
        start,
        data["train"],
        data["validation"],
        widening=rules,
        settings=settings,
        scale_inputs=False,
        seed=seed,
    )
    branches = found.model.sharing.branches()
    described = found.model.sharing.describe()
    note("widened", found.model, branches=branches, decisions=found.decisions, describe=described)
    other = shuffled(branches, seed)
    note("widened, shuffled", fit(lambda n, heads: start(n, heads).with_branches(other)), branches=other)
    note("hard, thin, from filters", fit(start))
    note("hard, thin", hard(scaled(SHARE)))
    note("hard, as large", hard(as_large(out["widened"]["parameters"])))
    thin = scaled(SHARE)
    single = fit(lambda _, heads: SingleTask(heads, encoder(thin), thin[-1], example=example()))
    note("single, thin", single)
    return out


def measured(model: NetworkModel, test: TaskData) -> dict[str, Any]:
    """Accuracies by task, size, and what the best epoch's validation loss was."""
    found = model.predict_tasks(test.X)
    accuracy = {t: float(np.mean((found[t] >= 0.5) == (test.targets[t] == 1))) for t in TASKS}
    return {
        "accuracy": accuracy,
        "mean": float(np.mean(list(accuracy.values()))),
        "validation": min(record["objective"] for record in model.history),
        "parameters": n_parameters(model.sharing),
        "flops": model.sharing.flops(example=example().to(next(model.sharing.parameters()).dtype)),
        "epochs": len(model.history),
    }


def cached(cache: Path | None, lr: float, seed: int, size: Size, where: str) -> dict[str, Any]:
    path = None if cache is None else record_of(cache, lr, seed)
    if path is not None and path.exists():
        found = json.loads(path.read_text())
    else:
        found = json.loads(json.dumps(run(lr, seed, size, where)))
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(found))
    return {"lr": lr, "seed": seed, "systems": found}


def record_of(cache: Path, lr: float, seed: int) -> Path:
    return cache / f"{lr:g}-{seed}.json"


# ---------------------------------------------------------------------------------------------- figures


def chosen(records: Sequence[Mapping[str, Any]], system: str) -> tuple[float, list[dict[str, Any]]]:
    """The learning rate with the best mean validation loss, and the system's runs with it by seed."""

    def loss(lr: float) -> float:
        return float(np.mean([r["systems"][system]["validation"] for r in records if r["lr"] == lr]))

    best = min(LEARNING_RATES, key=loss)
    own = sorted((r for r in records if r["lr"] == best), key=lambda r: r["seed"])
    return best, [r["systems"][system] for r in own]


def figures(records: Sequence[Mapping[str, Any]], system: str) -> dict[str, Any]:
    lr, runs = chosen(records, system)
    means = [r["mean"] for r in runs]
    difference = [r["mean"] - m for r, m in zip(chosen(records, "widened")[1], means)]
    row: dict[str, Any] = {
        "lr": lr,
        "parameters": int(np.mean([r["parameters"] for r in runs])),
        "flops": int(np.mean([r["flops"] for r in runs])),
        "mean": float(np.mean(means)),
        "mean_interval": interval(means),
        "widened_minus_this": float(np.mean(difference)),
        "widened_minus_this_interval": interval(difference),
    }
    return row | {task: float(np.mean([r["accuracy"][task] for r in runs])) for task in TASKS}


def is_pure(branches: Sequence[Sequence[Sequence[str]]]) -> bool:
    """Whether no branch of the top layer has tasks on both digits, or the grating with one on a digit."""
    return all(len({task.split()[0] for task in group}) == 1 for group in branches[-1])


def note(records: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    trees = [r["branches"] for r in chosen(records, "widened")[1]]
    top, below = (sum(is_pure(tree[:n]) for tree in trees) for n in (4, 3))
    exact = sum(is_pure(tree) and len(tree[-1]) == 3 for tree in trees)
    text = (
        f"Of {len(trees)} trees, {top} have no branch in the top layer that mixes the left digit, the right digit and "
        f"the grating ({exact} exactly these three groups, the others part further), and {below} none in the layer "
        "below. Mean test accuracy of the widened network minus that of "
    )
    parts = []
    for row in rows:
        if row["system"] == "widened":
            continue
        low, high = row["widened_minus_this_interval"]
        clear = "not settled" if low <= 0 <= high else "settled"
        parts.append(f"{row['system']}: {row['widened_minus_this']:+.4f} [{low:+.4f}, {high:+.4f}], {clear}")
    by_name = {row["system"]: row for row in rows}
    share = by_name["widened"]["flops"] / by_name["hard, as large"]["flops"]
    return f"{text}{'; '.join(parts)}. It takes {share:.0%} of the operations of hard sharing as large."


# ---------------------------------------------------------------------------------------------- main


def cache_folder(args: Namespace, size: Size, where: str) -> Path | None:
    """A folder of its own for each protocol, so that runs of another one are not taken for this one's."""
    if args.quick and args.cache is None:
        return None
    versions = {k: v for k, v in environment.versions().items() if k in ("polytask", "torch")}
    rules = [asdict(size), asdict(Widening()), name_of(where), WIDE, SHARE, GRATING, TASKS, versions]
    name = hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:8]
    return (args.cache or Path(tempfile.gettempdir(), "polytask-sharing-images")) / name


def arguments() -> Namespace:
    options = parser(__doc__)
    options.add_argument("--cache", type=Path, help="keeps finished runs, so that a benchmark can go on")
    options.add_argument("--seeds", type=int, help="how many, at least 2; default: 4, or 2 with --quick")
    args = options.parse_args()
    args.seeds = (2 if args.quick else 4) if args.seeds is None else args.seeds
    if args.seeds < 2:
        options.error("--seeds must be at least 2: an interval needs them")
    return args


def main() -> None:
    args = arguments()
    size = QUICK if args.quick else Size()
    where = source()
    cache = cache_folder(args, size, where)
    jobs = [(lr, seed) for seed in range(args.seeds) for lr in LEARNING_RATES]
    done = 0 if cache is None else sum(record_of(cache, *job).exists() for job in jobs)
    print(
        f"{len(jobs)} runs of {len(SYSTEMS)} systems; {f'{done} found in {cache}' if cache else 'none is kept'}"
    )
    result = Result("sharing_images", list(range(args.seeds)))
    result.content |= {"size": asdict(size), "widening": asdict(Widening()), "digits": name_of(where)}
    if done:
        result.content["assembled"] = (
            f"{done} of {len(jobs)} runs are of an earlier start, and not in the seconds."
        )
    records = Parallel(n_jobs=args.jobs)(delayed(cached)(cache, *job, size, where) for job in jobs)
    setting = f"{name_of(where)}, {size.train:,} images, {len(TASKS)} tasks"
    for system in SYSTEMS:
        result.row(system, setting, **figures(records, system))
    lr, trees = chosen(records, "widened")
    result.content["trees"] = [
        {"seed": seed, "lr": lr, **{key: tree[key] for key in ("branches", "decisions", "describe")}}
        for seed, tree in enumerate(trees)
    ]
    quick = "A quick run trains for a few steps: its accuracies mean nothing."
    result.content["note"] = quick if args.quick else note(records, result.content["rows"])
    print(result.content["note"])
    result.reached(name="runs finished", value=len(records), target=len(jobs))
    result.write(args.json)
    if args.json:
        write_atomic(Path(args.json).with_suffix(".svg"), sharing_svg(trees[0]["describe"]))


if __name__ == "__main__":
    main()
