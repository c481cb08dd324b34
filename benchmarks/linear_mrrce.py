"""MrRCE's published simulations: does the mixed model reach its authors' model errors?

    python benchmarks/linear_mrrce.py [--quick] [--json FILE] [--jobs 2] [--replications 200]

Navon & Rosset 2020 (Capturing between-tasks covariance and similarities using multivariate linear mixed models,
arXiv 1812.03662): n = 50 rows, p = 20 features, q = 5 tasks; rows of X are N(0, AR(.7)), rows of B are
N(0, σ²[(1 − ρ)I + ρ11ᵀ]) with σ = 1, ρ = 0, .2, .4, .6, .8, and the error is tr[(B̂ − B)ᵀ Σ_X (B̂ − B)]. Two settings:

- "AR dense": errors with the AR(.75) correlations;
- "equicorrelation sparse": errors with all correlations .9; a Bernoulli draw sets 10 % of the rows of B to zero and
  another 10 % of its elements.

The error covariance is rotated, UΣUᵀ, by the eigenvectors U of the equicorrelation matrix, as the authors' code does.
All eigenvalues of that matrix but one are equal, so its eigenvectors are not determined; here U has the columns 1/√q
and Helmert's contrasts. In the authors' code they are what LAPACK returns.

Methods, all without intercepts as in the authors' code: MrRCE with the penalty of the precision chosen out of four by
5-fold cross-validation (the authors: out of ten by 3 folds, scored at the starting values, and on the precision of the
rotated errors); "MrRCE unpenalised" without any; the multi-task lasso by 3-fold cross-validation (as scikit-learn's
MultiTaskLassoCV, the authors' choice); ridge with one penalty out of 0.1, 1, 10 for all tasks by leave-one-out errors
(scikit-learn's RidgeCV, the authors' choice); least squares; and MRCE with both penalties by 5-fold cross-validation,
50 replications. `published` is the authors' mean over 200 replications (from the results in their repository). A goal
is their mean plus two standard errors of the difference of two such means: reached if no worse than chance allows.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import helmert
from sklearn.linear_model import RidgeCV

from common import Result, parser
from polytask.errors import PolytaskWarning
from polytask.linear import MRCECV, GroupLassoCV, MrRCE, MrRCECV, TaskRidge

N, P, Q = 50, 20, 5
SIMILARITIES = (0.0, 0.2, 0.4, 0.6, 0.8)
MRCE_REPLICATIONS = 50
#: Bias of the learned parameters that is allowed at similarities above zero.
BIAS = 0.05


class Setting(NamedTuple):
    """Correlations of the errors, AR or all equal, and the share of rows and of elements of B that are zero."""

    autoregressive: bool
    correlation: float
    sparse: float
    published: dict[str, tuple[float, ...]]
    errors: dict[str, tuple[float, ...]]


#: Means and standard errors over 200 replications, per similarity.
SETTINGS = {
    "AR dense": Setting(
        True, 0.75, 0.0,
        {
            "MrRCE": (2.70, 2.63, 2.56, 2.36, 1.99),
            "group lasso": (3.20, 3.23, 3.14, 3.20, 3.10),
            "MRCE": (3.29, 3.01, 3.04, 3.07, 3.12),
            "ridge": (3.03, 3.04, 2.98, 3.11, 3.06),
            "OLS": (3.45, 3.46, 3.40, 3.55, 3.50),
        },
        {
            "MrRCE": (0.048, 0.050, 0.053, 0.040, 0.035),
            "group lasso": (0.061, 0.070, 0.063, 0.064, 0.056),
            "MRCE": (0.067, 0.061, 0.056, 0.060, 0.065),
            "ridge": (0.057, 0.074, 0.061, 0.057, 0.056),
            "OLS": (0.078, 0.089, 0.077, 0.075, 0.072),
        },
    ),
    "equicorrelation sparse": Setting(
        False, 0.9, 0.1,
        {
            "MrRCE": (2.16, 2.15, 2.03, 1.84, 1.52),
            "MRCE": (2.67, 2.73, 2.60, 2.76, 2.76),
            "group lasso": (2.94, 2.93, 3.02, 2.90, 2.86),
            "ridge": (2.89, 2.86, 3.03, 2.95, 2.90),
        },
        {
            "MrRCE": (0.047, 0.052, 0.045, 0.042, 0.032),
            "MRCE": (0.072, 0.078, 0.070, 0.081, 0.076),
            "group lasso": (0.063, 0.061, 0.070, 0.064, 0.062),
            "ridge": (0.062, 0.061, 0.078, 0.067, 0.063),
        },
    ),
}  # fmt: skip


def autoregressive(size: int, correlation: float) -> np.ndarray:
    """(size, size) correlations that decay with the distance."""
    return correlation ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def equicorrelation(size: int, correlation: float) -> np.ndarray:
    """(size, size) correlations that are all equal."""
    return (1 - correlation) * np.eye(size) + correlation


def draw(
    setting: Setting, similarity: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """X (n, p), Y (n, q), B (p, q) and Σ_X of one replication."""
    rng = np.random.default_rng([seed, round(10 * similarity)])
    sigma_x = autoregressive(P, 0.7)
    X = rng.multivariate_normal(np.zeros(P), sigma_x, N)
    B = rng.multivariate_normal(np.zeros(Q), equicorrelation(Q, similarity), P)
    B *= rng.binomial(1, 1 - setting.sparse, (P, 1))
    B *= rng.binomial(1, 1 - setting.sparse, (P, Q))
    errors = (autoregressive if setting.autoregressive else equicorrelation)(Q, setting.correlation)
    U = helmert(Q, full=True).T
    return X, X @ B + rng.multivariate_normal(np.zeros(Q), U @ errors @ U.T, N), B, sigma_x


def fit_all(name: str, similarity: float, seed: int, with_mrce: bool) -> dict[str, dict[str, float]]:
    """Model errors of every method, and what MrRCE learned."""
    X, Y, B, sigma_x = draw(SETTINGS[name], similarity, seed)
    models = {
        "MrRCE": MrRCECV(fit_intercept=False, n_alphas=4),
        "MrRCE unpenalised": MrRCE(0.0, fit_intercept=False),
        "group lasso": GroupLassoCV(fit_intercept=False, cv=3),
        "ridge": RidgeCV(fit_intercept=False),
        "OLS": TaskRidge(0.0, fit_intercept=False),
    }
    if with_mrce:
        # At some penalties coefficients enter slowly; they are not those that are chosen.
        models["MRCE"] = MRCECV(
            fit_intercept=False, scale_targets=False, n_alphas=6, eps=0.01, error_alphas=(0.1, 0.03),
            tol=1e-2, max_iter=20,
        )  # fmt: skip
    figures = {}
    with warnings.catch_warnings():
        # A fold whose last digits are open is not worth a line each.
        warnings.simplefilter("ignore", PolytaskWarning)
        for system, model in models.items():
            off = model.fit(X, Y).coef_.T - B
            figures[system] = {"error": float(np.trace(off.T @ sigma_x @ off))}
            if hasattr(model, "similarity_"):
                figures[system] |= {
                    "similarity": model.similarity_, "sigma": float(np.sqrt(model.coef_variance_))
                }  # fmt: skip
    return figures


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def report(
    result: Result, name: str, index: int, draws: list[dict[str, dict[str, float]]], *, with_goals: bool
) -> None:
    """Rows and goals of one setting at one similarity."""
    setting, similarity = SETTINGS[name], SIMILARITIES[index]
    where = f"{name}, similarity {similarity:g}"
    systems = list(dict.fromkeys(system for each in draws for system in each))
    for system in systems:
        found = [each[system] for each in draws if system in each]
        mean, error = mean_and_error([each["error"] for each in found])
        learned = {
            f"mean_{key}": float(np.mean([each[key] for each in found]))
            for key in ("similarity", "sigma")
            if key in found[0]
        }
        published = setting.published.get(system)
        result.row(
            system, where, error=mean, standard_error=error, replications=len(found), **learned,
            published=None if published is None else published[index],
        )  # fmt: skip
        if published is not None and with_goals:
            slack = 2 * float(np.hypot(error, setting.errors[system][index]))
            result.reached(
                name=f"{system}, {where}: model error", value=mean, target=published[index] + slack,
                at_least=False,
            )  # fmt: skip
        if with_goals and system == "MrRCE unpenalised" and name == "AR dense" and similarity > 0:
            for key, truth in (("similarity", similarity), ("sigma", 1.0)):
                bias = abs(learned[f"mean_{key}"] - truth)
                result.reached(name=f"bias of {key}, {where}", value=bias, target=BIAS, at_least=False)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--replications", type=int, default=200)
    options = arguments.parse_args()
    replications = 4 if options.quick else options.replications
    with_mrce = 2 if options.quick else MRCE_REPLICATIONS
    result = Result("linear_mrrce", list(range(replications)))
    with Parallel(n_jobs=options.jobs) as parallel:
        for name in SETTINGS:
            for index, similarity in enumerate(SIMILARITIES):
                draws = parallel(
                    delayed(fit_all)(name, similarity, seed, seed < with_mrce) for seed in range(replications)
                )
                report(result, name, index, draws, with_goals=not options.quick)
    result.write(options.json)


if __name__ == "__main__":
    main()
