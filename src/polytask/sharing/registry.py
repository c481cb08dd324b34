"""Architectures by name."""

from __future__ import annotations

import difflib
from typing import Any

from polytask.errors import SettingError
from polytask.sharing.adashare import AdaShare
from polytask.sharing.attention import MTAN
from polytask.sharing.branched import Branched
from polytask.sharing.conditioning import Additive, Concatenation, FiLM, Gating
from polytask.sharing.cross_stitch import CrossStitch
from polytask.sharing.hard import HardSharing
from polytask.sharing.hierarchical import Hierarchical
from polytask.sharing.mixture import CGC, PLE, DSelectK, MMoE
from polytask.sharing.relationship import Relationship
from polytask.sharing.single import SingleTask
from polytask.sharing.sluice import Sluice
from polytask.sharing.soft import SoftSharing
from polytask.sharing.trace_norm import TraceNormSharing

_ARCHITECTURES = (
    SingleTask, HardSharing, Hierarchical, SoftSharing, TraceNormSharing, CrossStitch, Sluice, MTAN, Relationship,
    Gating, Concatenation, Additive, FiLM, MMoE, DSelectK, CGC, PLE, AdaShare, Branched,
)  # fmt: skip

#: Name → class; each class has ``for_table(n_inputs, heads, *, hidden, task_hidden, dropout, **its own)``.
SHARINGS: dict[str, Any] = {cls.name: cls for cls in _ARCHITECTURES}

#: Other names in the literature.
_ALIASES = {"shared_bottom": "hard", "single_task": "single"}


def get_sharing(name: str) -> Any:
    """The class of this name; raises `SettingError` with the known names."""
    name = _ALIASES.get(name, name)
    if name not in SHARINGS:
        near = difflib.get_close_matches(str(name).lower().replace("-", "_"), SHARINGS, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise SettingError(f"No sharing '{name}'.{hint} Known: {', '.join(SHARINGS)}.")
    return SHARINGS[name]


def sharing_methods() -> list[dict[str, str]]:
    """All architectures at a glance: name, class, paper, formula, what is shared, settings of its own."""
    return [
        {"name": name, "class": cls.__name__, **vars(cls.card), "settings": ", ".join(cls.own_settings())}
        for name, cls in SHARINGS.items()
    ]
