"""A thin start: a network with some of the filters of a trained one.

Lu et al. (2017), section "Thin networks and filter selection": a layer W (d rows) is approximated by d' < d of
its rows, ``A*, ω* = argmin_{A, |ω| = d'} ‖W − A W_ω‖_F``, greedily by simultaneous orthogonal matching pursuit:
Tropp, J., Gilbert, A., Strauss, M. (2006). Algorithms for simultaneous sparse approximation, part I. Signal
Processing 86, 572–588.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.blocks import Encoder, find_blocks

#: Layers whose weights have a row for each filter.
WithRows = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d

#: A row is spent once what is left of its squared length is this share of the longest row's.
_SPENT = 1e-12


class Thin(NamedTuple):
    """A thin encoder, and which of the wide one's filters it has.

    Attributes
    ----------
    encoder : Sequential
        The blocks of the wide encoder, narrower.
    kept : list of ndarray of int
        Per layer with weights, the rows that were kept, ascending; those of the last one select the columns of
        a trained head.
    """

    encoder: nn.Sequential
    kept: list[np.ndarray]


def somp(W: np.ndarray, n_rows: int) -> np.ndarray:
    """Rows of W that span it best, one at a time.

    Each step takes the row w with the largest summed correlation ``Σ_j |⟨r_j, w⟩| / ‖w‖`` with the residuals
    r_j of all rows, and projects them on what is left. As ‖A W_ω‖ does not depend on the length of the rows in
    ω, correlations do not either.

    Parameters
    ----------
    W : ndarray of shape (d, m)
    n_rows : int
        d', from 1 to d.

    Returns
    -------
    ndarray of int of shape (n_rows,)
        In the order they were taken. Once the rows taken span W, the longest of the others follow.

    Raises
    ------
    SettingError
        For another number of rows.
    """
    W = np.asarray(W, dtype=np.float64)
    if not 1 <= n_rows <= len(W):
        raise SettingError(f"The number of rows to keep must lie between 1 and {len(W)}, got {n_rows!r}.")
    # Residuals are at right angles to the rows taken, so their products with rows are those with each other,
    # and a projection takes one row and column out of the table of these: Cholesky with pivots.
    products = W @ W.T
    length = np.sqrt(np.diagonal(products))
    taken: list[int] = []
    for _ in range(n_rows):
        left = np.diagonal(products).copy()
        left[taken] = 0.0
        open_ = left > _SPENT * length.max() ** 2
        if not open_.any():
            rest = np.setdiff1d(np.arange(len(W)), taken)
            longest = rest[np.argsort(-length[rest], kind="stable")]
            return np.array([*taken, *longest[: n_rows - len(taken)]], dtype=np.int64)
        scores = np.abs(products).sum(0) / np.where(open_, length, 1.0)
        row = int(np.argmax(np.where(open_, scores, -np.inf)))
        products = products - np.outer(products[:, row], products[row] / left[row])
        taken.append(row)
    return np.array(taken, dtype=np.int64)


def thin_encoder(
    encoder: Encoder,
    widths: Sequence[int] | float,
    *,
    example: Tensor | None = None,
    blocks: Sequence[str] | None = None,
) -> Thin:
    """Keep the filters of each layer that span it best.

    The rows kept of a layer select the inputs of the next one, whose rows are then chosen by what is left of
    them, from the input side on. Biases go with their rows. The wide encoder stays as it is.

    Parameters
    ----------
    encoder : Module or sequence of Module
        Linear layers and convolutions, with layers without weights between them.
    widths : sequence of int, or float
        d' of each layer with weights, or the share of rows to keep of all of them, rounded, at least one.
    example : Tensor of shape (n, …), optional
        A few rows of input.
    blocks : sequence of str, optional
        Names of the blocks, see `polytask.sharing.blocks.find_blocks`.

    Raises
    ------
    SettingError
        For another layer that has weights (normalisation, recurrence, attention, convolutions in
        groups), for widths that do not fit, and where a layer in between depends on the width.
    """
    found = find_blocks(encoder, names=blocks, example=example)
    layers = [_layers(module, i) for i, module in enumerate(found.modules, start=1)]
    wide = [layer.weight.shape[0] for block in layers for layer in block if _has_rows(layer)]
    wanted = _widths(widths, wide)
    kept: list[np.ndarray] = []
    out = []
    for block in layers:
        made: list[nn.Module] = []
        for layer in block:
            if not _has_rows(layer):
                made.append(copy.deepcopy(layer))
                continue
            before = (kept[-1], wide[len(kept) - 1]) if kept else None
            narrow = _with_inputs(layer, before, len(kept) + 1)
            rows = np.sort(somp(narrow.weight.detach().flatten(1).cpu().numpy(), wanted[len(kept)]))
            kept.append(rows)
            made.append(_with_rows(narrow, rows))
        out.append(made[0] if len(made) == 1 else nn.Sequential(*made))
    thin = nn.Sequential(*out)
    probe = torch.zeros(2, *found.shapes[0]) if example is None else example
    # Raises where a layer in between expects the old width; else the shapes are known to fit.
    find_blocks(out, example=probe)
    return Thin(thin, kept)


def _widths(widths: Sequence[int] | float, wide: Sequence[int]) -> list[int]:
    if isinstance(widths, (int, float)):
        if isinstance(widths, bool) or not 0 < widths <= 1:
            raise SettingError(
                f"widths must be a share in (0, 1], or a width for each of {len(wide)} layers; got {widths!r}."
            )
        return [max(1, round(widths * d)) for d in wide]
    if len(widths) != len(wide):
        raise SettingError(
            f"widths has {len(widths)} values, but the encoder has {len(wide)} layers with weights."
        )
    for i, (narrow, d) in enumerate(zip(widths, wide), start=1):
        if not 1 <= narrow <= d:
            raise SettingError(f"widths: layer {i} has {d} filters, of which {narrow!r} cannot be kept.")
    return list(widths)


def _layers(block: nn.Module, position: int) -> list[nn.Module]:
    """The layers of a block in order."""
    layers = list(_flat(block))
    for layer in layers:
        if any(True for _ in layer.parameters()) and not _has_rows(layer):
            raise SettingError(
                f"Block {position} has a {type(layer).__name__}, whose filters cannot be chosen; blocks may hold "
                "linear layers and convolutions (groups=1) with layers without weights."
            )
    return layers


def _flat(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for child in module:
            yield from _flat(child)
    else:
        yield module


def _has_rows(layer: nn.Module) -> TypeGuard[WithRows]:
    convolution = isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and layer.groups == 1
    return type(layer) is nn.Linear or convolution


def _with_inputs(layer: WithRows, before: tuple[np.ndarray, int] | None, number: int) -> WithRows:
    """A copy that takes the rows kept of the layer before."""
    layer = copy.deepcopy(layer)
    if before is None:
        return layer
    rows, width = before
    n_inputs = layer.weight.shape[1]
    if n_inputs % width:
        raise SettingError(
            f"Layer {number} takes {n_inputs} inputs, which the {width} filters of the layer before do not divide; "
            "it is not known which inputs come from which filter."
        )
    # Behind a flattened map each filter has a run of inputs, one for each place.
    each = n_inputs // width
    columns = (rows[:, None] * each + np.arange(each)).ravel()
    layer.weight = _chosen(layer.weight, columns, 1)
    if isinstance(layer, nn.Linear):
        layer.in_features = len(columns)
    else:
        layer.in_channels = len(columns)
    return layer


def _with_rows(layer: WithRows, rows: np.ndarray) -> WithRows:
    """The layer with these rows only, in place."""
    layer.weight = _chosen(layer.weight, rows, 0)
    if layer.bias is not None:
        layer.bias = _chosen(layer.bias, rows, 0)
    if isinstance(layer, nn.Linear):
        layer.out_features = len(rows)
    else:
        layer.out_channels = len(rows)
    return layer


def _chosen(values: Tensor, index: np.ndarray, dim: int) -> nn.Parameter:
    chosen = values.detach().index_select(dim, torch.as_tensor(index, device=values.device))
    return nn.Parameter(chosen, requires_grad=values.requires_grad)
