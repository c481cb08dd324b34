from __future__ import annotations

import pytest
import torch

from polytask.errors import SettingError, TrainingError
from polytask.training import Training
from polytask.training.settings import find_device


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"batch_size": -1}, "batch_size must be positive"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"stopping": "late"}, "stopping must be one of"),
        ({"sampling": "fair"}, "sampling must be"),
        ({"resume": True}, "needs checkpoint"),
    ],
)
def test_settings_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Training(**changes)


def test_devices() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(TrainingError, match="'abacus' is not available"):
        find_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="'cuda' is not available"):
            find_device("cuda")
