"""A fitted `MultiTaskNetwork` as tensors and plain data, and back: no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.errors import SettingError
from polytask.sharing import SHARINGS, Sharing
from polytask.training import NetworkModel

if TYPE_CHECKING:
    from polytask.networks.mixed import MultiTaskNetwork

_ATTRIBUTES = ("columns_", "n_features_in_", "form_", "task_column_", "frame_type_", "flat_")
_SETTINGS = (
    "task_column",
    "hidden",
    "task_hidden",
    "dropout",
    "sharing_settings",
    "learning_rate",
    "weight_decay",
    "batch_size",
    "max_epochs",
    "patience",
    "validation_fraction",
)


def to_state(model: MultiTaskNetwork) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors by name, and data for JSON."""
    tensors, network = model.model_.to_state()
    settings = {name: getattr(model, name) for name in _SETTINGS}
    config = {
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
        "sharing": model.sharing if isinstance(model.sharing, str) else None,
        "fitted": {name: getattr(model, name) for name in _ATTRIBUTES},
        "needs_preprocessing": model.preprocessing_ is not None,
        "network": network,
    }
    return tensors, config


def from_state(
    cls: type[MultiTaskNetwork],
    tensors: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    preprocessing: Any,
    sharing: Sharing | None,
) -> MultiTaskNetwork:
    """The model again; see `MultiTaskNetwork.from_state`."""
    if config["needs_preprocessing"] and preprocessing is None:
        raise SettingError(
            "This model was fitted with a preprocessing; pass it: from_state(…, preprocessing=…)."
        )
    network = sharing or _rebuild(config["network"]["sharing"], len(tensors["inputs.mean"]))
    model = cls(sharing=config["sharing"] or network, **config["settings"])
    for name, value in config["fitted"].items():
        setattr(model, name, value)
    if model.columns_ is not None:
        model.feature_names_in_ = np.array(model.columns_, dtype=object)
    model.preprocessing_ = preprocessing
    model.model_ = NetworkModel.from_state(network, tensors, config["network"])
    model.tasks_, model.history_ = model.model_.tasks, model.model_.history
    model.n_iter_ = len(model.history_)
    return model


def _rebuild(described: Mapping[str, Any], n_inputs: int) -> Sharing:
    if described["settings"] is None or described["name"] not in SHARINGS:
        raise SettingError(
            f"The network '{described['name']}' is not built in; pass an untrained one: sharing=…."
        )
    return SHARINGS[described["name"]].for_table(n_inputs, described["heads"], **described["settings"])
