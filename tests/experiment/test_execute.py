"""Interrupted, resumed and parallel runs give what one run gives, and no finished fit is run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sklearn.ensemble import ExtraTreesRegressor

import polytask
from fakes import QUICK, Fake, fakes, same_result, wide
from polytask.errors import PolytaskError, SettingError

SETTINGS = {"folds": 3, "repeats": 2, "inner_folds": 2}
FITS_OF_A_UNIT = 3  # two inner folds and the final fit


def fits(log):
    return len(log.read_text().splitlines())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupted_run_keeps_what_is_finished_and_the_same_call_goes_on(tmp_path, n_jobs):
    log, folder = tmp_path / "log", tmp_path / "kept"
    whole = polytask.compare(wide(), models=fakes(), **SETTINGS)
    stopped = 7 * FITS_OF_A_UNIT + 2
    with pytest.raises(KeyboardInterrupt) as interrupt:
        polytask.compare(wide(), models=fakes_of(log, stopped), folder=folder, n_jobs=n_jobs, **SETTINGS)
    kept = len(list((folder / "units").glob("*.npz")))
    assert 4 <= kept <= 7
    assert f"{kept} of 12 fits are finished and kept in '{folder}'" in str(interrupt.value)
    before = fits(log)
    resumed = polytask.compare(wide(), models=fakes_of(log, None), folder=folder, **SETTINGS)
    assert fits(log) - before == (12 - kept) * FITS_OF_A_UNIT
    same_result(resumed, whole)
    again = polytask.compare(wide(), models=fakes_of(log, None), folder=folder, **SETTINGS)
    assert fits(log) - before == (12 - kept) * FITS_OF_A_UNIT
    same_result(again, whole)


class Interruptible(Fake):
    """When it is interrupted is no part of what it computes, so it has no part in the fingerprint."""

    def __repr__(self):
        return self.name


def fakes_of(log, interrupt_at):
    return [
        Interruptible(n, r, log=log, interrupt_at=interrupt_at)
        for n, r in (("apart", "single"), ("together", "sharing"))
    ]


def test_without_a_folder_an_interruption_passes_as_it_is(tmp_path):
    with pytest.raises(KeyboardInterrupt) as interrupt:
        polytask.compare(wide(), models=fakes_of(tmp_path / "log", 5), **SETTINGS)
    assert not str(interrupt.value)


def test_two_processes_compute_exactly_what_one_does():
    models = [*QUICK, ("trees", ExtraTreesRegressor(5))]
    settings = {"folds": 2, "repeats": 1, "inner_folds": 1}
    same_result(*(polytask.compare(wide(), models=models, n_jobs=n, **settings) for n in (1, 2)))


def test_a_failing_candidate_is_named_with_its_fold():
    class Failing(Fake):
        def fit(self, data, setting, seed):
            raise ZeroDivisionError("by design")

    models = [Fake("apart", "single"), Failing("broken", "sharing")]
    with pytest.raises(
        PolytaskError, match=r"'broken' failed \(repeat 0, fold 0\): ZeroDivisionError: by design"
    ):
        polytask.compare(wide(), models=models, **SETTINGS)

    class Refusing(Fake):
        def fit(self, data, setting, seed):
            raise SettingError("alpha is wrong")

    models[1] = Refusing("broken", "sharing")
    with pytest.raises(SettingError, match=r"'broken' \(repeat 0, fold 0\): alpha is wrong"):
        polytask.compare(wide(), models=models, **SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_real_ctrl_c_keeps_what_is_finished(tmp_path, n_jobs):
    folder = tmp_path / "kept"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import polytask; from fakes import fakes, wide\n"
        f"settings = dict(folder={str(folder)!r}, n_jobs={n_jobs}, repeats=20)\n"
        "polytask.compare(wide(), models=fakes(sleep=0.1), **settings)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while len(list(folder.glob("units/*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)
    message = run.communicate(timeout=30)[1]
    kept = len(list(folder.glob("units/*.npz")))
    assert run.returncode != 0
    assert kept >= 3
    assert f"{kept} of 200 fits are finished and kept in '{folder}'" in message
