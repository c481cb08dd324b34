"""Saving and loading models without pickle.

A model is a folder: `model.json` (schema version, tasks, what is where), `preprocessing.skops`, and per part
either `part-N.skops` (scikit-learn estimators and linear models) or `part-N.safetensors` (networks). The
skops format names every type it holds, and only types of known packages are ever made when loading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file
from safetensors.numpy import save_file as save_tensors

from polytask import __version__, environment
from polytask.best_model import BestModel, Part
from polytask.data.scaling import TargetScaler
from polytask.errors import ModelFolderError
from polytask.files import new_folder
from polytask.tasks import Task

SCHEMA = 1

_FILES = re.compile(r"model\.json|preprocessing\.skops|part-\d+\.(skops|safetensors)")

#: Types beyond plain scikit-learn estimators, numpy arrays and polytask's own that a model may hold.
TRUSTED = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)


def save(model: BestModel, folder: str | Path) -> None:
    """Write a model to a folder, all or nothing: an older model there is replaced only when all is written.

    Raises
    ------
    ModelFolderError
        When the folder exists and is no model, or a part cannot be stored without pickle.
    """
    folder = Path(folder)
    _refuse_to_replace(folder)
    try:
        with new_folder(folder) as partial:
            _write(model, partial)
    except OSError as error:
        raise ModelFolderError(
            f"The model could not be written to '{folder}' ({error.strerror or error}); what was there is "
            "unchanged."
        ) from error


def _refuse_to_replace(folder: Path) -> None:
    """Only a model may be replaced: whatever else lies in the folder would be lost with it."""
    if not folder.exists():
        return
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    if folder.is_file() or (names and "model.json" not in names):
        raise ModelFolderError(f"'{folder}' exists and is not a polytask model; choose another folder.")
    foreign = sorted(n for n in names if not _FILES.fullmatch(n))
    if foreign:
        raise ModelFolderError(
            f"'{folder}' holds files that are not the model's: {', '.join(foreign[:5])}. Move them or choose "
            "another folder."
        )


def _write(model: BestModel, folder: Path) -> None:
    _dump(model.preprocessing, folder / "preprocessing.skops", "the preprocessing")
    content = {
        "schema": SCHEMA,
        "polytask": __version__,
        "versions": environment.versions(),
        "tasks": [t.to_dict() for t in model.tasks],
        "parts": [_save_part(part, k, folder) for k, part in enumerate(model.parts)],
        "scaling": {"mean": model.scaler.mean_, "scale": model.scaler.scale_},
        "feature_names": model.feature_names,
        "named": model.named,
        "form": model.form,
        "task_column": model.task_column,
        "target_column": model.target_column,
    }
    (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def load(folder: str | Path, *, trusted: Sequence[str] = ()) -> BestModel:
    """Read a model that `BestModel.save` wrote.

    Parameters
    ----------
    folder : path
    trusted : sequence of str
        Types of other packages that may be made, such as "lightgbm.sklearn.LGBMRegressor".

    Raises
    ------
    ModelFolderError
        When files are missing or damaged, of a newer schema, or hold types that are not trusted.
    """
    folder = Path(folder)
    content = _read_description(folder)
    try:
        scaler = TargetScaler()
        scaler.mean_, scaler.scale_ = content["scaling"]["mean"], content["scaling"]["scale"]
        return BestModel(
            [Task(**task) for task in content["tasks"]],
            [_load_part(part, folder, trusted) for part in content["parts"]],
            _read(folder / "preprocessing.skops", trusted),
            scaler,
            feature_names=content["feature_names"],
            named=content["named"],
            form=content["form"],
            task_column=content["task_column"],
            target_column=content["target_column"],
        )
    except ModelFolderError:
        raise
    except Exception as error:  # whatever a damaged description leads to
        raise ModelFolderError(f"'{folder}' is damaged: {type(error).__name__}: {error}.") from error


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    if not path.is_file():
        raise ModelFolderError(f"'{folder}' is not a polytask model: it has no model.json.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = int(content["schema"])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"'{path}' cannot be read: {error}.") from error
    if schema > SCHEMA:
        raise ModelFolderError(
            f"'{folder}' was written by polytask {content.get('polytask')} with schema {schema}; this "
            f"version reads up to {SCHEMA}. Upgrade polytask."
        )
    return content


def _save_part(part: Part, k: int, folder: Path) -> dict[str, Any]:
    setting = environment.plain(part.setting)  # for the reader's eyes; the fitted model holds what it needs
    entry = {"candidate": part.candidate, "role": part.role, "tasks": part.tasks, "setting": setting}
    if hasattr(part.model, "to_state"):
        tensors, config = part.model.to_state()
        save_tensors(tensors, folder / f"part-{k}.safetensors")
        kind = type(part.model)
        return {
            **entry,
            "file": f"part-{k}.safetensors",
            "type": f"{kind.__module__}.{kind.__name__}",
            "config": config,
        }
    _dump(part.model, folder / f"part-{k}.skops", f"'{part.candidate}'")
    return {**entry, "file": f"part-{k}.skops"}


def _load_part(entry: dict[str, Any], folder: Path, trusted: Sequence[str]) -> Part:
    path = folder / Path(entry["file"]).name
    if path.suffix == ".safetensors":
        module, _, name = entry["type"].rpartition(".")
        if not module.startswith("polytask."):
            raise ModelFolderError(
                f"'{folder}' holds a network of the type '{entry['type']}', which is not polytask's."
            )
        try:
            tensors = load_file(path)
        except Exception as error:  # safetensors raises types of its own
            raise ModelFolderError(f"'{path}' is missing or damaged: {error}.") from error
        model = getattr(import_module(module), name).from_state(tensors, entry["config"])
    else:
        model = _read(path, trusted)
    return Part(entry["candidate"], entry["role"], entry["tasks"], entry["setting"], model)


def _dump(value: Any, path: Path, what: str) -> None:
    import skops.io  # here, since it imports all of scikit-learn and through it torch

    try:
        skops.io.dump(value, path)
    except OSError:
        raise
    except Exception as error:  # whatever an estimator of the user's may hold
        raise ModelFolderError(
            f"{what} cannot be stored without pickle: {type(error).__name__}: {error}"
        ) from error


def _read(path: Path, trusted: Sequence[str]) -> Any:
    import skops.io

    if not path.is_file():
        raise ModelFolderError(f"'{path}' is missing; the model folder is incomplete.")
    try:
        found = skops.io.get_untrusted_types(file=path)
    except Exception as error:
        raise ModelFolderError(f"'{path}' is damaged: {error}.") from error
    unknown = [t for t in found if not _is_trusted(t) and t not in trusted]
    if unknown:
        raise ModelFolderError(
            f"'{path}' holds types that are not trusted: {', '.join(unknown)}. If you trust its author, use "
            f"polytask.load(folder, trusted={unknown!r})."
        )
    try:
        return skops.io.load(path, trusted=found)
    except Exception as error:
        raise ModelFolderError(f"'{path}' is damaged or needs other package versions: {error}.") from error


def _is_trusted(name: str) -> bool:
    return name in TRUSTED or name.startswith("polytask.")
