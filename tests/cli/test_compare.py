from __future__ import annotations

import json

import pandas as pd
import pytest

import polytask
import polytask.experiment.execute as execute
from polytask.errors import TrainingError


@pytest.fixture
def spy(monkeypatch):
    """Replaces `polytask.compare`; holds what it was called with."""
    seen = {}

    def compare(data, **settings):
        seen.update(settings, data=data)
        raise TrainingError("stopped by the test")

    monkeypatch.setattr(polytask, "compare", compare, raising=False)
    return seen


def test_writes_report_numbers_and_model(run, csv, tmp_path, linear):
    out = tmp_path / "result"
    code, printed, errors = run(
        "compare", csv, "--targets", "a", "b", "--drop", "sick", "--out", out, *linear
    )
    assert (code, errors) == (0, "")
    report = json.loads((out / "comparison.json").read_text())
    assert printed.startswith(report["summary"])
    assert [c["name"] for c in report["candidates"]] == ["ridge", "group lasso"]
    assert report["run"]["n_features"] == 4
    assert report["summary"].partition(":")[0] in (out / "report.html").read_text()
    assert f"Model:  {out / 'model'}" in printed
    model = polytask.load(out / "model")
    assert list(model.predict(pd.read_csv(csv).drop(columns=["sick"])).columns) == ["a", "b"]


def test_json_is_all_that_is_on_standard_output(run, csv, linear):
    code, printed, _ = run("compare", csv, "--targets", "a", "b", "--json", *linear)
    assert code == 0
    assert json.loads(printed)["schema"] == 1


def test_quiet_prints_nothing(run, csv, tmp_path, linear):
    code, printed, errors = run(
        "compare", csv, "--targets", "a", "b", "--quiet", "--out", tmp_path / "r", *linear
    )
    assert (code, printed, errors) == (0, "", "")
    assert (tmp_path / "r" / "report.html").exists()


def test_an_interrupted_comparison_resumes(run, csv, tmp_path, linear, monkeypatch):
    words = ["compare", csv, "--targets", "a", "b", "--out", tmp_path / "r", *linear]
    real, calls = execute.run_unit, []

    def third_is_interrupted(plan, *job):
        calls.append(job)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(plan, *job)

    monkeypatch.setattr(execute, "run_unit", third_is_interrupted)
    code, printed, errors = run(*words)
    assert (code, printed) == (130, "")
    assert errors.startswith(
        f"polytask: interrupted. Finished work is in '{tmp_path / 'r'}'; the same command resumes"
    )
    assert errors.count("\n") == 1
    assert not (tmp_path / "r" / "report.html").exists()
    assert run(*words)[0] == 0
    assert len(calls) == 3 + (3 * 2 - 2)  # two of six units were kept


def test_interrupted_without_a_folder(run, csv, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(polytask, "compare", interrupted, raising=False)
    code, _, errors = run("compare", csv, "--targets", "a", "b")
    assert code == 130
    assert "With --out DIR" in errors


def test_words_reach_compare(run, csv, spy, tmp_path):
    run(
        "compare",
        csv,
        "--targets",
        "a",
        "b",
        "--models",
        "ridge",
        "hard sharing",
        "--folds",
        4,
        "--seeds",
        3,
        "--seed",
        7,
        "--budget",
        "2m",
        "--jobs",
        2,
        "--out",
        tmp_path / "r",
        "--drop",
        "f2",
        "--group-column",
        "colour",
        "--kind",
        "a=regression",
    )
    data = spy.pop("data")
    assert spy == {
        "models": ["ridge", "hard sharing"],
        "folds": 4,
        "repeats": 3,
        "seed": 7,
        "budget": 120.0,
        "n_jobs": 2,
        "folder": tmp_path / "r" / "progress",
        "progress": False,
    }
    assert data.feature_names == ["f0", "f1", "sick"]
    assert set(data.groups) == {"red", "blue"}


def test_defaults(run, csv, spy):
    run("compare", csv, "--targets", "a", "b")
    spy.pop("data")
    assert spy == {
        "models": None,
        "folds": 5,
        "repeats": 3,
        "seed": 0,
        "budget": None,
        "n_jobs": -1,
        "folder": None,
        "progress": False,
    }


def test_kinds(run, csv, spy):
    run("compare", csv, "--targets", "a", "sick", "--kind", "sick=multiclass")
    assert [t.kind for t in spy["data"].tasks] == ["regression", "multiclass"]


def test_a_task_column_stays_text(run, long_csv, spy):
    run("compare", long_csv, "--task-column", "school", "--target", "a")
    assert spy["data"].task_names == ["7", "07", "007"]
    assert spy["data"].feature_names == ["f0", "f1", "f2", "colour"]


@pytest.mark.parametrize("kind", ["multiclass", "y=multiclass"])
def test_the_kind_of_a_long_table(run, tmp_path, spy, kind):
    path = tmp_path / "long.csv"
    pd.DataFrame({"x": range(8), "t": list("aabb") * 2, "y": [0, 1, 2, 0] * 2, "z": [1.5] * 8}).to_csv(
        path, index=False
    )
    run("compare", path, "--task-column", "t", "--target", "y", "--kind", kind)
    assert {t.kind for t in spy["data"].tasks} == {"multiclass"}


def test_a_failing_candidate_is_one_line(run, csv, spy):
    code, _, errors = run("compare", csv, "--targets", "a", "b")
    assert (code, errors) == (1, "polytask: error: stopped by the test\n")


def test_the_folder_of_another_comparison_is_refused(run, csv, tmp_path, linear):
    words = ["compare", csv, "--out", tmp_path / "r", "--quiet", *linear, "--targets"]
    assert run(*words, "a", "b")[0] == 0
    before = (tmp_path / "r" / "comparison.json").read_text()
    code, _, errors = run(*words, "b", "a", "--seed", 1)
    assert code == 4
    assert "another folder" in errors
    assert (tmp_path / "r" / "comparison.json").read_text() == before


def test_a_full_disk_while_the_model_is_saved_keeps_the_report(run, csv, tmp_path, linear, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("polytask.best_model.BestModel.save", full)
    code, _, errors = run("compare", csv, "--targets", "a", "b", "--quiet", "--out", tmp_path / "r", *linear)
    assert code == 1
    assert errors == "polytask: error: [Errno 28] No space left on device\n"
    assert (tmp_path / "r" / "report.html").exists()
    assert not (tmp_path / "r" / "model").exists()
