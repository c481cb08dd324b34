from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

import polytask


@pytest.fixture
def model(run, csv, tmp_path):
    folder = tmp_path / "model"
    code, printed, errors = run(
        "fit", csv, "--targets", "a", "b", "--drop", "sick", "--model", "ridge", "--out", folder
    )
    assert (code, errors) == (0, "")
    assert printed.endswith(f"Model: {folder}\n")
    return folder


def test_csv_on_standard_output_holds_the_model_s_predictions(run, csv, model):
    code, printed, errors = run("predict", model, csv, "--quiet")
    assert (code, errors) == (0, "")
    expected = polytask.load(model).predict(pd.read_csv(csv).drop(columns="sick"))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(printed)), expected)


@pytest.mark.parametrize(("name", "read"), [("p.csv", pd.read_csv), ("p.parquet", pd.read_parquet)])
def test_files(run, csv, model, tmp_path, name, read):
    assert run("predict", model, csv, "--quiet", "--out", tmp_path / name) == (0, "", "")
    assert read(tmp_path / name).shape == (60, 2)
    assert not list(tmp_path.glob(".*"))


def test_probabilities(run, csv, tmp_path):
    assert run(
        "fit", csv, "--targets", "sick", "--model", "logistic", "--out", tmp_path / "m", "--quiet"
    ) == (0, "", "")
    labels = pd.read_csv(io.StringIO(run("predict", tmp_path / "m", csv, "--quiet")[1]))
    proba = pd.read_csv(io.StringIO(run("predict", tmp_path / "m", csv, "--quiet", "--proba")[1]))
    assert list(proba.columns) == ["sick: no", "sick: yes"]
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert (np.where(proba["sick: yes"] > 0.5, "yes", "no") == labels["sick"]).all()


def test_no_probabilities_of_numbers(run, csv, model):
    code, printed, errors = run("predict", model, csv, "--proba", "--quiet")
    assert (code, printed) == (2, "")
    assert "classification" in errors


def test_a_long_model_tells_tasks_apart_by_their_text(run, long_csv, tmp_path):
    folder = tmp_path / "m"
    words = ["--task-column", "school", "--target", "a", "--model", "ridge", "--out", folder]
    assert run("fit", long_csv, *words, "--quiet")[0] == 0
    code, printed, _ = run("predict", folder, long_csv, "--quiet")
    assert code == 0
    found = pd.read_csv(io.StringIO(printed), dtype={"school": str})
    assert found["school"].tolist() == ["7"] * 20 + ["07"] * 20 + ["007"] * 20
    assert len(found) == found["prediction"].notna().sum() == 60


def test_a_missing_feature_is_named(run, csv, model):
    pd.read_csv(csv).drop(columns="f1").to_csv(csv, index=False)
    code, printed, errors = run("predict", model, csv, "--quiet")
    assert (code, printed) == (3, "")
    assert "'f1'" in errors


def test_an_unused_column_is_a_warning(run, csv, model):
    pd.read_csv(csv).assign(extra=1).to_csv(csv, index=False)
    code, _, errors = run("predict", model, csv)
    assert code == 0
    assert errors.startswith("polytask: warning: ")
    assert "'extra'" in errors


def test_a_folder_without_a_model(run, csv, tmp_path):
    code, _, errors = run("predict", tmp_path / "nothing", csv)
    assert code == 4
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("text", "says"), [("{", "model.json"), ('{"schema": 99}', "99")])
def test_a_damaged_or_newer_model(run, csv, model, text, says):
    (model / "model.json").write_text(text)
    code, _, errors = run("predict", model, csv)
    assert code == 4
    assert says in errors


def test_an_output_of_unknown_kind_is_refused_before_anything_is_loaded(run, csv, tmp_path):
    code, _, errors = run("predict", tmp_path / "no model", csv, "--out", tmp_path / "p.xlsx")
    assert code == 2
    assert "p.xlsx" in errors


def test_a_folder_that_is_no_model_is_not_replaced(run, csv, tmp_path):
    code, _, errors = run("fit", csv, "--targets", "a", "b", "--out", tmp_path)
    assert code == 2
    assert csv.exists()
    assert "something other than a model" in errors


def test_an_older_model_is_replaced(run, csv, model):
    words = ["--targets", "a", "--drop", "sick", "b", "--model", "ridge", "--quiet", "--out", model]
    assert run("fit", csv, *words) == (0, "", "")
    assert polytask.load(model).task_names == ["a"]
