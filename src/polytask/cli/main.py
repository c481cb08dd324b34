"""Running a command: errors become one line and an exit code.

Exit codes: 0 done, 1 unexpected, 2 usage, 3 data, 4 folder, 130 interrupted; `polytask --help` explains them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module

from polytask.cli.arguments import parser
from polytask.errors import DataError, ModelFolderError, PolytaskError, PolytaskWarning, SettingError

OK, UNEXPECTED, USAGE, DATA, FOLDER, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; the process's own arguments by default.

    Returns
    -------
    int
        The exit code.
    """
    _readable_streams()
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else USAGE
    try:
        with _one_line_warnings(arguments):
            import_module(f"polytask.cli.{arguments.command}").run(arguments)
            sys.stdout.flush()
    except KeyboardInterrupt:
        _say(_interrupted(arguments))
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, had enough
        _drop_output()
        return OK
    except Exception as error:
        if arguments.debug:
            traceback.print_exc()
        _say(f"polytask: error: {_message(error)}")
        return _code(error)
    return OK


def _code(error: Exception) -> int:
    kinds = ((SettingError, USAGE), (DataError, DATA), (ModelFolderError, FOLDER))
    return next((code for kind, code in kinds if isinstance(error, kind)), UNEXPECTED)


def _message(error: Exception) -> str:
    """One line; an error that nobody wrote for users is named, with the way to more."""
    text = " ".join(str(error).split())
    if isinstance(error, (PolytaskError, OSError)):
        return text
    return f"{type(error).__name__}: {text} (unexpected; run again with --debug for the traceback)"


def _interrupted(arguments: argparse.Namespace) -> str:
    if arguments.command != "compare":
        return "polytask: interrupted; nothing was written."
    if arguments.out is None:
        return "polytask: interrupted. With --out DIR the same command would go on where it stopped."
    return (
        f"polytask: interrupted. Finished work is in '{arguments.out}'; the same command resumes from there."
    )


@contextlib.contextmanager
def _one_line_warnings(arguments: argparse.Namespace) -> Iterator[None]:
    """Warnings meant for users as single lines; all others only when debugging, in worker processes too."""
    if arguments.debug:
        yield
        return
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not arguments.quiet:
                warnings.simplefilter("always", PolytaskWarning)
            warnings.showwarning = lambda message, *_, **__: _say(
                f"polytask: warning: {' '.join(str(message).split())}"
            )
            yield
    finally:
        if before is None:
            os.environ.pop("PYTHONWARNINGS")
        else:
            os.environ["PYTHONWARNINGS"] = before


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _readable_streams() -> None:
    """Pipes and files get UTF-8 whatever the locale; a terminal gets a mark for what it cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")


def _drop_output() -> None:
    """Keep the interpreter from flushing into the closed pipe when it exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
