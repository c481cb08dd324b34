"""Odd tables must end in a result or in one line that says what is wrong, never in a traceback."""

from __future__ import annotations

import csv
import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polytask.cli import main

ENTRIES = {
    "numbers": lambda r: f"{r.randint(-300, 300) / 100}",
    "whole": lambda r: str(r.randint(-3, 9)),
    "binary": lambda r: r.choice("01"),
    "holes": lambda r: r.choice(["", "0.5", "1.5", "2"]),
    "truth": lambda r: r.choice(["True", "False"]),
    "words": lambda r: r.choice(["red", "blue", "a,b", 'é"x', "<b>", "NA"]),
    "empty": lambda r: "",
    "constant": lambda r: "7",
    "huge": lambda r: str(r.randint(0, 10**25)),
    "mixed": lambda r: r.choice(["1", "2", "x", ""]),
    "infinite": lambda r: r.choice(["1", "inf", "-1e999"]),
    "dates": lambda r: f"2020-0{r.randint(1, 9)}-01",
    "any": lambda r: "".join(chr(r.choice([9, 10, 32, 34, 39, 44, 48, 65, 233, 8364])) for _ in range(3)),
}
NAMES = ["f", "g", "h", "x y", "ü", 't,"1', "Unnamed: 0", "1", " f", "", "y1"]
GOOD, USABLE = ("numbers", "whole", "binary", "holes"), 8  # the first eight kinds make usable features


@st.composite
def tables(draw):
    """Two target columns and up to four features of any kind, mostly usable ones: some tables are fitted."""
    kinds = [*ENTRIES, *3 * list(ENTRIES)[:USABLE]]
    targets = [draw(st.sampled_from([*ENTRIES, *6 * GOOD])) for _ in range(2)]
    features = draw(st.lists(st.sampled_from(kinds), min_size=0, max_size=4))
    p, unique = len(features), draw(st.booleans())
    names = draw(st.lists(st.sampled_from(NAMES), min_size=p, max_size=p, unique=unique))
    n, r = draw(st.sampled_from([25, 12, 8, 2, 1])), draw(st.randoms(use_true_random=False))
    columns = [[ENTRIES[kind](r) for _ in range(n)] for kind in (*targets, *features)]
    text = io.StringIO()
    csv.writer(text).writerows([["y1", "y2", *names], *zip(*columns)])
    return text.getvalue()


def outcome(*words):
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main([str(word) for word in words])
    return code, errors.getvalue()


def assert_clean(code, errors):
    assert code in (0, 2, 3), errors
    lines = [line for line in errors.splitlines() if not line.startswith("polytask: warning: ")]
    assert len(lines) == (code != 0), errors
    assert all(line.startswith("polytask: error: ") for line in lines)


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(tables())
def test_wide_tables(table):
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder) / "d.csv", Path(folder) / "m"
        path.write_bytes(table.encode("utf-8", "replace"))
        code, errors = outcome(
            "fit", path, "--targets", "y1", "y2", "--kind", "regression", "--model", "ridge", "--out", model
        )
        assert_clean(code, errors)
        assert model.exists() == (code == 0)
        if code == 0:
            assert outcome("predict", model, path, "--quiet") == (0, "")


@quick
@given(st.binary(max_size=60) | st.text(st.sampled_from('a,;"\n\t1.é'), max_size=40).map(str.encode))
def test_files_that_are_no_tables(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.csv"
        path.write_bytes(content)
        assert_clean(*outcome("fit", path, "--targets", "a", "--model", "ridge", "--out", Path(folder) / "m"))
