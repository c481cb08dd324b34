"""Sluice networks: stitched subspaces of layers, mixtures of layers, and subspaces that are kept apart.

Ruder, S., Bingel, J., Augenstein, I., Søgaard, A. (2019). Latent multi-task architecture learning. AAAI.
(2017 as: Sluice networks: learning what to share between loosely related tasks. arXiv 1705.08142.)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import Blocks, Encoder, find_blocks
from polytask.sharing.cards import Card
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import Matrix, Part
from polytask.sharing.stacked import Stacked
from polytask.sharing.stitching import (
    Rows,
    check_start,
    initial_stitch,
    mix,
    own_parts,
    run,
    tower_blocks,
    tower_parts,
    typed,
)

#: Convolutions whose weights begin with the units; those of transposed ones do not.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Sluice(Architecture):
    """A network per task; α mixes subspaces of all tasks after each block, β mixes the layers for each head.

    The output of every block is cut into S groups of channels, h_{t,k} for task t. Then, for any number of
    tasks (the paper writes out two, with S = 2)::

        h̃_{s,j} = Σ_t Σ_k α_{(s,j),(t,k)} h_{t,k}            what block l + 1 of task s takes
        r_s     = Σ_l β_{s,l} pool(h̃_s^(l))                  what the head of task s takes
        penalty = λ Σ_t Σ_l Σ_{j<k} ‖G_{t,l,j}ᵀ G_{t,l,k}‖²_F

    G_{t,l,k} (inputs × units) are the weights of layer l that make subspace k, so the penalty is zero where
    the weight vectors of two subspaces are orthogonal. The authors' code has units as rows there instead, so
    that it sums products of the i-th unit of one subspace with the i-th of the other; the paper's words,
    orthogonal subspaces, are followed here.

    Rows of one task are vectors at the end, while feature maps and sequences come before it: pool is the mean
    over positions. β mixes the layers that are then as wide as the last; the other layers reach the head
    through the layers above them alone.

    With a single task there is nothing to share, and it is a plain network.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        Network of the first task up to its head; the other tasks get copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output, to be checked.
    subspaces : int
        S, which must divide the number of channels of each block. With 1, and β one for the last layer and
        zero for the others, it is a cross-stitch network.
    own : float
        Diagonal of α at first, in [0, 1]; the rest of a row's one is shared equally. (The authors' code has
        a start of its own for two tasks, which prefers one subspace as the source of both.)
    deep : float
        β of the last layer at first, in [0, 1]; the rest is shared by the other layers.
    orthogonality : float
        λ. 0, which the authors' code has unless told otherwise, leaves the penalty out; their example run has
        0.1 for its own form of it. On synthetic pairs of tasks, trained by AdamW with ``rate=1``, no λ from 1e-4
        to 0.1 had a clearly smaller test error than 0, and 0.01 and 0.1 had a larger one.
    rate : float
        Factor on the learning rate of α and β, see `polytask.sharing.cross_stitch.CrossStitch`.
    task_hidden : sequence of int
        Widths of further layers before each output.
    dropout : float
        In these further layers.
    example : Tensor of shape (n, …), optional
        A few rows of input, from which shapes are found.
    blocks : sequence of str, optional
        The encoder's submodules after which it is stitched; see `polytask.sharing.blocks.find_blocks`.

    Raises
    ------
    SettingError
        For settings out of range, blocks that cannot be found, or channels that S does not divide.

    Warns
    -----
    PolytaskWarning
        Where β would be the last layer's alone, since no other is as wide; and for blocks without a linear
        or convolution layer (or a recurrent one) that makes their channels, which the penalty leaves out.
    """

    name = "sluice"
    card = Card(
        "Ruder, Bingel, Augenstein & Søgaard 2019, Latent multi-task architecture learning, AAAI",
        "x̃ = α x over subspaces of tasks, Σ_l β_l x̃_l, λ Σ ‖G_1ᵀG_2‖²_F",
        "subspaces of activations, by learned α; β mixes layers",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        subspaces: int = 2,
        own: float = 0.9,
        deep: float = 0.9,
        orthogonality: float = 0.0,
        rate: float = 1.0,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        check_start(own, rate)
        if not 0 <= deep <= 1:
            raise SettingError(f"deep, the weight of the last layer at first, must be in [0, 1], got {deep}.")
        if not orthogonality >= 0:
            raise SettingError(f"orthogonality must be zero or more, got {orthogonality}.")
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        check_divides(found, subspaces)
        super().__init__(heads, found.widths[-1], task_hidden, dropout, found.shapes[0])
        n_tasks, n_blocks = len(self.tasks), len(found)
        self.subspaces, self.orthogonality, self.rate = subspaces, orthogonality, rate
        self.channels = found.channels[1:]
        self.blocks = tower_blocks(found.modules, n_tasks, n_blocks if n_tasks > 1 else 0)
        #: Blocks whose outputs β mixes, the last one at the end.
        self.mixed = [i for i, w in enumerate(found.widths[1:]) if w == found.widths[-1] and n_tasks > 1]
        self.alphas = nn.ParameterList()
        self.last_alpha: Parallel | None = None
        self.beta: Parallel | None = None
        self._weights: list[list[tuple[str, int]]] = []
        if n_tasks > 1:
            self._stitch(own, deep)
            self._weights = [unit_weights(m, w, subspaces) for m, w in zip(found.modules, found.widths[1:])]
            self._warn(found)

    def _stitch(self, own: float, deep: float) -> None:
        start = initial_stitch(len(self.tasks) * self.subspaces, own).to(next(self.parameters()))
        self.alphas.extend(start.clone() for _ in self.blocks[:-1])
        self.last_alpha = Parallel([Rows(rows) for rows in start.split(self.subspaces)])
        if len(self.mixed) > 1:
            beta = torch.full((len(self.mixed),), (1 - deep) / (len(self.mixed) - 1)).to(start)
            beta[-1] = deep
            self.beta = Parallel([LayerMix(beta) for _ in self.tasks])

    def _warn(self, found: Blocks) -> None:
        if len(found) > 1 and self.beta is None:
            warnings.warn(
                f"No other layer of the encoder is as wide as the last one (widths {found.widths[1:]}), so heads take "
                "the last layer alone, without a mixture of layers β. Give several layers the last one's width.",
                PolytaskWarning,
                stacklevel=3,
            )
        without = [i + 1 for i, names in enumerate(self._weights) if not names]
        if without and self.orthogonality and self.subspaces > 1:
            warnings.warn(
                f"Blocks {without} have no linear, convolution or recurrent layer whose units are their channels; "
                "the orthogonality penalty leaves them out.",
                PolytaskWarning,
                stacklevel=3,
            )

    # ------------------------------------------------------------------ outputs

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        chosen = None if list(tasks) == list(range(len(self.tasks))) else tasks
        h, seen = x, list[Tensor]()
        for i, block in enumerate(typed(self.blocks)):
            h = run(block, h, chosen if isinstance(block, Parallel) else None, first=i == 0)
            if i < len(self.alphas):
                h = mix_subspaces(self.alphas[i], h, self.subspaces, self.channels[i])
            if i in self.mixed:
                seen.append(pooled(h, self.channels[i]))
        return self._mixture(seen, chosen) if seen else h

    def _mixture(self, seen: Sequence[Tensor], chosen: Sequence[int] | None) -> Tensor:
        """The last stitch, and β: both belong to one task each, and come after all that tasks share.

        `seen` are (T, n, C): layers below the last after their stitch, the last before its own.
        """
        assert self.last_alpha is not None
        every = self.remember(torch.stack(list(seen)).movedim(2, 0)).movedim(0, 2)
        alpha = self.last_alpha.stacked(chosen)["alpha"].flatten(0, 1)
        last = mix_subspaces(alpha, every[-1], self.subspaces, -1)
        if self.beta is None:
            return last
        beta = self.beta.stacked(chosen)["beta"]
        below = every[:-1] if chosen is None else every[:-1, list(chosen)]
        return torch.einsum("tl,ltnc->tnc", beta[:, :-1], below) + beta[:, -1, None, None] * last

    # ------------------------------------------------------------------ training

    def penalty(self) -> Tensor | None:
        """``λ Σ_t Σ_l Σ_{j<k} ‖G_{t,l,j}ᵀ G_{t,l,k}‖²_F``; None for λ = 0, S = 1 or one task."""
        if not self.orthogonality or self.subspaces == 1:
            return None
        terms = [overlap(weight, self.subspaces) for weight in self._unit_weights()]
        return self.orthogonality * torch.stack(terms).sum() if terms else None

    def _unit_weights(self) -> Iterator[Tensor]:
        """Weight matrices that make the channels of blocks: (matrices of all tasks, units, inputs) each."""
        for block, names in zip(self.blocks, self._weights):
            weights = dict(cast("Stacked", block).weights()) if names else {}
            for name, units in names:
                weight = weights[name]  # (T, rows, …), in a recurrent layer with units for each gate
                yield weight.flatten(2).reshape(-1, units, weight[0, 0].numel())

    def learning_rates(self) -> list[tuple[nn.Parameter, float]]:
        """All α and β, with the factor `rate`."""
        own = [p for members in (self.last_alpha, self.beta) if members for p in members.parameters()]
        return [(p, self.rate) for p in (*self.alphas, *own)]

    # ------------------------------------------------------------------ what it is

    def stitches(self) -> list[Matrix]:
        """α after each block: what the row's subspace takes from the column's."""
        if self.last_alpha is None:
            return []
        names = tuple(f"{task}, subspace {k + 1}" for task in self.tasks for k in range(self.subspaces))
        alphas = [*self.alphas, self.last_alpha.stacked()["alpha"].flatten(0, 1)]
        return [Matrix(f"stitch {i}", names, names, _plain(alpha)) for i, alpha in enumerate(alphas, start=1)]

    def layer_mix(self) -> Matrix:
        """β: the weight of each layer (column) in what the head of a task (row) takes.

        NaN for layers that are not mixed, being of another width; a last layer that is taken alone has 1.
        """
        n_layers = len(self.blocks)
        values = torch.full((len(self.tasks), n_layers), torch.nan, dtype=torch.float64)
        values[:, -1] = 1.0
        if self.beta is not None:
            values[:, self.mixed] = self.beta.stacked()["beta"].detach().cpu().double()
        layers = tuple(f"layer {i + 1}" for i in range(n_layers))
        return Matrix("layer mix", self.tasks, layers, values.numpy())

    def parts(self) -> list[Part]:
        out, takes = tower_parts(self.tasks, self.blocks, self.alphas, self.last_alpha)
        if self.beta is not None:
            lower = tuple(f"stitch {i + 1}" for i in self.mixed[:-1])
            mixes = own_parts(
                "layer mix", "stitch", self.beta, {t: (*lower, *own) for t, own in takes.items()}
            )
            out += mixes
            takes = {task: (part.name,) for task, part in zip(self.tasks, mixes)}
        return out + self.head_parts(takes)


class LayerMix(nn.Module):
    """β of one task: a module, so that `Parallel` can hold one per task."""

    def __init__(self, beta: Tensor) -> None:
        super().__init__()
        self.beta = nn.Parameter(beta.clone())


def mix_subspaces(alpha: Tensor, x: Tensor, subspaces: int, channel: int) -> Tensor:
    """``h̃_{s,j} = Σ_t Σ_k α_{(s,j),(t,k)} h_{t,k}``, where h_{t,k} is the k-th group of channels.

    Parameters
    ----------
    alpha : Tensor of shape (R · S, T · S)
    x : Tensor of shape (T, n, …)
    subspaces : int
        S
    channel : {1, -1}
        Dimension of one network's output, (n, …), that holds its channels.

    Returns
    -------
    Tensor of shape (R, n, …)
    """
    if subspaces == 1:
        return mix(alpha, x)
    dim = 2 if channel == 1 else x.dim() - 1
    groups = x.unflatten(dim, (subspaces, -1)).movedim(dim, 1).flatten(0, 1)
    return mix(alpha, groups).unflatten(0, (-1, subspaces)).movedim(1, dim).flatten(dim, dim + 1)


def pooled(x: Tensor, channel: int) -> Tensor:
    """The mean over positions: (T, n, C, …) or (T, n, …, C) → (T, n, C)."""
    if x.dim() == 3:
        return x
    return x.flatten(3).mean(3) if channel == 1 else x.flatten(2, -2).mean(2)


def overlap(weight: Tensor, subspaces: int) -> Tensor:
    """``Σ_{j<k} ‖G_jᵀ G_k‖²_F``, summed over M matrices (M, units, inputs) whose units make S subspaces."""
    groups = weight.unflatten(1, (subspaces, -1))
    first, second = zip(*combinations(range(subspaces), 2))
    product = groups[:, list(first)] @ groups[:, list(second)].transpose(-1, -2)
    return product.square().sum()


def unit_weights(block: nn.Module, channels: int, subspaces: int) -> list[tuple[str, int]]:
    """Weights of a block that have a unit for each of its channels (in a recurrent layer: for each gate).

    Returns
    -------
    list of (str, int)
        Name, and number of units; fewer than channels where feature maps are flattened at the block's end.
    """
    exact: list[tuple[str, int]] = []
    flattened: list[tuple[str, int]] = []
    for prefix, layer in block.named_modules():
        dot = f"{prefix}." if prefix else ""
        if isinstance(layer, nn.RNNBase) and not layer.bidirectional:
            top = layer.num_layers - 1
            exact += [(f"{dot}weight_{kind}_l{top}", layer.hidden_size) for kind in ("ih", "hh")]
        elif isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
            exact.append((f"{dot}weight", len(layer.weight)))
        if isinstance(layer, _CONVOLUTIONS):
            flattened = [(f"{dot}weight", len(layer.weight))]
    names = {name for name, _ in block.named_parameters()}
    exact = [(name, units) for name, units in exact if units == channels and name in names]
    whole = [
        (name, units)
        for name, units in flattened
        if channels % units == 0 and units % subspaces == 0 and name in names
    ]
    return exact or whole


def check_divides(found: Blocks, subspaces: int) -> None:
    """Raise where the channels of a block cannot be cut into equal subspaces."""
    if isinstance(subspaces, bool) or not isinstance(subspaces, int) or subspaces < 1:
        raise SettingError(f"subspaces must be a whole number, one or more, got {subspaces!r}.")
    for i, (module, width) in enumerate(zip(found.modules, found.widths[1:]), start=1):
        if width % subspaces:
            raise SettingError(
                f"Block {i} of the encoder, a {type(module).__name__}, has {width} channels, which cannot be cut "
                f"into {subspaces} equal subspaces. Use another width, or subspaces=1."
            )


def _plain(alpha: Tensor) -> np.ndarray:
    return alpha.detach().cpu().double().numpy()
