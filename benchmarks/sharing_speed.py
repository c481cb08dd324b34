"""What a training step of sharing architectures takes, against the same networks written as loops.

    python benchmarks/sharing_speed.py [--quick] [--json FILE] [--only mmoe cgc soft cross_stitch]

Ten tasks of one output each on tables; forward pass, loss and backward pass, no optimizer. MMoE with 8 experts,
CGC with 2 shared experts and one of each task's own, soft sharing with its penalty over all pairs of tasks, and
cross-stitch with a stitch after each layer. Loops hold the same weights, and outputs are checked to be equal:

- LibMTL's way: a module list of experts, stacked; for each task a gate, softmax, an einsum over experts, a tower;
- DeepCTR-Torch's way: the same with a matrix product for each row, (1, E) by (E, width), for each task;
- towers: a loop over tasks and layers; stitches as sums over tasks; the penalty as a sum over pairs.

Layers are DeepCTR-Torch's default, experts 256-128 and towers 64 (LibMTL has no networks for tables), and
polytask's default, experts 64-64 with linear heads. Every step is timed next to the loop's, in turn, and the
median of the pairs' ratios is reported, with 2 threads and with 1. On a machine that does other work as well,
steps of two threads measure that work: the load is part of the result.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common import Result, parser
from polytask.sharing import CGC, CrossStitch, MMoE, Sharing, SoftSharing
from polytask.sharing.stacked import Stacked

N_TASKS, N_EXPERTS = 10, 8
HEADS = {f"t{i}": 1 for i in range(N_TASKS)}
#: Rows, features, and how many times faster than a loop a step has to be.
SIZES = ((128, 100, 2.5), (1024, 500, 1.6))
#: Name → widths of experts or encoders, widths of towers.
WIDTHS = {"16, towers 8": ((16,), (8,)), "256-128, towers 64": ((256, 128), (64,)), "64-64": ((64, 64), ())}

Step = Callable[[], None]


# ---------------------------------------------------------------------- the same networks as loops


def members_of(stacked: Stacked) -> nn.ModuleList:
    """Modules with weights of their own, as they were before they were stacked."""
    out = []
    for i in range(len(stacked)):
        member = copy.deepcopy(stacked.module)
        for name, weight in stacked.module.named_parameters():
            owner, _, leaf = name.rpartition(".")
            setattr(member.get_submodule(owner), leaf, nn.Parameter(weight[i].detach().clone()))
        out.append(member)
    return nn.ModuleList(out)


def towers_of(net: Sharing) -> nn.ModuleList:
    return nn.ModuleList(copy.deepcopy(net.towers.module(task)) for task in net.tasks)


class LibMTLMixture(nn.Module):
    """Experts first, stacked (E, n, width); a task's own ones are added to them."""

    def __init__(self, common: nn.ModuleList, own: list[nn.ModuleList], gates: Any, towers: Any) -> None:
        super().__init__()
        self.common, self.own = common, nn.ModuleList(own)
        self.gates, self.towers = copy.deepcopy(gates), towers

    def forward(self, x: Tensor) -> Tensor:
        common = torch.stack([expert(x) for expert in self.common])
        out = []
        for k, (gate, tower) in enumerate(zip(self.gates, self.towers)):
            outputs = common
            if len(self.own):
                outputs = torch.cat([torch.stack([expert(x) for expert in self.own[k]]), common])
            weights = torch.softmax(gate(torch.flatten(x, start_dim=1)), dim=-1)
            out.append(tower(torch.einsum("ij...,ji->j...", outputs, weights)))
        return torch.cat(out, 1)


class DeepCTRMixture(LibMTLMixture):
    """Experts in the second place, (n, E, width), and a product of matrices for each row."""

    def forward(self, x: Tensor) -> Tensor:
        common = [expert(x) for expert in self.common]
        own = [[expert(x) for expert in experts] for experts in self.own]
        stacked = None if own else torch.stack(common, 1)
        mixed = []
        for k, gate in enumerate(self.gates):
            outputs = torch.stack(own[k] + common, 1) if stacked is None else stacked
            mixed.append(torch.matmul(gate(x).softmax(1).unsqueeze(1), outputs).squeeze(1))
        return torch.cat([tower(h) for tower, h in zip(self.towers, mixed)], 1)


class SoftLoop(nn.Module):
    """A network per task, and the sum over pairs of tasks and layers."""

    def __init__(self, net: SoftSharing) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(copy.deepcopy(encoder) for encoder in net.encoders.members)
        self.towers = towers_of(net)
        self.strength = net.strength[0]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([tower(encoder(x)) for encoder, tower in zip(self.encoders, self.towers)], 1)

    def penalty(self) -> Tensor:
        total = torch.zeros(())
        for a, b in combinations(self.encoders, 2):
            for p, q in zip(a.parameters(), b.parameters()):
                total = total + self.strength * (p - q).square().sum()
        return total


