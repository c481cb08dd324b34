"""Run all benchmarks and rewrite README.md beside this file from their results (`make bench`).

    python benchmarks/run_all.py [--quick] [--only NAME ...] [--readme]

`--readme` only rewrites the page from the results that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = (
    "verdicts",
    "compare_tabular",
    "linear_path",
    "linear_moments",
    "linear_mrrce",
    "linear_real",
    "linear_recovery",
    "balancing_step",
    "multimnist",
    "sharing_speed",
    "sharing_synthetic",
    "sharing_census",
    "sharing_images",
)
SKIPPED = ("chosen", "folds", "ranks", "tried")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--readme", action="store_true")
    arguments = parser.parse_args()
    failed = [] if arguments.readme else [name for name in arguments.only if not run(name, arguments.quick)]
    (HERE / "README.md").write_text(page())
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return bool(failed)


def run(name: str, quick: bool) -> bool:
    """Run one benchmark; a quick run leaves the committed results of the full one alone."""
    command = [sys.executable, str(HERE / f"{name}.py")]
    command += ["--quick"] if quick else ["--json", str(HERE / "results" / f"{name}.json")]
    return subprocess.run(command, check=False).returncode == 0


def page() -> str:
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench` from `results/*.json`; each file there holds versions, hardware and seeds.",
        "`python benchmarks/NAME.py --quick` ends within a minute; the figures below come from full runs.",
    ]
    for path in sorted((HERE / "results").glob("*.json")):
        parts += ["", *section(json.loads(path.read_text()))]
    return "\n".join(parts) + "\n"


def section(result: dict[str, Any]) -> list[str]:
    versions, hardware = result["versions"], result["hardware"]
    lines = [
        f"## {result['benchmark']}",
        "",
        f"{result['seconds'] / 60:.0f} minutes; {hardware['processor']}, {hardware['cores']} cores; Python "
        f"{versions['python']}, scikit-learn {versions['scikit-learn']}, numpy {versions['numpy']}.",
        *(["", result["assembled"]] if "assembled" in result else []),
        *(["", result["note"]] if "note" in result else []),
        "",
        "| goal | value | asked for | reached |",
        "|---|---|---|---|",
        *(
            f"| {g['name']} | {_short(g['value'])} | {g['goal']} | {'yes' if g['ok'] else '**no**'} |"
            for g in result["reached"]
        ),
    ]
    drawing = f"results/{result['benchmark']}.svg"
    if (HERE / drawing).exists():
        lines += ["", f"![What the networks of {result['benchmark']} share]({drawing})"]
    return [*lines, "", *table(result["rows"])]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """One table per set of columns, in the order of the rows."""
    lines: list[str] = []
    columns: list[str] = []
    for row in rows:
        own = [k for k, value in row.items() if k not in SKIPPED and _fits(value)]
        if own != columns:
            columns = own
            lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines.append("| " + " | ".join(_short(row[c]) for c in columns) + " |")
    return lines


def _fits(value: Any) -> bool:
    """Whether a cell can hold it; trees and records stay in the JSON."""
    if isinstance(value, list):
        return len(value) <= 4 and all(isinstance(v, (int, float)) for v in value)
    return not isinstance(value, dict)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return " – ".join(_short(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
