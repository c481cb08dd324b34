"""How fast are whole paths of the multi-task lasso, against the fastest library for them, at one accuracy?

One thread, 100 penalties, features from an AR(1) with correlation .5, 5 % of them used by all tasks,
signal-to-noise ratio 3. Three shapes: (n, p, q) = (1500, 70, 4) down to λmax/1000, (5000, 500, 50) to
λmax/100, (1000, 5000, 10) to λmax/10. Every system gets the raw X and Y, and whatever it prepares from them
(centring, moments, its own memory layout) is inside its time. The duality gap of every solution is computed
here from the data, and the tolerance of each system is the loosest that keeps it below 1e-6 of the
objective of zero coefficients. Repetitions of the systems are interleaved, seconds are processor time,
ratios are medians over repetitions of neighbours.

Then cross-validation: five folds on the tall data against one path, and 32 cutoffs of a rolling origin,
five folds and 100 penalties each, against scikit-learn's MultiTaskLassoCV stopped at the same gap, with the
same penalties chosen.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from common import Result, parser
from polytask.linear import GroupLassoCV, LabelledTable, Moments
from polytask.linear.estimators.group_lasso import group_lasso_path
from polytask.linear.folds import fold_moments, split_rows
from polytask.linear.rolling import rolling_cv

N_ALPHAS = 100
#: Largest gap allowed, relative to the objective of zero coefficients.
ACCURACY = 1e-6
#: Peers that take at most this many times as long as the fastest are measured again.
_CONTENDS = 1.5


class Shape(NamedTuple):
    n: int
    p: int
    q: int
    eps: float


SHAPES = {
    "small": Shape(1500, 70, 4, 1e-3),
    "tall": Shape(5000, 500, 50, 1e-2),
    "wide": Shape(1000, 5000, 10, 1e-1),
}
GOALS = {"small": 8.0, "tall": 40.0, "wide": 2.5}

#: (X, Y, penalties, tolerance) to coefficients (k, q, p).
Path = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]


# ---------------------------------------------------------------------- data


def draw(shape: Shape, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X (n, p) and Y (n, q)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(shape.n, shape.p))
    for j in range(1, shape.p):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    used = rng.choice(shape.p, max(1, round(0.05 * shape.p)), replace=False)
    signal = X[:, used] @ rng.normal(size=(len(used), shape.q))
    noise = rng.normal(size=signal.shape) * np.sqrt(signal.var(axis=0) / 3)
    return X, signal + noise


def penalties(X: np.ndarray, Y: np.ndarray, eps: float) -> np.ndarray:
    """From the least at which all coefficients are zero down to eps times that."""
    centred = Y - Y.mean(axis=0)
    return np.linalg.norm(X.T @ centred, axis=1).max() / len(X) * np.geomspace(1, eps, N_ALPHAS)


def worst_gap(X: np.ndarray, Y: np.ndarray, coefs: np.ndarray, alphas: np.ndarray) -> float:
    """The largest duality gap on the path, relative to the objective of zero coefficients."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    null = np.sum(Y**2) / 2
    gaps = []
    for coef, alpha in zip(coefs, len(X) * alphas):
        used = coef.any(axis=0)
        residual = Y - X[:, used] @ coef[:, used].T
        limit = alpha / np.linalg.norm(residual.T @ X, axis=0).max()
        scale = np.clip(np.sum(Y * residual) / np.sum(residual**2), -limit, limit)
        primal = np.sum(residual**2) / 2 + alpha * np.linalg.norm(coef, axis=0).sum()
        gaps.append(primal - scale * np.sum(Y * residual) + scale**2 * np.sum(residual**2) / 2)
    return float(max(gaps) / null)


# ---------------------------------------------------------------------- systems


def polytask_path(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, tol: float) -> np.ndarray:
    return group_lasso_path(X, Y, alphas=alphas, tol=tol)[1]


def sklearn_path(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, tol: float) -> np.ndarray:
    from sklearn.linear_model import enet_path

    X, Y = np.asfortranarray(X - X.mean(axis=0)), np.asfortranarray(Y - Y.mean(axis=0))
    coefs = enet_path(X, Y, l1_ratio=1.0, alphas=alphas, tol=tol, max_iter=100_000, check_input=False)[1]
    return np.moveaxis(coefs, 2, 0)


def celer_path(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, tol: float) -> np.ndarray:
    from celer.homotopy import mtl_path

    X, Y = np.asfortranarray(X - X.mean(axis=0)), np.asfortranarray(Y - Y.mean(axis=0))
    return np.moveaxis(mtl_path(X, Y, alphas=alphas, tol=tol)[1], 2, 0)


