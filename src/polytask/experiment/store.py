"""A folder that keeps the finished units of a comparison, so that the same call goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polytask.errors import ModelFolderError, SettingError
from polytask.experiment.fingerprint import fingerprint
from polytask.experiment.units import Plan, Unit
from polytask.files import write_atomic

_PLAIN = (
    "repeat",
    "fold",
    "candidate",
    "setting",
    "inner_null",
    "seconds",
    "settings_tried",
    "history",
    "warnings",
)


class Store:
    """Units of one plan in one folder: `plan.json` and one file per unit in `units/`.

    Parameters
    ----------
    folder : Path
    requested : Plan
        As the call asked for it, before a budget shrinks it.

    Raises
    ------
    ModelFolderError
        When the folder holds a comparison of other data or settings.
    """

    def __init__(self, folder: Path | str, requested: Plan) -> None:
        self.folder = Path(folder)
        self.names = requested.data.task_names
        self.requested = requested
        self.fingerprint = fingerprint(requested)
        self._state = self.folder / "plan.json"
        (self.folder / "units").mkdir(parents=True, exist_ok=True)
        if self._state.exists() and self._read_state()["fingerprint"] != self.fingerprint:
            raise ModelFolderError(
                f"Folder '{folder}' holds a comparison of other data or settings; choose another folder or "
                "delete it."
            )

    def remember(self, plan: Plan, notes: list[str]) -> None:
        """Keep what a budget made of the plan, so that resumed units are tuned like the first ones."""
        state = {
            "fingerprint": self.fingerprint,
            "candidates": [c.name for c in plan.candidates],
            "repeats": len(plan.folds),
            "settings": plan.settings,
            "inner_folds": plan.inner_folds,
            "notes": notes,
        }
        write_atomic(self._state, json.dumps(state, indent=1))

    def recall(self) -> tuple[Plan, list[str]] | None:
        """The plan an earlier call settled on, or None."""
        if not self._state.exists():
            return None
        state = self._read_state()
        plan = replace(
            self.requested,
            candidates=tuple(c for c in self.requested.candidates if c.name in state["candidates"]),
            folds=self.requested.folds[: state["repeats"]],
            settings=state["settings"],
            inner_folds=state["inner_folds"],
        )
        return plan, state["notes"]

    def write(self, unit: Unit) -> None:
        arrays: dict[str, Any] = {}
        for part in ("predictions", "inner"):
            for name, values in getattr(unit, part).items():
                arrays[f"{part}.{self.names.index(name)}"] = values
        meta = json.dumps({key: getattr(unit, key) for key in _PLAIN}, default=_plain_number)
        arrays["meta"] = np.frombuffer(meta.encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_atomic(self._path(unit), buffer.getvalue())

    def read(self, plan: Plan) -> list[Unit]:
        """The finished units of this plan; a damaged file counts as not finished."""
        wanted = {c.name for c in plan.candidates}
        found = [self._load(path) for path in sorted((self.folder / "units").glob("*.npz"))]
        return [u for u in found if u is not None and u.candidate in wanted and u.repeat < len(plan.folds)]

    def _path(self, unit: Unit) -> Path:
        mark = hashlib.sha256(unit.candidate.encode()).hexdigest()[:10]
        return self.folder / "units" / f"{unit.repeat}-{unit.fold}-{mark}.npz"

    def _load(self, path: Path) -> Unit | None:
        try:
            with np.load(path, allow_pickle=False) as file:
                unit = Unit(**json.loads(file["meta"].tobytes()))
                for key in file.files:
                    part, _, k = key.partition(".")
                    if k:
                        getattr(unit, part)[self.names[int(k)]] = file[key]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        return unit

    def _read_state(self) -> dict[str, Any]:
        try:
            return json.loads(self._state.read_text())
        except ValueError as error:
            raise ModelFolderError(f"'{self._state}' cannot be read ({error}); delete the folder.") from error


def _plain_number(value: Any) -> Any:
    """Numbers of numpy in settings, from a grid made with it; for `json.dumps`."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise SettingError(f"A setting of a candidate holds {value!r}; only plain data can be kept in a folder.")
