from __future__ import annotations

import re

import numpy as np

from polytask.reporting.sections.headline import favourite
from polytask.reporting.sections.learning import learning
from polytask.reporting.sections.methods import COLUMNS, methods
from polytask.reporting.sections.why import why
from polytask.reporting.sections.zeros import FEATURES, zeros


def test_the_favourite_is_the_mean_share_over_tasks():
    report = {
        "tasks": [
            {"single": {"ridge": 0.9, "lasso": 0.1}},
            {"single": {"lasso": 0.8}},
            {"single": {"lasso": 0.6}},
        ]
    }
    name, share = favourite(report, "single")
    assert (name, round(share, 3)) == ("lasso", 0.5)
    assert favourite(report, "sharing") is None


def test_few_tasks_have_columns_and_many_a_strip(report_of):
    few, many = methods(report_of(COLUMNS)), methods(report_of(COLUMNS + 1))
    assert few.count('class="heat ') == 11 * COLUMNS - 1  # the joint forest leaves one task out
    assert "stripcell" not in few
    assert many.count("stripcell") == 11
    assert 'class="heat ' not in many


def test_the_best_mean_comes_first_on_each_side(report):
    gains = {c["name"]: c["delta_percent"] for c in report["candidates"]}
    found = re.findall(r'<th class="text name" scope="row" title="([^"]+)"', methods(report))
    for role in ("single", "sharing"):
        mine = [n for n in found if n in {c["name"] for c in report["candidates"] if c["role"] == role}]
        values = [gains[n] for n in mine if gains[n] is not None]
        assert values == sorted(values, reverse=True)


def test_colours_follow_the_sign(report):
    for tone, text in re.findall(r'class="heat (\w+)[^>]*>([^<]+)<', methods(report)):
        assert tone == ("helped" if text.startswith("+") else "hurt")


def test_most_and_least_alike_pairs_are_named_where_names_do_not_fit():
    q = 40
    matrix = np.full((q, q), 0.2)
    matrix[3, 5] = matrix[5, 3] = 0.9
    matrix[7, 8] = matrix[8, 7] = -0.7
    report = {"explain": {"similarity": {"tasks": [f"t{k}" for k in range(q)], "matrix": matrix.tolist()}}}
    made = why(report)
    assert "Most alike: t3 and t5 (0.90)" in made
    assert "Least alike: t7 and t8 (−0.70)" in made


def test_facts_are_a_table_for_few_and_pictures_for_many_tasks(report, large_report):
    assert "Gain against" not in why(report)
    assert why(large_report).count("<figcaption>") == 2 + 3


def test_a_matrix_that_does_not_fit_its_tasks_is_not_drawn():
    assert why({"explain": {"similarity": {"tasks": ["a", "b", "c"], "matrix": [[1.0]]}}}) is None


def test_counts_of_used_features():
    coef = np.zeros((2, 5))
    coef[:, 1], coef[0, 3] = 2.0, 1.0
    model = {
        "model": "lasso",
        "role": "single",
        "tasks": ["a", "b"],
        "features": list("vwxyz"),
        "coef": coef.tolist(),
    }
    assert "Uses 2 of 5 features, 1 of them for every task: w." in zeros({"sparsity": [model]})
    assert "70\u00a0% zeros" in zeros({"sparsity": [model]})


def test_single_task_models_are_on_top(report):
    made = zeros(report)
    assert made.index("lasso: ") < made.index("group lasso: ")


def test_very_many_features_are_cut_to_those_in_use():
    coef = np.zeros((2, FEATURES + 500))
    coef[:, -1] = 1.0
    model = {
        "model": "lasso",
        "tasks": ["a", "b"],
        "features": [f"x{j}" for j in range(coef.shape[1])],
        "coef": coef.tolist(),
    }
    made = zeros({"sparsity": [model]})
    assert f'viewBox="0 0 {FEATURES} 2"' in made
    assert f"M{FEATURES - 1} 0h1v1h-1z" in made
    assert "1,500 features used most, of 2,000" in made


def test_a_table_that_does_not_fit_is_left_out():
    assert (
        zeros({"sparsity": [{"model": "lasso", "tasks": ["a"], "features": ["x"], "coef": [[1.0, 2.0]]}]})
        is None
    )


def test_learning_curves_are_open_only_while_there_are_few(report):
    assert learning(report).count("<details open>") == 2
    report["curves"] *= 2
    assert learning(report).count("<details open>") == 1