def skglm_path(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, tol: float) -> np.ndarray:
    from skglm.datafits import QuadraticMultiTask
    from skglm.penalties import L2_1
    from skglm.solvers import MultiTaskBCD
    from skglm.utils.jit_compilation import compiled_clone

    X, Y = np.asfortranarray(X - X.mean(axis=0)), np.asfortranarray(Y - Y.mean(axis=0))
    solver = MultiTaskBCD(tol=tol, max_iter=200, fit_intercept=False, warm_start=True)
    fit, penalty = _SKGLM or (compiled_clone(QuadraticMultiTask()), compiled_clone(L2_1(1.0)))
    _SKGLM[:] = [fit, penalty]
    coefs = solver.path(X, Y, fit, penalty, alphas=alphas)[1]
    return np.moveaxis(coefs, 2, 0)


#: What skglm compiles once.
_SKGLM: list[Any] = []


def adelie_path(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, tol: float) -> np.ndarray:
    import adelie

    X, Y = np.asfortranarray(X), np.ascontiguousarray(Y)
    q = Y.shape[1]
    state = adelie.grpnet(
        X, adelie.glm.multigaussian(Y), penalty=np.ones(X.shape[1]), lmda_path=alphas / q, tol=tol,
        early_exit=False, progress_bar=False, n_threads=1,
    )  # fmt: skip
    coefs = np.asarray(state.betas.todense()).reshape(len(alphas), X.shape[1], q)
    return coefs.transpose(0, 2, 1)


#: System: its path, its package, and its tolerance for each shape.
SYSTEMS: dict[str, tuple[Path, str, dict[str, float]]] = {
    "polytask": (polytask_path, "polytask", {"small": 1e-6, "tall": 1e-6, "wide": 1e-6}),
    "scikit-learn": (sklearn_path, "sklearn", {"small": 9e-7, "tall": 6e-6, "wide": 1e-6}),
    "celer": (celer_path, "celer", {"small": 1e-5, "tall": 8e-6, "wide": 8e-6}),
    "skglm": (skglm_path, "skglm", {"small": 1e-4, "tall": 1e-4, "wide": 1e-4}),
    "adelie": (adelie_path, "adelie", {"small": 5e-13, "tall": 5e-13, "wide": 5e-13}),
}


def installed() -> dict[str, Path]:
    """The systems that can be imported; the others are named with how to install them."""
    found = {}
    for name, (path, package, _) in SYSTEMS.items():
        try:
            __import__(package)
        except ImportError as error:
            print(f"{name} is left out: pip install {name} ({error})", flush=True)
        else:
            found[name] = path
    return found


def warm_up(path: Path) -> float:
    """Seconds of a first call on little data: compilation."""
    X, Y = draw(Shape(60, 20, 3, 0.1), 1)
    start = time.process_time()
    path(X, Y, penalties(X, Y, 0.1), 1e-4)
    return time.process_time() - start


# ---------------------------------------------------------------------- comparisons


def compare_paths(result: Result, name: str, systems: dict[str, Path], repetitions: int) -> None:
    """All systems on one shape, interleaved; after the first round only polytask and the fastest peers."""
    shape = SHAPES[name]
    X, Y = draw(shape, 0)
    alphas = penalties(X, Y, shape.eps)
    seconds: dict[str, list[float]] = {system: [] for system in systems}
    ratios: dict[str, list[float]] = {system: [] for system in systems}
    gaps: dict[str, float] = {}
    contenders, accurate = set(systems), list(systems)
    for repetition in range(repetitions):
        for system, path in systems.items():
            if repetition and system not in contenders:
                continue
            own = timed(polytask_path, X, Y, alphas, SYSTEMS["polytask"][2][name])[0]
            took, coefs = timed(path, X, Y, alphas, SYSTEMS[system][2][name])
            seconds[system].append(took)
            ratios[system].append(took / own)
            if not repetition:
                gaps[system] = worst_gap(X, Y, coefs, alphas)
        if not repetition:
            accurate = [s for s in systems if s != "polytask" and gaps[s] <= ACCURACY]
            limit = _CONTENDS * min((seconds[s][0] for s in accurate), default=0.0)
            contenders = {"polytask", *(s for s in accurate if seconds[s][0] <= limit)}
    setting = f"{name}: n={shape.n}, p={shape.p}, q={shape.q}"
    for system in systems:
        result.row(
            system, setting, seconds=float(np.median(seconds[system])), ratio=float(np.median(ratios[system])),
            worst_gap=gaps[system], tol=SYSTEMS[system][2][name], repetitions=len(seconds[system]),
        )  # fmt: skip
    for system in set(systems) - set(accurate) - {"polytask"}:
        print(f"  {system} does not reach a gap of {ACCURACY:g} here and is not counted", flush=True)
    fastest = min(accurate, key=lambda s: np.median(ratios[s]), default="polytask")
    result.reached(
        name=f"{name}: times as fast as the fastest peer ({fastest})",
        value=float(np.median(ratios[fastest])), target=GOALS[name],
    )  # fmt: skip
    result.reached(
        name=f"{name}: worst relative gap", value=gaps["polytask"], target=ACCURACY, at_least=False
    )


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds of processor time, and the result."""
    start = time.process_time()
    value = call(*arguments)
    return time.process_time() - start, value


def compare_compilation(result: Result, cold: bool) -> None:
    """The first call in a new process, with and, if `cold`, without compiled code on disk."""
    code = (
        "import time, numpy as np; from polytask.linear.estimators.group_lasso import group_lasso_path as path; "
        "r = np.random.default_rng(0); X, Y = r.normal(size=(50, 6)), r.normal(size=(50, 2)); "
        "t = time.process_time(); path(X, Y, n_alphas=5); print(time.process_time() - t)"
    )

    def seconds(environment: dict[str, str]) -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        return float(done.stdout)

    if cold:
        with tempfile.TemporaryDirectory() as cache:
            result.row(
                "polytask", "first call, compiling", seconds=seconds({**os.environ, "NUMBA_CACHE_DIR": cache})
            )
    warm = seconds(dict(os.environ))
    result.row("polytask", "first call, compiled code on disk", seconds=warm)
    result.reached(name="first call with compiled code on disk, s", value=warm, target=2.0, at_least=False)


def compare_folds(result: Result, repetitions: int) -> None:
    """Five-fold cross-validation and the folds' moments on the tall data, against one path and one pass."""
    shape = SHAPES["tall"]
    X, Y = draw(shape, 0)
    table = LabelledTable.from_arrays(X, Y)
    splits = split_rows(table, 5)
    model = GroupLassoCV(n_alphas=N_ALPHAS, eps=shape.eps, tol=ACCURACY)
    whole, folds = [], []
    for _ in range(repetitions):
        path = timed(lambda: group_lasso_path(X, Y, n_alphas=N_ALPHAS, eps=shape.eps, tol=ACCURACY))[0]
        whole.append(timed(lambda: model.fit(X, Y))[0] / path)
    for _ in range(5 * repetitions):
        one = timed(lambda: Moments.from_table(table))[0]
        folds.append(timed(lambda: fold_moments(table, splits))[0] / one)
    setting = "tall, five folds"
    result.row("polytask", setting, cv_over_path=float(np.median(whole)), moments=float(np.median(folds)))
    for name, value, target in (
        ("five-fold cross-validation over one path", whole, 6.2),
        ("five folds' moments over one pass", folds, 1.2),
    ):
        result.reached(name=name, value=float(np.median(value)), target=target, at_least=False)


