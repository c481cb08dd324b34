"""What the documents say is so: their Python runs, their commands parse, what they claim holds."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import MultiTaskLasso, Ridge
from sklearn.multioutput import MultiOutputRegressor

import polytask
from polytask import demo
from polytask.candidates import default_candidates
from polytask.cli.arguments import EXIT_CODES, parser

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))
BALANCING = ROOT / "docs" / "balancing.md"
SHARING = ROOT / "docs" / "sharing.md"
LINEAR = ROOT / "docs" / "linear.md"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize(
    ("path", "k"),
    [
        (path, k)
        for path in (README, CONTRIBUTING, BALANCING, SHARING, LINEAR)
        for k in range(len(blocks(path, "python")))
    ],
    ids=lambda value: getattr(value, "stem", value),
)
def test_python_runs(path, k, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", polytask.errors.PolytaskWarning)
        exec(compile(blocks(path, "python")[k], f"{path.name}, block {k}", "exec"), {"__name__": "example"})
    if path == README and k == 0:
        assert "Learning the 64 tasks together helps" in capsys.readouterr().out
        assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_first_example_has_about_ten_lines():
    assert len([line for line in blocks(README, "python")[0].splitlines() if line.strip()]) <= 10


def test_commands_parse():
    lines = [
        line for block in blocks(README, "console") for line in block.splitlines() if "$ polytask" in line
    ]
    assert len(lines) == 4
    for line in lines:
        parser().parse_args(line.split()[2:])


def test_the_time_limit_of_the_demo_is_the_one_told():
    assert f"each data set {demo.BUDGET:g} seconds" in README.read_text(encoding="utf-8")


def test_exit_codes_are_those_of_the_command_line():
    told = README.read_text(encoding="utf-8").split("Exit codes:")[1].split("(")[0]
    assert re.findall(r"\d+", told) == re.findall(r"^ +(\d+) ", EXIT_CODES, flags=re.M)


def test_every_candidate_is_in_the_guide_and_the_guide_names_no_other():
    guide = README.read_text(encoding="utf-8").split("## Which method when")[1].split("Any scikit-learn")[0]
    named = {
        name for row in guide.splitlines() if row.startswith("|") for name in re.findall(r"`([^`]+)`", row)
    }
    assert named == {c.name for c in default_candidates()}


@pytest.mark.parametrize("path", [README, CONTRIBUTING])
def test_links_and_files_exist(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"src(?:set)?=\"([^\"]+)\"", text)
    local = [link for link in links if not link.startswith("http")]
    assert all((ROOT / link).exists() for link in local), local


def test_folders_named_in_the_readme_are_the_ones_there_are():
    source = ROOT / "src" / "polytask"
    overview = README.read_text(encoding="utf-8").split("## What is where")[1]
    named = {name.rstrip("/") for name in re.findall(r"`([\w.]+/?)`", overview) if (source / name).exists()}
    folders = {p.name for p in source.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= named


@pytest.mark.parametrize(
    "target", re.findall(r"`make ([\w-]+)", README.read_text() + CONTRIBUTING.read_text())
)
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.M)


@pytest.mark.parametrize("model", [MultiTaskLasso(), MultiOutputRegressor(Ridge())])
def test_scikit_learn_refuses_missing_targets_and_polytask_does_not(model):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    Y[:5, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, Y)
    assert np.isfinite(polytask.linear.GroupLasso(alpha=0.1).fit(X, Y).predict(X)).all()


def test_numbers_classes_and_counts_in_one_problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    Y = {
        "number": rng.normal(size=60),
        "label": np.where(X[:, 1] > 0, "yes", "no"),
        "count": rng.poisson(np.exp(X[:, 2])),
    }
    tasks = [polytask.Task("count", "counts"), polytask.Task("number"), polytask.Task("label")]
    network = polytask.MultiTaskNetwork(tasks, max_epochs=2, random_state=0).fit(X, Y)
    assert {t.name: t.kind for t in network.tasks_} == {
        "number": "regression",
        "label": "binary",
        "count": "counts",
    }
