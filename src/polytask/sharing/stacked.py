"""Equal modules that several tasks use, their parameters stored as one tensor per layer.

Where `Parallel` holds members that belong to one task each, and keeps their parameters apart, here all tasks
use all members: experts of a mixture, towers that are stitched together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.parallel import can_vmap, place_of, program_of, run_stacked, signature


class Stacked(nn.Module):
    """R equal modules computed as one batched product per layer.

    Three ways as in `Parallel`, reported in ``path``. In the way "loop" (modules with running statistics,
    recurrent and attention layers) members keep their own parameters.

    Parameters
    ----------
    modules : sequence of Module
        Equal up to the values of their parameters, which are copied.

    Attributes
    ----------
    module : Module
        One member's structure with stacked parameters, (R, *shape) each; not there in the way "loop".

    Raises
    ------
    SettingError
        If there are none, or their structures or shapes differ.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        modules = list(modules)
        if not modules:
            raise SettingError("Stacked needs at least one module.")
        for i, module in enumerate(modules[1:], start=1):
            if signature(module) != signature(modules[0]):
                raise SettingError(f"Modules 0 and {i} differ in structure or shapes and cannot be stacked.")
        self.n_members = len(modules)
        self._program = None
        if not can_vmap(modules[0]):
            self.path = "loop"
            self.members = nn.ModuleList(modules)
            return
        self.module = copy.deepcopy(modules[0])
        for name, parameter in list(self.module.named_parameters()):
            owner, _, leaf = name.rpartition(".")
            values = torch.stack([m.get_parameter(name).detach() for m in modules])
            stacked = nn.Parameter(values, requires_grad=parameter.requires_grad)
            setattr(self.module.get_submodule(owner), leaf, stacked)
        self._places = {name: place_of(self.module, name) for name, _ in self.module.named_parameters()}
        self._program = program_of(self.module)
        self.path = "batched" if self._program is not None else "vmap"

    def __len__(self) -> int:
        return self.n_members

    def forward(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """All members, or the chosen ones, on the same input: (n, …) → (R, n, …)."""
        return self._run(x, members, stacked=False)

    def forward_stacked(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """As `forward`, each member with an input of its own: (R, n, …) → (R, n, …)."""
        return self._run(x, members, stacked=True)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Each parameter by name, over members: (R, *shape)."""
        if self.path != "loop":
            yield from self.module.named_parameters()
            return
        tables = [dict(module.named_parameters()) for module in self.members]
        for name in tables[0]:
            yield name, torch.stack([table[name] for table in tables])

    def _run(self, x: Tensor, members: Sequence[int] | None, stacked: bool) -> Tensor:
        if self.path == "loop":
            chosen = range(len(self)) if members is None else members
            return torch.stack([self.members[i](x[k] if stacked else x) for k, i in enumerate(chosen)])
        weights: dict[str, Tensor] = {
            name: owner._parameters[leaf]  # type: ignore[misc]
            for name, (owner, leaf) in self._places.items()
        }
        if members is not None and list(members) != list(range(len(self))):
            weights = {name: w[list(members)] for name, w in weights.items()}
        n = len(self) if members is None else len(members)
        return run_stacked(self.module, self._program, weights, n, x, stacked)
