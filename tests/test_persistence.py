"""Saved models come back the same, hold nothing unsafe, and never replace anything by half."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

import polytask
from fakes import long_frame, wide
from polytask import Task, TaskData
from polytask.best_model import fit_model
from polytask.candidates import PerTask, default_candidates
from polytask.candidates.networks import Network
from polytask.errors import ModelFolderError

SMALL = {"inner_folds": 1, "settings": 1}


def table():
    data = wide()
    X = data.X.assign(city=np.tile(["Rome", "Oslo", None], 20))
    X.iloc[2, 0] = np.nan
    return TaskData.from_wide(X, dict(zip(data.task_names, data.wide_targets().T)))


def labels():
    frame = long_frame()
    return TaskData.from_long(
        frame.assign(y=np.where(frame["a"] > 0, "yes", "no")), task="school", target="y"
    )


def counts():
    data = wide()
    Y = {t: np.random.default_rng(0).poisson(np.exp(data.X["f0"])) for t in ("u", "v")}
    return TaskData.from_wide(data.X, Y, tasks=[Task(t, "counts") for t in Y])


def small(candidate):
    """The candidate with networks and forests small enough for a test."""
    if isinstance(candidate, Network):
        return Network(candidate.name, candidate.role, candidate.sharing, [{"max_epochs": 2, "hidden": (8,)}])
    if candidate.name in ("forest", "joint forest"):
        candidate.grid = [{"n_estimators": 5}]
    if candidate.name in ("boosting", "pooled boosting"):
        candidate.grid = [{"max_iter": 5}]
    return candidate


CANDIDATES = {c.name: c for c in map(small, default_candidates())}


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_comes_back_from_its_folder(tmp_path, name):
    """Bit by bit, and with no trust asked of the user."""
    candidate, tried = CANDIDATES[name], 0
    for data in (table(), labels(), counts()):
        if not (all(map(candidate.supports, data.tasks)) and candidate.applies(data)):
            continue
        tried += 1
        model = fit_model(data, [candidate], **SMALL)
        folder = tmp_path / data.form / data.tasks[0].kind
        model.save(folder)
        back = polytask.load(folder)
        one, two = (m.predict_tasks(data.X) for m in (model, back))
        for t in data.task_names:
            np.testing.assert_array_equal(one[t], two[t])
        X = data.X if data.form == "wide" else data.X.assign(school=long_frame()["school"])
        pd.testing.assert_frame_equal(model.predict(X), back.predict(X))
        assert back.tasks == model.tasks
        assert back.describe() == model.describe()
    assert tried


def test_all_fields_of_tasks_come_back(tmp_path):
    data = wide()
    Y = {"n": data.targets["t0"], "c": np.where(data.targets["t1"] > 0, "b", "a")}
    tasks = [
        Task("n", "regression", loss="huber", metric=("mae", "r2"), weight=2.0),
        Task("c", "binary", class_weight="balanced"),
    ]
    model = fit_model(TaskData.from_wide(data.X, Y, tasks=tasks), ["ridge", "logistic"], **SMALL)
    model.save(tmp_path / "m")
    assert polytask.load(tmp_path / "m").tasks == model.tasks


def test_sparse_features(tmp_path):
    X = sp.random(60, 5, density=0.5, random_state=0, format="csr")
    data = TaskData.from_wide(X, wide().wide_targets())
    model = fit_model(data, ["lasso"], **SMALL)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(polytask.load(tmp_path / "m").predict(X), model.predict(X))


def test_settings_with_numbers_of_numpy_or_objects_are_no_obstacle(tmp_path):
    candidate = PerTask("mine", Ridge(), [{"alpha": np.float32(2.0), "max_iter": np.int64(50)}])
    fit_model(wide(), [candidate], **SMALL).save(tmp_path / "m")
    setting = json.loads((tmp_path / "m" / "model.json").read_text())["parts"][0]["setting"]
    assert setting["t0"] == {"alpha": 2.0, "max_iter": 50}


@pytest.fixture
def saved(tmp_path):
    model = fit_model(wide(), ["ridge"], **SMALL)
    model.save(tmp_path / "m")
    return tmp_path / "m"


def files(folder):
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---------------------------------------------------------------------- what is refused when loading


def test_types_of_other_packages_are_refused_unless_trusted(tmp_path):
    """A function of `os` hidden in the preprocessing, as an attacker would."""
    data = wide()
    model = fit_model(data, ["ridge"], preprocessing=FunctionTransformer(None), **SMALL)
    model.preprocessing = make_pipeline(FunctionTransformer(os.getenv))
    model.save(tmp_path / "m")
    with pytest.raises(
        ModelFolderError, match=r"not trusted: os\.getenv.*load\(folder, trusted=\['os.getenv'\]\)"
    ):
        polytask.load(tmp_path / "m")
    assert polytask.load(tmp_path / "m", trusted=["os.getenv"]).task_names == data.task_names


def test_a_newer_schema_says_to_upgrade(saved):
    edit(saved, schema=99)
    with pytest.raises(ModelFolderError, match=r"schema 99; this version reads up to 1\. Upgrade polytask"):
        polytask.load(saved)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "model.json").unlink(), "it has no model.json"),
        (lambda f: (f / "model.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda f: (f / "model.json").write_text("[]"), "cannot be read"),
        (lambda f: edit(f, schema="new"), "cannot be read"),
        (lambda f: edit(f, tasks=[{"name": "t0", "kind": "nonsense"}]), "damaged"),
        (lambda f: edit(f, tasks=[{"nome": "t0"}]), "damaged"),
        (lambda f: edit(f, parts=None), "damaged"),
        (lambda f: edit(f, scaling={}), "damaged"),
        (lambda f: (f / "part-0.skops").unlink(), "part-0.skops' is missing"),
        (lambda f: (f / "part-0.skops").write_bytes(b"PK"), "part-0.skops' is damaged"),
        (lambda f: (f / "preprocessing.skops").unlink(), "preprocessing.skops' is missing"),
    ],
)
def test_damaged_folders_are_named(saved, damage, says):
    damage(saved)
    with pytest.raises(ModelFolderError, match=says):
        polytask.load(saved)


def test_damaged_networks_are_named(tmp_path):
    fit_model(wide(), [CANDIDATES["hard sharing"]], **SMALL).save(tmp_path / "m")
    description = json.loads((tmp_path / "m" / "model.json").read_text())
    (part,) = description["parts"]
    edit(tmp_path / "m", parts=[{**part, "type": "os.path"}])
    with pytest.raises(ModelFolderError, match=r"type 'os\.path', which is not polytask's"):
        polytask.load(tmp_path / "m")
    edit(tmp_path / "m", parts=[{**part, "type": "polytask.networks.nothing"}])
    with pytest.raises(ModelFolderError, match="is damaged"):
        polytask.load(tmp_path / "m")
    edit(tmp_path / "m", parts=[part])
    tensors = tmp_path / "m" / "part-0.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-8])
    with pytest.raises(ModelFolderError, match=r"part-0\.safetensors' is missing or damaged"):
        polytask.load(tmp_path / "m")


def test_no_such_folder(tmp_path):
    with pytest.raises(ModelFolderError, match="is not a polytask model"):
        polytask.load(tmp_path / "nowhere")


# ---------------------------------------------------------------------- what is refused when saving


def test_folders_with_anything_else_are_left_alone(saved, tmp_path):
    model = polytask.load(saved)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("dear")
    with pytest.raises(ModelFolderError, match="is not a polytask model"):
        model.save(tmp_path / "other")
    with pytest.raises(ModelFolderError, match="is not a polytask model"):
        model.save(tmp_path / "other" / "thesis.txt")
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(ModelFolderError, match=r"not the model's: notes\.txt"):
        model.save(saved)
    assert (saved / "notes.txt").read_text() == "mine"


def test_an_older_model_is_replaced_by_the_whole_new_one(saved):
    data = wide()
    other = fit_model(data, [CANDIDATES["hard sharing"]], **SMALL)
    other.save(saved)
    assert set(files(saved)) == {"model.json", "preprocessing.skops", "part-0.safetensors"}
    assert polytask.load(saved).describe() == other.describe()


@pytest.mark.parametrize("what", ["skops.io.dump", "pathlib.Path.write_text", "pathlib.Path.rename"])
def test_a_full_disk_leaves_the_older_model_and_nothing_else(saved, monkeypatch, what):
    model, before = polytask.load(saved), files(saved)

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(what, no_space)
    with pytest.raises(ModelFolderError, match=r"could not be written .*No space left on device.* unchanged"):
        model.save(saved)
    monkeypatch.undo()
    assert files(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == ["m"]


def test_a_model_that_fails_to_take_its_place_gives_the_old_one_back(saved, monkeypatch):
    """The second of the two renames fails: the old folder is already out of the way by then."""
    model, before, rename, calls = polytask.load(saved), files(saved), Path.rename, []

    def second_fails(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(ModelFolderError, match="Input/output error"):
        model.save(saved)
    assert files(saved) == before


def test_what_cannot_be_stored_without_pickle_is_named(tmp_path):
    class Local(PolynomialFeatures):
        def __getstate__(self):
            raise RuntimeError("not me")

    model = fit_model(wide(), ["ridge"], **SMALL)
    model.preprocessing = Local()
    with pytest.raises(
        ModelFolderError, match="preprocessing cannot be stored without pickle: RuntimeError: not me"
    ):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()
