"""From a file and the words of the command line to `TaskData`."""

from __future__ import annotations

import argparse

from polytask.cli.tables import read_table
from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.tasks import Task


def read_tasks(arguments: argparse.Namespace) -> TaskData:
    """The data in wide form (--targets) or long form (--task-column and --target).

    Raises
    ------
    SettingError
        For words that contradict each other.
    DataError
        For what is wrong with the table.
    """
    _check(arguments)
    common, kinds = _kinds(arguments)
    special = {"drop": arguments.drop, "groups": arguments.group_column, "time": arguments.time_column}
    if arguments.targets:
        chosen = {name: common for name in dict.fromkeys(arguments.targets) if common} | kinds
        tasks = [Task(name, kind) for name, kind in chosen.items()]
        return TaskData.from_frame(read_table(arguments.data), arguments.targets, tasks, **special)
    tasks = [Task(name, kind) for name, kind in kinds.items()]
    if common:
        Task(arguments.target, common)  # refuses an unknown kind before the file is read
    frame = read_table(arguments.data, text_columns=[arguments.task_column])
    return TaskData.from_long(frame, arguments.task_column, arguments.target, tasks, kind=common, **special)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.task_column and not arguments.target:
        raise SettingError("--task-column needs --target, the column that holds the values to predict.")
    if arguments.targets and arguments.target:
        raise SettingError("--target goes with --task-column; name all targets after --targets.")
    own = set(arguments.targets or [arguments.task_column, arguments.target])
    if arguments.task_column and arguments.task_column == arguments.target:
        raise SettingError(f"Column '{arguments.target}' cannot be both the task and the target.")
    for option, names in (
        ("--drop", arguments.drop),
        ("--group-column", [arguments.group_column]),
        ("--time-column", [arguments.time_column]),
    ):
        both = [
            name
            for name in names
            if name in own and not (name == arguments.task_column and option != "--drop")
        ]
        if both:
            raise SettingError(f"Column '{both[0]}' is a target; it cannot be used for {option}.")


def _kinds(arguments: argparse.Namespace) -> tuple[str | None, dict[str, str]]:
    """The kind of all tasks, and those of single ones; the target's name in long form means all."""
    common, single = None, {}
    for text in arguments.kind:
        name, equals, kind = text.rpartition("=")
        if not equals or (arguments.task_column and name == arguments.target):
            common = kind
        elif arguments.targets and name not in arguments.targets:
            raise SettingError(
                f"--kind {text}: '{name}' is not among the targets {', '.join(arguments.targets)}."
            )
        else:
            single[name] = kind
    return common, single