def compare_rolling(result: Result, every: int, repetitions: int) -> None:
    """Rolling-origin cross-validation, n from 700 in steps of 7; `every` takes only some of the 32 cutoffs."""
    from sklearn.linear_model import MultiTaskLassoCV

    X, Y = draw(Shape(700 + 31 * 7, 70, 4, 1e-3), 0)
    cutoffs = [700 + 7 * k for k in range(0, 32, every)]
    # scikit-learn's gap is relative to twice the objective of zero coefficients.
    model = GroupLassoCV(n_alphas=N_ALPHAS, eps=1e-3, tol=2e-4)
    peer = MultiTaskLassoCV(alphas=N_ALPHAS, eps=1e-3, cv=5, tol=1e-4)
    rolling_cv(model, X, Y, cutoffs=cutoffs[:1])
    ratios, own, theirs = [], [], []
    for _ in range(repetitions):
        took, fits = timed(lambda: rolling_cv(model, X, Y, cutoffs=cutoffs))
        own.append(took)
        took, chosen = timed(lambda: [peer.fit(X[:c], Y[:c]).alpha_ for c in cutoffs])
        theirs.append(took)
        ratios.append(theirs[-1] / own[-1])
    agree = float(np.mean(np.isclose(fits.penalties, chosen, rtol=1e-6)))
    setting = f"rolling origin, {len(cutoffs)} cutoffs"
    result.row("polytask", setting, seconds=float(np.median(own)), same_choice=agree)
    result.row("scikit-learn", setting, seconds=float(np.median(theirs)), ratio=float(np.median(ratios)))
    result.reached(name="rolling origin: times as fast", value=float(np.median(ratios)), target=25.0)
    result.reached(name="rolling origin: share of cutoffs with the same choice", value=agree, target=1.0)


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--only", nargs="+", default=["first", "folds", "rolling", *SHAPES])
    args = arguments.parse_args()
    warnings.simplefilter("ignore")
    result = Result("linear_path", [0])
    systems = installed()
    if args.quick:
        # skglm compiles for longer than all the rest takes.
        systems = {
            name: path for name, path in systems.items() if name in ("polytask", "scikit-learn", "celer")
        }
    for system, path in systems.items():
        result.row(system, "warm-up", seconds=warm_up(path))
    if "first" in args.only:
        compare_compilation(result, cold=not args.quick)
    if "folds" in args.only:
        compare_folds(result, 2 if args.quick else 7)
    if "rolling" in args.only:
        compare_rolling(result, 8 if args.quick else 1, 2 if args.quick else 5)
    for name in (n for n in SHAPES if n in args.only):
        # Peers take half a minute each on the large shapes.
        few = args.quick and name != "small"
        chosen = {s: path for s, path in systems.items() if not few or s != "celer"}
        compare_paths(result, name, chosen, 1 if few else 7 if name == "small" else 3)
    result.write(args.json)


if __name__ == "__main__":
    main()
