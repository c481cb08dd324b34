from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from polytask.errors import SettingError
from polytask.linear import GroupLasso, GroupLassoCV, Moments, TaskLasso
from polytask.reporting.linear import render_linear, write_linear

from .conftest import HOSTILE
from .test_html import Document


class Along(NamedTuple):
    grid: np.ndarray
    coef: np.ndarray


def model(q: int, p: int, **more: Any) -> dict[str, Any]:
    """A description as a linear model gives it, a third of its features used."""
    rng = np.random.default_rng(0)
    coef = rng.normal(size=(q, p)) * (np.arange(p) % 3 == 0)
    return {
        "model": "GroupLasso",
        "tasks": [f"task {t}" for t in range(q)],
        "features": [f"x{j}" for j in range(p)],
        "coef": coef.tolist(),
        "penalties": {"alpha": 0.1},
        **more,
    }


def covariance(q: int) -> list[list[float]]:
    root = np.random.default_rng(1).normal(size=(q, q))
    return (root @ root.T).tolist()


@pytest.mark.parametrize(("q", "p"), [(1, 1), (3, 12), (40, 300)])
def test_a_whole_document_with_a_section_for_all_there_is(q: int, p: int) -> None:
    grid = np.geomspace(1, 1e-3, 30)
    coef = np.random.default_rng(0).normal(size=(30, q, p)) * np.linspace(0, 1, 30)[:, None, None]
    description = model(
        q, p, task_covariance=covariance(q), error_precision=covariance(q), rank=1,
        groups=[["task 0"]], outlier_tasks=["task 0"],
    )  # fmt: skip
    text = render_linear(description, path=Along(grid, coef), others=[model(q, p)])
    page = Document(text)
    assert not {"script", "link", "img", "use"} & {tag for tag, _ in page.tags}
    ids = ["zeros", "paths", "task-covariance", "error-precision", "groups", "coefficients"]
    assert [s["id"] for s in page.all("section")] == ids
    assert len(re.findall("coefficients by penalty", text)) == min(q, 12)
    assert len(text) < 1_500_000


def test_what_a_fitted_model_says_of_itself_is_drawn() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 5)), rng.normal(size=(40, 2))
    moments = Moments.from_arrays(X, Y)
    for fitted in (
        GroupLasso(0.1).fit(X, Y),
        GroupLassoCV(n_alphas=5).fit(X, Y),
        TaskLasso([0.1, 0.2]).fit(X, Y),
    ):
        path = fitted.coef_path(moments, fitted.default_grid(moments, 10))
        description = json.loads(json.dumps(fitted.describe()))
        text = render_linear(description, path=path)
        assert 'id="paths"' in text
        assert type(fitted).__name__ in text


def test_of_several_penalties_the_path_at_the_last_of_the_others_is_drawn() -> None:
    strengths = np.array([1.0, 0.1, 1.0, 0.1])
    grid = np.column_stack([strengths, [0.2, 0.2, 0.8, 0.8]])
    coef = np.zeros((4, 2, 3))
    coef[:2] = 5.0  # at .2, not to be drawn
    coef[3] = 1.0
    text = render_linear(model(2, 3), path=Along(grid, coef))
    only = render_linear(model(2, 3), path=Along(strengths[2:], coef[2:]))
    assert text == only


def test_rows_of_the_matrices_are_clustered() -> None:
    alike = np.array([[1.0, -0.9, 0.9], [-0.9, 1.0, -0.9], [0.9, -0.9, 1.0]])
    text = render_linear(model(3, 4, task_covariance=alike.tolist()))
    section = text[text.index('id="task-covariance"') :]
    names = re.findall(r'class="name">(task \d)', section)[:3]
    assert names in (["task 0", "task 2", "task 1"], ["task 1", "task 0", "task 2"], ["task 1", "task 2", "task 0"],
                     ["task 2", "task 0", "task 1"])  # fmt: skip


def test_a_path_of_another_problem_is_refused() -> None:
    with pytest.raises(SettingError, match="path has coefficients of"):
        render_linear(model(2, 3), path=Along(np.ones(1), np.zeros((1, 2, 4))))


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    hostile = model(1, 1, tasks=[HOSTILE], features=[HOSTILE], groups=[[HOSTILE]], outlier_tasks=[HOSTILE])
    path = write_linear(hostile, tmp_path / "page.html", path=Along(np.array([1.0, 0.1]), np.ones((2, 1, 1))))
    page = Document(path.read_text())
    assert "script" not in {tag for tag, _ in page.tags}
