from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polytask.errors import SettingError
from polytask.reporting import render_balancing, write_balancing

from .conftest import HOSTILE, LONG
from .test_html import Document


def run(
    n_tasks: int, n_records: int = 30, gradients: bool = True, weights: bool = True
) -> list[dict[str, Any]]:
    """Made-up records; the first names are hostile to HTML and very long."""
    rng = np.random.default_rng(0)
    names = [HOSTILE, LONG, *(f"school {k}" for k in range(3, n_tasks + 1))][:n_tasks]
    pairs = len(list(combinations(names, 2)))
    cosines = rng.uniform(-1, 1, (n_records, pairs))
    return [
        {
            "step": 10 * i,
            "tasks": names,
            "losses": rng.lognormal(size=n_tasks).tolist(),
            "weights": rng.dirichlet(np.ones(n_tasks)).tolist() if weights else None,
            "gradients_of": "shared parameters" if gradients else None,
            "norms": rng.lognormal(size=n_tasks).tolist() if gradients else None,
            "cosines": cosines[i].tolist() if gradients else None,
            "conflicts": float((cosines[i] < 0).mean()) if gradients and pairs else None,
        }
        for i in range(n_records)
    ]


@pytest.mark.parametrize("n_tasks", [1, 2, 3, 5, 12, 40])
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_a_whole_document_that_loads_nothing(n_tasks: int, gradients: bool, weights: bool) -> None:
    text = render_balancing(run(n_tasks, 30, gradients, weights))
    page = Document(text)
    assert not {"script", "link", "img"} & {tag for tag, _ in page.tags}
    assert "<script" not in text
    assert "nan" not in "".join(re.findall(r'points="[^"]*"', text))
    assert [s["id"] for s in page.all("section")] == ["tasks", *["pairs"] * (gradients and n_tasks > 1)]
    pictures = len(re.findall(r'role="img"[^>]*><title>[^<]+</title>', text))
    expected = 1 + weights + gradients + (weights and gradients)
    if gradients and n_tasks > 1:
        expected += 2 + (n_tasks > 2)
    assert pictures == expected


def test_the_headline_says_how_much_the_gradients_conflict() -> None:
    records = run(3)
    share = np.mean([r["conflicts"] for r in records])
    assert f"Gradients conflict in {100 * share:.0f}\u00a0% of the pairs of tasks" in render_balancing(
        records
    )
    assert "How 3 tasks were weighted" in render_balancing(run(3, gradients=False))


def test_tiles_name_who_stands_out() -> None:
    records = [
        {"step": k, "tasks": ["x", "y", "z"], "losses": [1.0] * 3, "weights": [1.0, 5.0, 2.0]}
        | {"gradients_of": "shared parameters", "norms": [30.0, 2.0, 1.0]}
        | {"cosines": [0.5, -0.5 + k / 10, 0.1], "conflicts": 1 / 3}
        for k in range(3)
    ]
    tiles = Document(render_balancing(records)).text["dl"]
    assert "Least aligned pairx and zmean cosine −0.40" in tiles
    assert "Largest gradientx30 times that of z, on average" in tiles
    assert "Largest weighty5 times that of x, on average" in tiles


def test_equal_weights_are_nobodys_largest() -> None:
    records = [r | {"weights": [1 / 3] * 3} for r in run(3)]
    assert "Largest weight" not in render_balancing(records)


def test_records_read_back_from_json_make_the_same_page(tmp_path: Path) -> None:
    records = run(4)
    path = write_balancing([json.loads(json.dumps(r)) for r in records], tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == render_balancing(records)


def test_a_page_stays_small_over_long_runs() -> None:
    assert len(render_balancing(run(40, 500))) < 150_000


def test_no_records_say_what_to_do() -> None:
    with pytest.raises(SettingError, match="There are no records"):
        render_balancing([])
