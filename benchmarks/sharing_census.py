"""Census income: do tasks that have little in common gain from sharing, and from which way of sharing?

    POLYTASK_DATA=... python benchmarks/sharing_census.py [--quick] [--json FILE] [--cache DIR] [--jobs 2]
                                                          [--seeds 5]

The pairs of tasks are those of Ma et al. (2018, Modeling task relationships in multi-task learning with multi-gate
mixture-of-experts, KDD, section 5): income above 50,000 dollars and never married; education of at least college
and never married. "At least college" is a degree here: associate, bachelor, master, professional school or
doctorate. The paper trains on the 199,523 rows of census-income's training file, and halves the 99,762 of its test
file for validation and test. Here 20,000 rows of the test file are set aside for testing, the same for all seeds,
so that tuning never sees them; the others are split by seed into 59,762 for training and 20,000 for validation.

The paper takes education and marital status out of the features, in both pairs. Here three more columns are taken
out which state marital status ("Child 18+ never marr …", "Spouse of householder", "Joint both under 65"): the
detailed and the summarised household status, and the tax filer status. So AUCs of "never married" are not
comparable with the paper's. The sampling weight is no feature and is not used. Nearly a quarter of the rows are
children, whose labels age gives away; they are kept, as in the paper. Categories are one-hot, sums of money are
log(1 + dollars). The correlations of the labels of the two pairs are -0.179 and -0.238.

Intervals say how a difference on these test rows varies with training rows and first weights; training rows of two
seeds overlap, and other people's data would vary more.

All networks have about the parameters of an MMoE of 8 experts with one layer of 16 units and towers of 8 units;
see `sharing_synthetic` for the others' shapes and `sharing_common` for the protocol. The paper chooses all settings
by a tuner in 400 runs for each method and trains 400 times with the best ones; here it is four learning rates and 5
seeds, 8 epochs in batches of 1,024, Adam with a cosine schedule. Weights go back to the best epoch by validation
loss (for "single" the best of each task, as if it were trained alone).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from census_income import census
from common import Result
from polytask.data import TaskData
from polytask.training import Training
from real_data import folder
from sharing_common import (
    REFERENCE,
    Method,
    Protocol,
    add_common,
    add_rows,
    at_the_edge,
    cache_of,
    options,
    parse,
    run_all,
)

PAIRS = {
    "income and never married": ("income", "never_married"),
    "education and never married": ("education", "never_married"),
}
METHODS = {
    "single": Method((None,), (8,)),
    REFERENCE: Method((None,), (8,)),
    "mmoe": Method((None,), (8,), {"n_experts": 8}),
    "ple": Method((None,), (8,), {"levels": 2, "n_shared": 4, "n_own": 2}),
    "cross_stitch": Method((None,), (8,)),
}
#: Parameters of an MMoE of 8 experts of 16 units and towers of 8 over the 433 features.
BUDGET = 62_770
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
#: Far from the seeds that count.
TUNING_SEEDS = (1000, 1001)


@dataclass(frozen=True)
class Size:
    """Rows that are held out and used in all, and epochs; the rest of the rows train."""

    validation: int = 20_000
    test: int = 20_000
    rows: int = 99_762
    epochs: int = 8


QUICK = Size(validation=500, test=500, rows=3_000, epochs=1)


def make_data(size: Size, setting: str, seed: int) -> dict[str, TaskData]:
    """Disjoint rows, the same ones for both pairs: test rows once for all, the rest divided by the seed."""
    pair = census().select(PAIRS[setting])
    every = np.random.default_rng(0).permutation(pair.n_rows)[: size.rows]
    test, others = every[: size.test], every[size.test :]
    validation, train = np.split(np.random.default_rng(seed).permutation(others), [size.validation])
    return {"validation": pair.subset(validation), "test": pair.subset(test), "train": pair.subset(train)}


def auc(data: TaskData, predictions: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {t: float(roc_auc_score(y, predictions[t])) for t, y in data.targets.items()}


def make_protocol(size: Size, quick: bool, n_seeds: int) -> Protocol:
    return Protocol(
        benchmark="sharing_census",
        settings=tuple(PAIRS),
        methods=METHODS,
        learning_rates=LEARNING_RATES,
        training=Training(
            weight_decay=0.0,
            batch_size=1024,
            max_epochs=size.epochs,
            patience=size.epochs,
            schedule="cosine",
            device="cpu",
        ),
        data=partial(make_data, size),
        score=auc,
        larger_is_better=True,
        budget=BUDGET,
        seeds=tuple(range(n_seeds)),
        tuning_seeds=TUNING_SEEDS[:1] if quick else TUNING_SEEDS,
        size=asdict(size),
    )


def note(rows: Sequence[Mapping[str, Any]]) -> str:
    """For how many tasks each method is settled to be ahead of the shared bottom, or behind it."""
    counts = {method: [0, 0] for method in METHODS if method != REFERENCE}
    for row in rows:
        if row["system"] in counts:
            for task in PAIRS[row["setting"]]:
                low, high = row[f"{task}_lead_interval"]
                counts[row["system"]][0] += low > 0
                counts[row["system"]][1] += high < 0
    said = ", ".join(f"{method} {ahead} and {behind}" for method, (ahead, behind) in counts.items())
    ahead = counts["mmoe"][0]
    found = "came out here" if ahead == 4 else "did not come out here" if not ahead else "came out in part"
    return (
        f"Areas under the ROC curve of test rows. Of the four tasks of both pairs, so many are settled ahead of the "
        f"shared bottom and behind it: {said}. The paper reports MMoE ahead of the shared bottom: that {found}. "
        "Intervals are about training rows and first weights on one set of test rows, not about other people, and are "
        "not corrected for their number."
    )


def main() -> None:
    args = parse(options(__doc__), full=5)
    folder()  # raises here where it is not named, and not in every process
    size = QUICK if args.quick else Size()
    protocol = make_protocol(size, args.quick, args.seeds)
    result = Result("sharing_census", list(protocol.seeds))
    tuning, records = run_all(result, protocol, cache_of(args, protocol), args.jobs)
    add_rows(result, protocol, records)
    quick = "A quick run trains for a few steps: its areas mean nothing."
    result.content["note"] = (
        quick if args.quick else f"{note(result.content['rows'])} {at_the_edge(protocol, tuning)}"
    )
    print(result.content["note"])
    add_common(result, protocol, tuning, records)
    result.write(args.json)


if __name__ == "__main__":
    main()
