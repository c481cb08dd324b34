"""What a balanced training step costs, relative to the plain step on the summed loss.

    python benchmarks/balancing_step.py [--quick] [--json FILE] [--only engines methods memory]

One process, one thread; forward pass and gradients, no optimizer. Every system is timed next to a plain step,
in turn, and the median of the pairs' ratios is reported.

- engines: the tasks' gradients and their weighted sum, with weights that cost nothing: polytask at the
  parameters and at the features, torchjd's `mtl_backward` and autogram, and a loop of backward passes as in
  LibMTL; on an MLP, a CNN, a BiLSTM and a small Transformer;
- methods: every method of polytask at 11 tasks on the MLP, the share of its solver, and torchjd's version of it;
- memory: peak memory of a step on an MLP of 100 million parameters with 40 tasks.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common import Result, parser
from polytask.balancing import BALANCERS, Balancer, GramianBalancer, get_balancer
from polytask.balancing.engines import Problem, shared_parameters
from polytask.balancing.task_losses import TaskLosses

Losses = dict[str, Tensor]
Step = Callable[[], None]


class Mean(GramianBalancer):
    """Forms the Gramian and does not look at it."""

    name = "mean"

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        return np.full(len(tasks), 1 / len(tasks))


# ---------------------------------------------------------------------- networks


class LSTM(nn.Module):
    """Tokens to the mean of a BiLSTM's outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 100)
        self.lstm = nn.LSTM(100, 128, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(self.embedding(x))[0].mean(1)


class Transformer(nn.Module):
    """Tokens to the mean of a Transformer's outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 128)
        layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.embedding(x)).mean(1)


def mlp(width: int = 768, depth: int = 6) -> nn.Module:
    return nn.Sequential(*[m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())])


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip([3, 32, 32, 64, 64, 128, 128], [32, 32, 64, 64, 128, 128, 128])):
        layers += [
            nn.Conv2d(a, b, 3, stride=2 if i in (2, 4, 6) else 1, padding=1),
            nn.GroupNorm(8, b),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


#: Name → encoder, width of its output, a batch of n inputs.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, Callable[[int], Tensor]]] = {
    "MLP": (mlp, 768, lambda n: torch.randn(n, 768)),
    "CNN": (cnn, 128, lambda n: torch.randn(n, 3, 32, 32)),
    "BiLSTM": (LSTM, 256, lambda n: torch.randint(0, 5000, (n, 24))),
    "Transformer": (Transformer, 128, lambda n: torch.randint(0, 5000, (n, 24))),
}


class Net:
    """An encoder with T linear heads and a batch."""

    def __init__(self, network: str, n_tasks: int, batch: int) -> None:
        torch.manual_seed(0)
        make, width, draw = NETWORKS[network]
        self.encoder = make()
        self.heads = nn.ModuleList([nn.Linear(width, 1) for _ in range(n_tasks)])
        self.x, self.y = draw(batch), torch.randn(n_tasks, batch, 1)
        self.all = [*self.encoder.parameters(), *self.heads.parameters()]

    def forward(self) -> tuple[Tensor, Losses]:
        for p in self.all:
            p.grad = None
        h = self.encoder(self.x)
        return h, {f"t{t}": (head(h) - self.y[t]).square().mean() for t, head in enumerate(self.heads)}


# ---------------------------------------------------------------------- steps


def plain(net: Net) -> Step:
    def step() -> None:
        _, losses = net.forward()
        torch.stack(list(losses.values())).sum().backward()

    return step


def polytask_step(net: Net, balancer: Balancer) -> Step:
    def step() -> None:
        h, losses = net.forward()
        balancer.backward(losses, shared=net.encoder, features=h)
        if balancer.needs == "losses_after_step":
            balancer.after_step({t: loss.detach() for t, loss in losses.items()})

    return step


def loop(net: Net) -> Step:
    """LibMTL's way: a backward pass per task, gradients copied into a T × P matrix, then weighted."""
    shared = list(net.encoder.parameters())
    sizes = [p.numel() for p in shared]

    def step() -> None:
        _, losses = net.forward()
        matrix = torch.zeros(len(losses), sum(sizes))
        for t, loss in enumerate(losses.values()):
            for p in shared:
                p.grad = None
            loss.backward(retain_graph=t + 1 < len(losses))
            matrix[t] = torch.cat([p.grad.reshape(-1) for p in shared])
        matrix @ matrix.T
        direction = torch.full((len(losses),), 1 / len(losses)) @ matrix
        for p, piece in zip(shared, direction.split(sizes)):
            p.grad = piece.view_as(p)

    return step


def torchjd_mtl(net: Net, aggregator: Any) -> Step:
    from torchjd.autojac import jac_to_grad, mtl_backward

    shared = list(net.encoder.parameters())
    # Its vectorised way does not go through recurrent layers.
    chunk = 1 if isinstance(net.encoder, LSTM) else None

    def step(chunk: int | None = chunk) -> None:
        h, losses = net.forward()
        mtl_backward(list(losses.values()), features=h, parallel_chunk_size=chunk)
        jac_to_grad(shared, aggregator)

    return step


def torchjd_autogram(net: Net, weighting: Any) -> Step:
    from torchjd.autogram import Engine

    engine = Engine(net.encoder, batch_dim=None)

    def step() -> None:
        _, losses = net.forward()
        vector = torch.stack(list(losses.values()))
        vector.backward(weighting(engine.compute_gramian(vector)))

    return step


def chunked(make: Callable[[], Step], net: Net) -> dict[str, Step]:
    """torchjd all at once and task by task: it is given the faster one."""
    step = make()
    return {"torchjd mtl_backward": step, "torchjd mtl_backward, chunks of 1": lambda: step(1)}  # type: ignore[call-arg]


# ---------------------------------------------------------------------- timing


def ratios(base: Step, steps: dict[str, Step], seconds: float) -> tuple[float, dict[str, list[float]]]:
    """Milliseconds of the plain step, and each system's ratios to the plain steps next to its own."""
    for step in (base, *steps.values()):
        step()
    out: dict[str, list[float]] = {name: [] for name in steps}
    plain_times = []
    start = time.perf_counter()
    while len(plain_times) < 5 * len(steps) or time.perf_counter() - start < seconds:
        for name, step in steps.items():
            t0 = time.perf_counter()
            base()
            t1 = time.perf_counter()
            step()
            t2 = time.perf_counter()
            plain_times.append(t1 - t0)
            out[name].append((t2 - t1) / (t1 - t0))
        if time.perf_counter() - start > 6 * seconds and len(plain_times) >= 3 * len(steps):
            break
    return 1e3 * float(np.median(plain_times)), out


def works(step: Step, seconds: float = 20.0) -> bool:
    """Whether a peer can do it at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step()
    except Exception as error:
        print(f"    left out: {type(error).__name__}: {str(error).splitlines()[0][:100]}", flush=True)
        return False
    return True


def has_torchjd() -> bool:
    try:
        import torchjd  # noqa: F401
    except ImportError:
        print("torchjd is not installed: pip install torchjd==0.18.0", flush=True)
        return False
    return True


def engines(result: Result, network: str, n_tasks: int, batch: int, seconds: float) -> dict[str, float]:
    """All systems on one network; returns the medians."""
    net = Net(network, n_tasks, batch)
    at_features = Mean("features")
    steps = {
        "polytask": polytask_step(net, Mean()),
        "polytask, features": polytask_step(net, at_features),
        "loop": loop(net),
    }
    if has_torchjd():
        from torchjd.aggregation import Mean as TorchJDMean
        from torchjd.aggregation import MeanWeighting

        steps |= chunked(lambda: torchjd_mtl(net, TorchJDMean()), net)
        # Its hooks refuse other steps on the same network in between.
        steps["torchjd autogram"] = torchjd_autogram(Net(network, n_tasks, batch), MeanWeighting())
    steps = {name: step for name, step in steps.items() if name.startswith("polytask") or works(step)}
    milliseconds, found = ratios(plain(net), steps, seconds)
    setting = f"{network}, T={n_tasks}, batch {batch}"
    medians = {name: float(np.median(r)) for name, r in found.items()}
    for name, values in found.items():
        low, high = np.quantile(values, [0.25, 0.75])
        result.row(
            name, setting, ratio=medians[name], quartiles=[float(low), float(high)], plain_ms=milliseconds
        )
    return medians


def compare_engines(result: Result, quick: bool) -> None:
    goals = {3: (1.5, 1.5, 1.9), 11: (3.5, 3.5, 5.0), 40: (10.0, 10.0, 18.0)}
    behind = []
    for batch, tasks in [(64, 3), (64, 11)] if quick else [(b, t) for t in goals for b in (32, 64, 128)]:
        medians = engines(result, "MLP", tasks, batch, 2 if quick else 6)
        goal = dict(zip((32, 64, 128), goals[tasks]))[batch]
        name = f"MLP, T={tasks}, batch {batch}"
        result.reached(name=f"{name}: ratio", value=medians["polytask"], target=goal, at_least=False)
        result.reached(
            name=f"{name}: ratio at the features",
            value=medians["polytask, features"],
            target=1.1,
            at_least=False,
        )
        behind.append(_against_peers(medians, name))
    for network in ("CNN", "BiLSTM", "Transformer"):
        for tasks in (3,) if quick else (3, 11, 40):
            medians = engines(result, network, tasks, 32, 2 if quick else 6)
            behind.append(_against_peers(medians, f"{network}, T={tasks}, batch 32"))
    for name, value in behind:
        result.reached(name=f"{name}: time over the fastest peer's", value=value, target=1.0, at_least=False)


def _against_peers(medians: dict[str, float], name: str) -> tuple[str, float]:
    peers = {k: v for k, v in medians.items() if not k.startswith("polytask")}
    return name, medians["polytask"] / min(peers.values())


# ---------------------------------------------------------------------- methods


def balancers(n_tasks: int) -> dict[str, Balancer]:
    given = {"fixed": {"weights": {f"t{t}": 1.0 for t in range(n_tasks)}}}
    return {name: get_balancer(name, **given.get(name, {})) for name in BALANCERS}


def torchjd_methods() -> dict[str, Any]:
    from torchjd import aggregation as a

    names = {
        "mgda": "MGDA", "pcgrad": "PCGrad", "cagrad": "CAGrad", "upgrad": "UPGrad", "imtl_g": "IMTLG",
        "aligned_mtl": "AlignedMTL", "graddrop": "GradDrop", "config": "ConFIG", "nash_mtl": "NashMTL",
        "fairgrad": "FairGrad", "gradvac": "GradVac",
    }  # fmt: skip
    out = {}
    for ours, theirs in names.items():
        if hasattr(a, theirs):
            kind = getattr(a, theirs)
            try:
                out[ours] = (
                    kind(n_tasks=11)
                    if ours == "nash_mtl"
                    else kind(c=0.4)
                    if ours == "cagrad"
                    else kind(alpha=1.0)
                    if ours == "fairgrad"
                    else kind()
                )
            except Exception as error:
                print(f"    torchjd {theirs} left out: {error}")
    return out


def compare_methods(result: Result, quick: bool) -> None:
    n_tasks = 11
    net = Net("MLP", n_tasks, 64)
    peers = torchjd_methods() if has_torchjd() else {}
    slowest = ("", 0.0)
    for name, balancer in balancers(n_tasks).items():
        steps = {"polytask": polytask_step(net, balancer)}
        if name in peers:
            theirs = torchjd_mtl(net, peers[name])
            if works(theirs):
                steps["torchjd mtl_backward"] = theirs
        _, found = ratios(plain(net), steps, 0.5 if quick else 3)
        solver = solver_milliseconds(net, balancer)
        if solver is not None and solver > slowest[1]:
            slowest = (name, solver)
        for system, values in found.items():
            extra = {"solver_ms": solver} if system == "polytask" else {}
            result.row(system, f"{name}, MLP, T=11, batch 64", ratio=float(np.median(values)), **extra)
    result.reached(
        name=f"the slowest solver at T=11 ({slowest[0]}), ms", value=slowest[1], target=0.3, at_least=False
    )


def solver_milliseconds(net: Net, balancer: Balancer) -> float | None:
    """Median time of the T × T problem alone, on Gramians of this network for ten random batches."""
    if not isinstance(balancer, GramianBalancer):
        return None
    gramians, times = [], []
    for seed in range(10):
        torch.manual_seed(seed)
        net.x = torch.randn_like(net.x)
        _, losses = net.forward()
        problem = Problem(TaskLosses.of(losses), shared_parameters(net.encoder))
        problem.sweep()
        gramians.append((np.array([v.item() for v in losses.values()]), problem.gramian().double().numpy()))
    for _ in range(10):
        for numbers, gramian in gramians:
            start = time.perf_counter()
            balancer.weights(tuple(losses), numbers, gramian)
            times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


# ---------------------------------------------------------------------- memory


def peak(kind: str) -> None:
    """In a process of its own: one step on 100 million parameters; prints the peak memory in MiB."""
    torch.set_num_threads(1)
    NETWORKS["large"] = (lambda: mlp(4096, 6), 4096, lambda n: torch.randn(n, 4096))
    net = Net("large", 40, 32)
    (plain(net) if kind == "plain" else polytask_step(net, Mean()))()
    # Not ru_maxrss, which a child process inherits from its parent.
    status = Path("/proc/self/status").read_text()
    mebibytes = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(mebibytes, sum(p.numel() for p in net.encoder.parameters()))


def compare_memory(result: Result) -> None:
    found = {}
    for kind in ("plain", "polytask"):
        done = subprocess.run(
            [sys.executable, __file__, "--peak", kind], capture_output=True, text=True, check=True
        )
        megabytes, n = done.stdout.split()
        found[kind] = float(megabytes)
        matrix = 40 * int(n) * 4 / 2**20
        result.row(
            kind,
            "peak memory, 100M parameters, T=40",
            mebibytes=found[kind],
            parameters=int(n),
            t_times_p_mebibytes=matrix,
        )
    result.reached(
        name="memory on top of a plain step, as a share of T × P numbers",
        value=(found["polytask"] - found["plain"]) / matrix, target=0.1, at_least=False,
    )  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", default=["engines", "methods", "memory"])
    arguments.add_argument("--peak", choices=["plain", "polytask"], help="used by the benchmark itself")
    args = arguments.parse_args()
    if args.peak:
        return peak(args.peak)
    torch.set_num_threads(1)
    result = Result("balancing_step", [0])
    if "engines" in args.only:
        compare_engines(result, args.quick)
    if "methods" in args.only:
        compare_methods(result, args.quick)
    if "memory" in args.only:
        compare_memory(result)
    result.write(args.json)


if __name__ == "__main__":
    main()
