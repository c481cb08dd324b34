"""Descriptions of architectures as `Sharing.describe` gives them, made by hand: no network is needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from .conftest import HOSTILE, LONG

Parts = list[dict[str, Any]]


def part(
    name: str, kind: str, tasks: Sequence[str], parameters: int, inputs: Sequence[str] = ()
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "tasks": list(tasks),
        "shared": len(tasks) > 1,
        "parameters": parameters,
        "inputs": list(inputs),
    }


def describe(name: str, tasks: Sequence[str], parts: Parts) -> dict[str, Any]:
    layer: dict[str, int] = {}
    for p in parts:
        layer[p["name"]] = p["layer"] = 1 + max((layer[i] for i in p["inputs"]), default=0)
    return {
        "name": name,
        "heads": dict.fromkeys(tasks, 1),
        "settings": None,
        "parameters": sum(p["parameters"] for p in parts),
        "shared_parameters": sum(p["parameters"] for p in parts if p["shared"]),
        "parts": parts,
    }


def task_names(n: int) -> list[str]:
    return ["income", HOSTILE, LONG, *(f"school {k}" for k in range(4, n + 1))][:n]


def heads(tasks: Sequence[str], inputs: Callable[[str], Sequence[str]]) -> Parts:
    return [part(f"head of {t}", "head", [t], 65, inputs(t)) for t in tasks]


def hard(n: int) -> dict[str, Any]:
    tasks = task_names(n)
    layers = [part("layer 1", "layer", tasks, 6464), part("layer 2", "layer", tasks, 4160, ["layer 1"])]
    return describe("hard", tasks, layers + heads(tasks, lambda t: ["layer 2"]))


def single(n: int) -> dict[str, Any]:
    tasks, parts = task_names(n), []
    for t in tasks:
        parts.append(part(f"layer 1 of {t}", "layer", [t], 6464))
        parts.append(part(f"layer 2 of {t}", "layer", [t], 4160, [f"layer 1 of {t}"]))
    return describe("single", tasks, parts + heads(tasks, lambda t: [f"layer 2 of {t}"]))


def mmoe(n: int, n_experts: int = 8) -> dict[str, Any]:
    tasks = task_names(n)
    experts = [part(f"expert {k}", "expert", tasks, 10624) for k in range(1, n_experts + 1)]
    gates = [part(f"gate of {t}", "gate", [t], 808) for t in tasks]
    names = [p["name"] for p in experts]
    return describe("mmoe", tasks, experts + gates + heads(tasks, lambda t: [*names, f"gate of {t}"]))


def ple(n: int, levels: int = 2, n_shared: int = 2, n_own: int = 2) -> dict[str, Any]:
    """With one level it is CGC."""
    tasks, parts = task_names(n), []
    below: dict[str, list[str]] = {t: [] for t in tasks}
    every: list[str] = []
    for level in range(1, levels + 1):
        top = level == levels
        shared = [part(f"level {level} expert {k}", "expert", tasks, 5000, every) for k in range(n_shared)]
        own = {
            t: [
                part(f"level {level} expert {k} of {t}", "expert", [t] if top else tasks, 5000, below[t])
                for k in range(n_own)
            ]
            for t in tasks
        }
        gates = [part(f"level {level} gate of {t}", "gate", [t], 404, below[t]) for t in tasks]
        parts += [*shared, *(p for t in tasks for p in own[t]), *gates]
        if not top:
            parts.append(part(f"level {level} shared gate", "gate", tasks, 606, every))
        names = [p["name"] for p in shared]
        below = {t: [*(p["name"] for p in own[t]), *names, f"level {level} gate of {t}"] for t in tasks}
        every = [*names, *(p["name"] for t in tasks for p in own[t]), f"level {level} shared gate"]
    return describe("ple", tasks, parts + heads(tasks, lambda t: below[t]))


def cross_stitch(n: int) -> dict[str, Any]:
    """Towers as one part with members, since their parameters are stacked."""
    tasks, parts, below = task_names(n), [], []
    for k in (1, 2):
        towers = part(f"layer {k}", "layer", tasks, 6464 * n, below)
        towers["members"] = [f"layer {k} of {t}" for t in tasks]
        parts += [towers, part(f"stitch {k}", "stitch", tasks, n * n, [f"layer {k}"])]
        below = [f"stitch {k}"]
    return describe("cross_stitch", tasks, parts + heads(tasks, lambda t: below))


def sluice(n: int) -> dict[str, Any]:
    """Heads take the outputs of all stitches: lines must pass what lies between."""
    made = cross_stitch(n)
    parts = [p for p in made["parts"] if p["kind"] != "head"]
    return describe(
        "sluice", list(made["heads"]), parts + heads(list(made["heads"]), lambda t: ["stitch 1", "stitch 2"])
    )


def branched(n: int) -> dict[str, Any]:
    """All tasks, two branches, four branches; every other task is in the same one."""
    tasks, parts = task_names(n), []
    last: dict[str, list[str]] = {t: [] for t in tasks}
    for layer, n_groups in enumerate((1, 2, 4), start=1):
        for k in range(n_groups):
            group = tasks[k::n_groups]
            if group:
                name = f"block {layer}, branch {k + 1}"
                parts.append(part(name, "layer", group, 3000, last[group[0]]))
                last |= {t: [name] for t in group}
    return describe("branched", tasks, parts + heads(tasks, lambda t: last[t]))


def attention(n: int) -> dict[str, Any]:
    tasks, parts, masks = task_names(n), [], {}
    for k in (1, 2, 3):
        parts.append(part(f"block {k}", "layer", tasks, 6464, [f"block {k - 1}"] if k > 1 else []))
        below = {t: [f"block {k}", *masks.get(t, [])] for t in tasks}
        parts += [part(f"attention {k} of {t}", "attention", [t], 1300, below[t]) for t in tasks]
        masks = {t: [f"attention {k} of {t}"] for t in tasks}
    return describe("mtan", tasks, parts + heads(tasks, lambda t: masks[t]))


def conditioned(n: int) -> dict[str, Any]:
    tasks, parts, below = task_names(n), [], []
    for k in (1, 2):
        parts += [part(f"condition {k} of {t}", "condition", [t], 64) for t in tasks]
        parts.append(
            part(f"layer {k}", "layer", tasks, 6464, [*below, *(f"condition {k} of {t}" for t in tasks)])
        )
        below = [f"layer {k}"]
    return describe("additive", tasks, parts + heads(tasks, lambda t: below))


def hierarchical(n: int) -> dict[str, Any]:
    """Up to three tasks leave the encoder below its top."""
    tasks, parts, out = task_names(n), [], {}
    depth = min(n, 4)
    for k in range(1, depth + 1):
        parts.append(part(f"layer {k}", "layer", tasks[k - 1 :], 6464, [f"layer {k - 1}"] if k > 1 else []))
        out[tasks[k - 1]] = [f"layer {k}"]
    return describe("hierarchical", tasks, parts + heads(tasks, lambda t: out.get(t, [f"layer {depth}"])))


def odd(seed: int) -> dict[str, Any]:
    """Some network of some tasks, such as nobody would build."""
    rng = random.Random(seed)
    tasks, parts = task_names(rng.choice([1, 2, 3, 5, 9, 14])), []
    for k in range(rng.randint(1, 14)):
        kind = rng.choice(["layer", "expert", "gate", "stitch", "attention", "condition", "of no kind"])
        users = tasks if rng.random() < 0.4 else rng.sample(tasks, rng.randint(1, len(tasks)))
        inputs = [p["name"] for p in parts if rng.random() < 0.35]
        parts.append(part(f"part {k}", kind, users, rng.randint(0, 10 ** rng.randint(1, 8)), inputs))
    taken = {t: [p["name"] for p in parts if t in p["tasks"] and rng.random() < 0.5] for t in tasks}
    return describe("odd", tasks, parts + heads(tasks, lambda t: taken[t]))


CASES: dict[str, Callable[[int], dict[str, Any]]] = {
    "hard": hard,
    "single": single,
    "mmoe": mmoe,
    "mmoe with many experts": lambda n: mmoe(n, 64),
    "cgc": lambda n: ple(n, 1),
    "ple": ple,
    "deep ple": lambda n: ple(n, 3, 1, 1),
    "cross-stitch": cross_stitch,
    "sluice": sluice,
    "branched": branched,
    "attention": attention,
    "conditioned": conditioned,
    "hierarchical": hierarchical,
}
SIZES = (1, 2, 3, 10, 65)
