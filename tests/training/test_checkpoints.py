from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from polytask.errors import ModelFolderError
from polytask.training import checkpoints
from polytask.training.checkpoints import load_checkpoint, save_checkpoint

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(True), "c": torch.arange(6.0).view(2, 3).t()}


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.safetensors"
    save_checkpoint(path, TENSORS, {"epoch": 3, "names": ["ä", "b"]})
    tensors, plain = load_checkpoint(path)
    assert all(torch.equal(tensors[k], v) for k, v in TENSORS.items())
    assert plain == {"schema": 1, "epoch": 3, "names": ["ä", "b"]}


def test_a_write_that_dies_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, TENSORS, {"epoch": 1})

    def full_disk(tensors: object, name: Path, metadata: object) -> None:
        Path(name).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, TENSORS, {"epoch": 2})
    assert load_checkpoint(path)[1]["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", None])
def test_what_cannot_be_read_is_said(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    if content is None:
        save_file(TENSORS | {"c": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelFolderError, match="not a checkpoint that can be read"):
        load_checkpoint(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"polytask": json.dumps({"schema": 99})})
    with pytest.raises(ModelFolderError, match="schema 99"):
        load_checkpoint(path)