class StitchLoop(nn.Module):
    """Layer by layer and task by task, with the stitch as a sum over tasks, as in LibMTL."""

    def __init__(self, net: CrossStitch) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(members_of(block) for block in net.blocks)
        last = net.last_alpha.stacked()["alpha"]
        self.alphas = nn.ParameterList([a.detach().clone() for a in (*net.alphas, last)])
        self.towers = towers_of(net)

    def forward(self, x: Tensor) -> Tensor:
        inputs = [x] * len(self.towers)
        for block, alpha in zip(self.blocks, self.alphas):
            h = [layer(v) for layer, v in zip(block, inputs)]
            inputs = [sum(alpha[s][t] * h[t] for t in range(len(h))) for s in range(len(h))]
        return torch.cat([tower(v) for tower, v in zip(self.towers, inputs)], 1)


# ---------------------------------------------------------------------- pairs to compare


def mixture_loops(net: MMoE | CGC) -> dict[str, nn.Module]:
    if isinstance(net, MMoE):
        common, own, gates = members_of(net.experts), [], net.gate.linear.members
    else:
        common, gates, n = members_of(net.level.common), net.level.gate.linear.members, net.level.n_own
        experts = copy.deepcopy(net.level.own.members)
        own = [nn.ModuleList(experts[k * n : (k + 1) * n]) for k in range(N_TASKS)]
    kinds = {"LibMTL's loop": LibMTLMixture, "DeepCTR-Torch's loop": DeepCTRMixture}
    return {
        name: kind(copy.deepcopy(common), copy.deepcopy(own), gates, towers_of(net))
        for name, kind in kinds.items()
    }


def architecture(
    name: str, n_inputs: int, hidden: Sequence[int], towers: Sequence[int]
) -> tuple[Any, dict[str, nn.Module]]:
    """polytask's network, and loops with the same weights."""
    layers: dict[str, Any] = {"hidden": hidden, "task_hidden": towers}
    net: Any
    if name == "mmoe":
        net = MMoE.for_table(n_inputs, HEADS, n_experts=N_EXPERTS, **layers)
        return net, mixture_loops(net)
    if name == "cgc":
        net = CGC.for_table(n_inputs, HEADS, n_shared=2, n_own=1, **layers)
        return net, mixture_loops(net)
    if name == "soft":
        net = SoftSharing.for_table(n_inputs, HEADS, **layers)
        return net, {"loop over towers": SoftLoop(net)}
    net = CrossStitch.for_table(n_inputs, HEADS, **layers)
    return net, {"loop over towers": StitchLoop(net)}


def step_of(net: nn.Module, outputs: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Step:
    parameters = list(net.parameters())
    penalty = getattr(net, "penalty", lambda: None)

    def step() -> None:
        for p in parameters:
            p.grad = None
        loss = (outputs(x) - y).square().mean()
        extra = penalty()
        (loss if extra is None else loss + extra).backward()

    return step


def times(slow: Step, fast: Step, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of both, side by side; which one goes first changes from pair to pair."""
    for _ in range(3):
        slow()
        fast()
    found = []
    start = time.perf_counter()
    while len(found) < 4 or time.perf_counter() - start < seconds:
        order = (slow, fast) if len(found) % 2 else (fast, slow)
        t0 = time.perf_counter()
        order[0]()
        t1 = time.perf_counter()
        order[1]()
        t2 = time.perf_counter()
        found.append((t1 - t0, t2 - t1) if len(found) % 2 else (t2 - t1, t1 - t0))
    a, b = np.array(found).T
    return a, b


def compare(result: Result, name: str, widths: str, size: tuple[int, int, float], seconds: float) -> None:
    n, n_inputs, goal = size
    torch.manual_seed(0)
    x, y = torch.randn(n, n_inputs), torch.randn(n, N_TASKS)
    net, loops = architecture(name, n_inputs, *WIDTHS[widths])
    ours = step_of(net, net.table, x, y)
    for loop_name, loop in loops.items():
        torch.testing.assert_close(loop(x), net.table(x), rtol=1e-5, atol=1e-5)
        theirs = step_of(loop, loop, x, y)
        for threads in (2, 1):
            torch.set_num_threads(threads)
            a, b = times(theirs, ours, seconds)
            ratio = a / b
            low, high = np.quantile(ratio, [0.25, 0.75])
            setting = f"{name} {widths}, {n} × {n_inputs}, {threads} threads"
            result.row(
                f"polytask / {loop_name}", setting,
                speedup=float(np.median(ratio)), quartiles=[float(low), float(high)],
                ms=1e3 * float(np.median(b)), loop_ms=1e3 * float(np.median(a)),
                speedup_of_best=float(a.min() / b.min()), pairs=len(a),
                parameters=sum(p.numel() for p in net.parameters()), flops_per_row=net.flops(),
                load=os.getloadavg()[0],
            )  # fmt: skip
            if threads == 2:
                result.reached(
                    name=f"{name} {widths}, {n} × {n_inputs}: times faster than {loop_name}",
                    value=float(np.median(ratio)), target=goal,
                )  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    names = ["mmoe", "cgc", "soft", "cross_stitch"]
    arguments.add_argument("--only", nargs="+", choices=names, default=names)
    args = arguments.parse_args()
    result = Result("sharing_speed", [0])
    for name in args.only:
        for widths in WIDTHS:
            for size in SIZES:
                compare(result, name, widths, size, 0.25 if args.quick else 4.0)
    result.write(args.json)


if __name__ == "__main__":
    main()
