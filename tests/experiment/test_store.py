import os
from pathlib import Path

import numpy as np
import pytest

import polytask
from fakes import Fake, fakes, same_result, wide
from polytask.errors import ModelFolderError, SettingError
from polytask.evaluation.folds import make_folds
from polytask.experiment.store import Store
from polytask.experiment.units import Plan, Unit, run_unit

SETTINGS = {"folds": 3, "repeats": 1, "inner_folds": 2}


def plan(data=None, **changes):
    data = wide() if data is None else data
    return Plan(
        data, tuple(changes.pop("candidates", fakes())), (tuple(make_folds(data, 3, 0)),), None, 0, 2, 4
    )


def test_units_come_back_as_they_were(tmp_path):
    whole = plan()
    store = Store(tmp_path, whole)
    unit = run_unit(whole, 0, 1, whole.candidates[0])
    unit.history, unit.warnings = [{"epoch": 0, "train": {"t0": float("nan")}}], ["slow"]
    unit.setting = {"alpha": 0.1 + 0.2, "t": [1, 2]}
    store.write(unit)
    (back,) = Store(tmp_path, whole).read(whole)
    for part in ("predictions", "inner"):
        for name, values in getattr(unit, part).items():
            np.testing.assert_array_equal(getattr(back, part)[name], values)
    for field in (
        "repeat",
        "fold",
        "candidate",
        "setting",
        "inner_null",
        "seconds",
        "settings_tried",
        "warnings",
    ):
        assert getattr(back, field) == getattr(unit, field)
    assert np.isnan(back.history[0]["train"]["t0"])


def test_numbers_of_numpy_in_settings_are_kept_and_objects_refused(tmp_path):
    store = Store(tmp_path, plan())
    store.write(Unit(0, 0, "apart", {"depth": np.int64(3), "rate": np.float32(0.5), "grid": np.arange(2)}))
    assert store.read(plan())[0].setting == {"depth": 3, "rate": 0.5, "grid": [0, 1]}
    with pytest.raises(SettingError, match="only plain data"):
        store.write(Unit(0, 0, "apart", {"kernel": object()}))


def test_a_folder_of_another_comparison_is_refused(tmp_path):
    polytask.compare(wide(), models=fakes(), folder=tmp_path, **SETTINGS)
    with pytest.raises(ModelFolderError, match="other data or settings; choose another folder"):
        polytask.compare(wide(seed=1), models=fakes(), folder=tmp_path, **SETTINGS)
    with pytest.raises(ModelFolderError, match="other data or settings"):
        polytask.compare(wide(), models=fakes(), seed=1, folder=tmp_path, **SETTINGS)


def test_a_damaged_unit_is_run_again_and_a_damaged_plan_is_named(tmp_path):
    whole = polytask.compare(wide(), models=fakes(), folder=tmp_path, **SETTINGS)
    first, second, *_ = sorted((tmp_path / "units").glob("*.npz"))
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(b"")
    same_result(polytask.compare(wide(), models=fakes(), folder=tmp_path, **SETTINGS), whole)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ModelFolderError, match=r"plan.json' cannot be read"):
        polytask.compare(wide(), models=fakes(), folder=tmp_path, **SETTINGS)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_unit_is_written_whole_or_not_at_all(tmp_path, monkeypatch, fails):
    store = Store(tmp_path, plan())
    unit = run_unit(plan(), 0, 0, plan().candidates[0])
    store.write(unit)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if fails == "fsync" else (Path, "replace")), no_space)
    unit.seconds = 99.0
    with pytest.raises(OSError, match="No space left"):
        store.write(unit)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_killed_write_leaves_nothing_that_is_read(tmp_path):
    """What a kill leaves is the temporary name."""
    store = Store(tmp_path, plan())
    (tmp_path / "units" / ".0-0-abc.npz.partial1").write_bytes(b"half")
    assert store.read(plan()) == []


def test_resuming_uses_the_plan_that_a_budget_settled_on(tmp_path, monkeypatch):
    """Slow fits: the budget allows one repeat of five; later calls go by that plan without a pilot."""
    models = fakes(sleep=0.02)
    arguments = {"models": models, "folds": 3, "repeats": 5, "inner_folds": 2, "folder": tmp_path}
    first = polytask.compare(wide(), budget=1.4, **arguments)
    assert first.run["repeats"] < 5
    assert any("repeats to keep the budget" in note for note in first.notes)
    monkeypatch.setattr("polytask.comparison.fit_to_budget", None)
    again = polytask.compare(wide(), budget=60.0, **arguments)
    assert again.run["repeats"] == first.run["repeats"]
    assert [n for n in again.notes if "budget" in n] == [n for n in first.notes if "budget" in n]


def test_units_of_candidates_that_were_dropped_are_not_read(tmp_path):
    three = plan(candidates=[*fakes(), Fake("third", "single")])
    store = Store(tmp_path, three)
    store.write(Unit(0, 0, "third"))
    assert store.read(plan()) == []
    assert [u.candidate for u in store.read(three)] == ["third"]
