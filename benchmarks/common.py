"""What all benchmarks share: arguments, and results as JSON with versions, hardware, seeds and goals."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from polytask import environment
from polytask.files import write_atomic

RESULTS = Path(__file__).parent / "results"


def parser(doc: str) -> argparse.ArgumentParser:
    """`--quick` (within a minute) and `--json FILE`."""
    arguments = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="end within a minute, with fewer seeds")
    arguments.add_argument("--json", type=Path, help="where to write the result")
    arguments.add_argument("--jobs", type=int, default=2, help="processes")
    return arguments


def goal(name: str, value: float, target: float, *, at_least: bool = True) -> dict[str, Any]:
    """A figure asked for, and whether it is reached."""
    ok = value >= target if at_least else value <= target
    return {"name": name, "value": value, "goal": f"{'>=' if at_least else '<='} {target:g}", "ok": bool(ok)}


class Result:
    """Rows and goals of one benchmark, printed and written as JSON."""

    def __init__(self, benchmark: str, seeds: list[int]) -> None:
        self.start = time.time()
        self.content: dict[str, Any] = {
            "benchmark": benchmark,
            "rows": [],
            "reached": [],
            "seeds": seeds,
            "versions": environment.versions(),
            "hardware": environment.hardware(),
        }

    def row(self, system: str, setting: str, **figures: Any) -> None:
        self.content["rows"].append({"system": system, "setting": setting, **figures})
        shown = "  ".join(f"{k}={_short(v)}" for k, v in figures.items())
        print(f"{setting:34s} {system:22s} {shown}", flush=True)

    def reached(self, **arguments: Any) -> None:
        entry = goal(**arguments)
        self.content["reached"].append(entry)
        print(
            f"  {'ok  ' if entry['ok'] else 'MISS'} {entry['name']}: {_short(entry['value'])} (goal {entry['goal']})",
            flush=True,
        )

    def write(self, path: Path | None) -> None:
        self.content["seconds"] = round(time.time() - self.start, 1)
        if path:
            write_atomic(path, environment.dump_json(self.content))
            print(f"written to {path}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
