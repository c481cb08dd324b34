from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import polytask
from polytask.cli.arguments import parser, seconds


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5H", 5400), ("0.5", 0.5)]
)
def test_time_spans(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "5x", "-1", "0", "nan", "inf", "1e999h", "5 minutes"])
def test_no_time_spans(run, text):
    code, _, errors = run("compare", "d.csv", "--targets", "a", f"--budget={text}")
    assert code == 2
    assert "is no time span" in errors


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["compare"],
        ["compare", "data.csv"],
        ["compare", "data.csv", "--targets", "a", "--task-column", "t"],
        ["compare", "data.csv", "--targets", "a", "--folds", "1"],
        ["compare", "data.csv", "--targets", "a", "--seeds", "0"],
        ["compare", "data.csv", "--task-column", "t"],
        ["compare", "data.csv", "--targets", "a", "--target", "b"],
        ["compare", "data.csv", "--task-column", "t", "--target", "t"],
        ["compare", "data.csv", "--targets", "a", "b", "--drop", "b"],
        ["compare", "data.csv", "--targets", "a", "b", "--group-column", "b"],
        ["compare", "data.csv", "--targets", "a", "b", "--kind", "c=counts"],
        ["compare", "data.csv", "--targets", "a", "b", "--kind", "a=colour"],
        ["compare", "data.csv", "--task-column", "t", "--target", "y", "--kind", "colour"],
        ["fit", "data.csv", "--targets", "a"],
        ["compare", "data.xlsx", "--targets", "a", "b"],
    ],
)
def test_usage_errors_come_before_the_data_is_read(run, words):
    code, printed, errors = run(*words)
    assert (code, printed) == (2, "")
    assert "Traceback" not in errors


def test_tasks_may_be_the_groups(run, long_csv, monkeypatch):
    seen = {}
    monkeypatch.setattr(polytask, "compare", lambda data, **_: seen.update(data=data) or 1 / 0, raising=False)
    run("compare", long_csv, "--task-column", "school", "--target", "a", "--group-column", "school")
    assert set(seen["data"].groups) == {"7", "07", "007"}


def test_a_file_in_the_way_of_the_folder(run, csv):
    code, _, errors = run("compare", csv, "--targets", "a", "b", "--out", csv)
    assert code == 2
    assert errors == f"polytask: error: --out: '{csv}' is a file; name a folder.\n"


def test_a_bug_is_one_line_unless_debugging(run, csv, monkeypatch):
    monkeypatch.setattr(polytask, "compare", lambda *_, **__: 1 / 0, raising=False)
    code, _, errors = run("compare", csv, "--targets", "a", "b")
    assert code == 1
    assert errors.startswith(
        "polytask: error: ZeroDivisionError: division by zero (unexpected; run again with --debug"
    )
    assert errors.count("\n") == 1
    assert "Traceback" in run("compare", csv, "--targets", "a", "b", "--debug")[2]


def test_help_states_the_exit_codes(run):
    for words in (["--help"], ["compare", "--help"], ["fit", "--help"], ["predict", "--help"]):
        code, printed, _ = run(*words)
        assert code == 0
        for line in ("0    done", "2    usage", "3    data", "4    folder", "130  interrupted"):
            assert line in printed


def test_version(run):
    assert run("--version") == (0, f"polytask {polytask.__version__}\n", "")


def test_the_environment_is_left_as_it_was(run, csv, monkeypatch):
    for before in (None, "error"):
        monkeypatch.delenv("PYTHONWARNINGS", raising=False)
        if before:
            monkeypatch.setenv("PYTHONWARNINGS", before)
        run("compare", csv, "--targets", "a", "zz")
        assert os.environ.get("PYTHONWARNINGS") == before


def test_help_is_light():
    code = (
        "import sys; from polytask.cli import main; main(['--help']); "
        "print(sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def command(*words):
    code = "import sys; from polytask.cli import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code, *map(str, words)]


def test_as_a_process(csv):
    done = subprocess.run(
        command("compare", csv, "--targets", "a", "c"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("polytask: error: No column 'c'")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_closes_the_pipe(csv, tmp_path, run):
    run("fit", csv, "--targets", "a", "--model", "ridge", "--out", tmp_path / "m", "--quiet")
    with subprocess.Popen(
        command("predict", tmp_path / "m", csv), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c(csv, tmp_path):
    words = [
        "compare",
        csv,
        "--targets",
        "a",
        "b",
        "--models",
        "ridge",
        "lasso",
        "group lasso",
        "--seeds",
        "500",
        "--jobs",
        "1",
    ]
    process = subprocess.Popen(command(*words, "--out", tmp_path / "r"), stderr=subprocess.PIPE, text=True)
    units = tmp_path / "r" / "progress" / "units"
    deadline = time.monotonic() + 60
    while not list(units.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("polytask: interrupted. Finished work is in")
    assert "Traceback" not in errors


def test_every_command_has_a_module():
    actions = next(a for a in parser()._actions if a.dest == "command")
    assert set(actions.choices) == {"compare", "fit", "predict"}
