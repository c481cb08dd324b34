"""Multi-task attention network (MTAN): a shared network, and each task looks at its features through masks.

Liu, S., Johns, E., Davison, A. J. (2019). End-to-end multi-task learning with attention. CVPR.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import Blocks, Encoder, find_blocks
from polytask.sharing.cards import Card
from polytask.sharing.modes import evaluated
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import Matrix, Part, parameters_of
from polytask.sharing.rows import group_rows, ungroup_rows

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POOLINGS: dict[int, Callable[..., Tensor]] = {
    1: nn.functional.adaptive_max_pool1d,
    2: nn.functional.adaptive_max_pool2d,
    3: nn.functional.adaptive_max_pool3d,
}


class MTAN(Architecture):
    """A soft attention mask per task on the shared features of every block.

    For task i and block j = 1 … J of the shared network::

        a_i⁽ʲ⁾ = h_i⁽ʲ⁾(g_i⁽ʲ⁾([u⁽ʲ⁾; f⁽ʲ⁾(â_i⁽ʲ⁻¹⁾)])),    â_i⁽ʲ⁾ = a_i⁽ʲ⁾ ⊙ p⁽ʲ⁾,    y_i = head_i(â_i⁽ᴶ⁾)

    - p⁽ʲ⁾ is the output of block j, and u⁽ʲ⁾ what its first layer returns (with its normalisation and
      activation). A block has several layers where it is a `nn.Sequential` of them; u⁽ʲ⁾ = p⁽ʲ⁾ in a block of
      one layer, of another type, or whose later layers change the positions (height, width, length), as in the
      authors' code for wide residual networks. The first mask sees u⁽¹⁾ alone.
    - g_i⁽ʲ⁾ and h_i⁽ʲ⁾, the task's own, act on the channels of each position: 1×1 convolutions of feature
      maps, linear layers of vectors and sequences. ReLU follows g, a sigmoid h.
    - f⁽ʲ⁾ leads from block to block and is shared by the tasks, as in the paper: a convolution of width 3 of
      feature maps, else a linear layer, with ReLU; then max-pooling to the positions of u⁽ʲ⁾.

    The paper normalises g and h by batch. Here nothing is normalised, so that a row's output depends on no
    other row and batches may hold one row.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module, or sequence of Module
        The shared network; its blocks are found as `polytask.sharing.blocks.find_blocks` tells.
    width : int, optional
        Width of the encoder's output.
    reduction : float
        The output of g is narrower than its block by this factor; 1 in the paper.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output.
    dropout : float
        In the task-specific layers.
    example : Tensor of shape (n, …), optional
        A few rows of input; needed unless they are tables.
    blocks : sequence of str, optional
        Names of submodules that are the blocks.

    Raises
    ------
    SettingError
        For a reduction that is not positive, or an encoder whose blocks cannot be found.
    """

    name = "mtan"
    card = Card(
        "Liu, Johns & Davison 2019, End-to-end multi-task learning with attention, CVPR",
        "â_t = a_t ⊙ p, a_t = h_t(g_t([u; f(â_t below)]))",
        "a network whose features each task masks",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        reduction: float = 1.0,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        if not reduction > 0:
            raise SettingError(f"reduction must be positive, got {reduction!r}.")
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        super().__init__(heads, found.widths[-1], task_hidden, dropout, found.shapes[0])
        self._channels = found.channels[1:]
        pieces = _first_layers(found, example)
        #: u⁽ʲ⁾ = first[j](x) and p⁽ʲ⁾ = rest[j](u⁽ʲ⁾).
        self.first = nn.ModuleList(pieces.modules[0::2])
        self.rest = nn.ModuleList(pieces.modules[1::2])
        self._seen_channels = pieces.channels[1::2]
        seen, given = pieces.widths[1::2], found.widths[1:]
        shapes = found.shapes[1:]
        self.extractors = nn.ModuleList(
            Extractor(given[j - 1], seen[j], len(shapes[j - 1]) - 1 if self._channels[j - 1] == 1 else 0)
            for j in range(1, len(found))
        )
        self.masks = nn.ModuleList(
            Parallel([_mask(seen[j] * (2 if j else 1), given[j], reduction) for _ in self.tasks])
            for j in range(len(found))
        )

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        chosen = None if list(tasks) == list(range(len(self.tasks))) else tasks
        return _last(self._attend(x, lambda t: t.expand(len(tasks), *t.shape), chosen))

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """Each row passes the shared network and the masks of its own task, and no others."""
        self.check_input(x)
        rows = torch.arange(len(x), device=x.device)
        # Places that fill a task's group up hold row 0; nothing is read from there.
        row_at, place = group_rows(rows, task_of_row, len(self.tasks))
        attended = _last(self._attend(x, lambda t: t[row_at]))
        return self.towers.own(ungroup_rows(attended, place), task_of_row)

    def attention(self, x: Tensor) -> list[Matrix]:
        """How much of each block's features the tasks let through, on average over rows and positions.

        Parameters
        ----------
        x : Tensor of shape (n, …)

        Returns
        -------
        list of Matrix
            "attention", tasks × blocks, the mean of a_i⁽ʲ⁾ in (0, 1); then "attention in block j" for each
            block, tasks × channels.
        """
        self.check_input(x)
        with evaluated(self):
            masks = [a for a, _ in self._attend(x, lambda t: t.expand(len(self.tasks), *t.shape))]
        means = [a.flatten(1, -2).mean(1) for a in masks]
        names = tuple(f"block {j}" for j in range(1, len(masks) + 1))
        whole = torch.stack([mean.mean(1) for mean in means], 1)
        out = [Matrix("attention", self.tasks, names, whole.cpu().numpy())]
        for name, mean in zip(names, means):
            columns = tuple(f"channel {c}" for c in range(1, mean.shape[1] + 1))
            out.append(Matrix(f"attention in {name}", self.tasks, columns, mean.cpu().numpy()))
        return out

    def parts(self) -> list[Part]:
        out: list[Part] = []
        looks: dict[str, tuple[str, ...]] = dict.fromkeys(self.tasks, ())
        block: tuple[str, ...] = ()
        seen: tuple[str, ...]
        for j, (first, rest) in enumerate(zip(self.first, self.rest), start=1):
            parameters = parameters_of([first, rest])
            out.append(Part(f"block {j}", self.tasks, "layer", parameters, block, shared=True))
            block = seen = (f"block {j}",)
            if j > 1:
                below = tuple(name for names in looks.values() for name in names)
                parameters = parameters_of(self.extractors[j - 2])
                out.append(Part(f"extractor {j}", self.tasks, "layer", parameters, below, shared=True))
                seen = (*seen, f"extractor {j}")
            for task, mask in zip(self.tasks, cast("Parallel", self.masks[j - 1]).members):
                out.append(Part(f"attention {j} of {task}", (task,), "attention", parameters_of(mask), seen))
                looks[task] = (out[-1].name,)
        return out + self.head_parts(looks)

    def _attend(
        self, x: Tensor, spread: Callable[[Tensor], Tensor], tasks: Sequence[int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """a⁽ʲ⁾ and â⁽ʲ⁾ of block after block, both (T', m, *positions, channels).

        `spread` gives the tasks their rows of shared features: (n, …) → (T', m, …).
        """
        attended: Tensor | None = None
        for j, (first, rest) in enumerate(zip(self.first, self.rest)):
            u = first(x)
            x = rest(u)
            seen = spread(u.movedim(self._seen_channels[j], -1))
            given = seen if x is u else spread(x.movedim(self._channels[j], -1))
            if attended is not None:
                extractor = cast("Extractor", self.extractors[j - 1])
                carried = extractor(attended.flatten(0, 1), seen.shape[2:-1])
                seen = torch.cat([seen, carried.unflatten(0, attended.shape[:2])], -1)
            mask = cast("Parallel", self.masks[j]).forward_stacked(seen, tasks)
            attended = mask * given
            yield mask, attended


class Extractor(nn.Module):
    """f: from a task's masked features to what its next mask sees.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels.
    n_dims : int
        Dimensions of feature maps to convolve; 0: a linear layer at each position.
    """

    def __init__(self, n_inputs: int, n_outputs: int, n_dims: int) -> None:
        super().__init__()
        self.n_dims = n_dims
        self.layer: nn.Module = (
            _CONVOLUTIONS[n_dims](n_inputs, n_outputs, 3, padding=1)
            if n_dims
            else nn.Linear(n_inputs, n_outputs)
        )

    def forward(self, a: Tensor, size: Sequence[int]) -> Tensor:
        """(n, *positions, channels) → (n, *size, channels)."""
        h = self.layer(a.movedim(-1, 1)) if self.n_dims else self.layer(a).movedim(-1, 1)
        return _resized(torch.relu(h), tuple(size)).movedim(1, -1)


def _first_layers(blocks: Blocks, example: Tensor | None) -> Blocks:
    """Blocks as pairs: the first layer and the rest, which is empty where u = p."""
    pairs = [_halves(module) for module in blocks.modules]
    tried = find_blocks([half for pair in pairs for half in pair], example=example)
    for j, (u, dim) in enumerate(zip(tried.shapes[1::2], tried.channels[1::2])):
        if _positions(u, dim) != _positions(blocks.shapes[j + 1], blocks.channels[j + 1]):
            pairs[j] = (blocks.modules[j], nn.Sequential())
    return find_blocks([half for pair in pairs for half in pair], example=example)


def _halves(block: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A Sequential, cut before its second layer; normalisations, whose weights are vectors, are not layers."""
    if type(block) is nn.Sequential:
        layers = [i for i, child in enumerate(block) if any(p.dim() > 1 for p in child.parameters())]
        if len(layers) > 1:
            return block[: layers[1]], block[layers[1] :]
    return block, nn.Sequential()


def _mask(n_inputs: int, n_outputs: int, reduction: float) -> nn.Module:
    """h(g(·)) of one task."""
    inner = max(1, round(n_outputs / reduction))
    return nn.Sequential(nn.Linear(n_inputs, inner), nn.ReLU(), nn.Linear(inner, n_outputs), nn.Sigmoid())


def _positions(shape: tuple[int, ...], channel: int) -> tuple[int, ...]:
    """Of a shape without the batch dimension, what is not channels."""
    return shape[1:] if channel == 1 else shape[:-1]


def _last(pairs: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    return deque(pairs, maxlen=1).pop()[1]


def _resized(h: Tensor, size: tuple[int, ...]) -> Tensor:
    """(n, channels, *positions) → (n, channels, *size) by max-pooling; where dimensions differ, over all."""
    positions = tuple(h.shape[2:])
    if positions == size:
        return h
    if len(positions) == len(size) and len(size) in _POOLINGS:
        return _POOLINGS[len(size)](h, size)
    if positions:
        h = h.flatten(2).amax(2)
    return h.reshape(*h.shape, *[1] * len(size)).expand(*h.shape, *size)
