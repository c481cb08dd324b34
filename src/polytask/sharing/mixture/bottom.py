"""What lies below experts and gates, and what gates see of an input that is not a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.blocks import (
    Encoder,
    channel_dim,
    check_encoder,
    example_input,
    find_blocks,
    output_width,
)


@dataclass(frozen=True)
class Split:
    """An encoder cut in two.

    Attributes
    ----------
    bottom : Module or None
        Its first blocks, shared by all experts and gates.
    expert : Module
        The rest, one expert's template.
    width : int
        Width of an expert's output.
    gate_width : int
        Width of what gates see.
    channels : int
        Which dimension of the expert's input holds channels or features: 1 or -1.
    input_shape : tuple of int
        Of a row of the whole encoder's input.
    """

    bottom: nn.Module | None
    expert: nn.Module
    width: int
    gate_width: int
    channels: int
    input_shape: tuple[int, ...]


def split(
    encoder: Encoder,
    n_bottom: int,
    *,
    blocks: Sequence[str] | None = None,
    example: Tensor | None = None,
    width: int | None = None,
) -> Split:
    """Cut an encoder after its first `n_bottom` blocks; its blocks need not be known where that is none.

    Raises
    ------
    SettingError
        If no block is left for the experts, or gates would have to weigh token ids.
    """
    check_encoder(encoder)
    if n_bottom < 0:
        raise SettingError(f"bottom must be zero or a number of the encoder's first blocks, got {n_bottom}.")
    if n_bottom == 0 and blocks is None and isinstance(encoder, nn.Module):
        example = example_input([encoder], example)
        if not example.is_floating_point():
            raise SettingError(
                f"Gates weigh numbers, but the encoder takes {example.dtype}: with bottom=1 the encoder's first "
                "block (its embedding) is shared below the experts, and gates see its output."
            )
        shape, channels = tuple(example.shape[1:]), channel_dim(encoder, first=True)
        channels = 1 if channels == 1 and len(shape) > 1 else -1
        out = output_width(encoder, width, example)
        return Split(None, encoder, out, _pooled_width(shape, channels), channels, shape)
    found = find_blocks(encoder, names=blocks, example=example, width=width)
    if n_bottom >= len(found):
        raise SettingError(
            f"bottom={n_bottom}, but the encoder has {len(found)} block{'s' * (len(found) > 1)}; at least one "
            "must be left for the experts."
        )
    below, above = found.modules[:n_bottom], found.modules[n_bottom:]
    shape, channels = found.shapes[n_bottom], found.channels[n_bottom]
    return Split(
        nn.Sequential(*below) if below else None,
        above[0] if len(above) == 1 else nn.Sequential(*above),
        found.widths[-1],
        _pooled_width(shape, channels),
        channels,
        found.shapes[0],
    )


def pooled(x: Tensor, channels: int) -> Tensor:
    """What gates see: a row itself, or the means of its channels over places or time.

    Parameters
    ----------
    x : Tensor of shape (n, d), (n, …, d), or (n, d, …) where `channels` is 1

    Returns
    -------
    Tensor of shape (n, d)
    """
    if x.dim() == 2:
        return x
    return x.flatten(2).mean(2) if channels == 1 else x.flatten(1, -2).mean(1)


def _pooled_width(shape: tuple[int, ...], channels: int) -> int:
    return shape[0] if channels == 1 else shape[-1]
