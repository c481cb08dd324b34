from __future__ import annotations

import inspect
from pathlib import Path

import polytask.linear
from polytask.linear import LINEAR_MODELS, capability_rows
from polytask.linear.base import LinearTaskModel

PAGE = Path(__file__).parents[2] / "docs" / "linear.md"


def test_every_model_is_in_the_registry():
    public = {
        value
        for value in vars(polytask.linear).values()
        if inspect.isclass(value) and issubclass(value, LinearTaskModel)
    }
    listed = {model for entry in LINEAR_MODELS.values() for model in entry if model is not None}
    assert public == listed


def test_the_table_of_the_docs_is_what_the_models_declare():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = list(capability_rows())
    start = lines.index("| " + " | ".join(rows[0]) + " |") + 2
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : start + len(rows)]
    ]
    numbered = [line for line in lines[start + len(rows) + 1 :] if line[:1].isdigit()]
    notes = dict(line.split(". ", 1) for line in numbered)
    for row, cells in zip(rows, table):
        for column, (declared, cell) in enumerate(zip(row.values(), cells)):
            if cell.startswith("no ("):
                reason = notes[cell[4:-1]]
                assert reason == f"{declared[0].upper()}{declared[1:]}."
            else:
                assert cell == (f"`{declared}`" if column == 0 else declared)
    assert not lines[start + len(rows)].startswith("|")


def test_every_model_names_its_source():
    for entry in LINEAR_MODELS.values():
        for model in entry:
            if model is not None:
                text = inspect.getdoc(model) or ""
                assert "Parameters" in text
                assert "coef_" in text, model


def test_the_readme_counts_them():
    text = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"holds {len(LINEAR_MODELS)} multi-task estimators" in text
