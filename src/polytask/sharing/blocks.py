"""An encoder as a chain of blocks, between which architectures stitch, gate, attend and branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.modes import evaluated
from polytask.sharing.parts import parameters_of

Encoder = nn.Module | Sequence[nn.Module]

_NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
)
_CONVOLUTIONS = (nn.modules.conv._ConvNd,)


@dataclass(frozen=True)
class Blocks:
    """A chain of modules and the shapes between them.

    Attributes
    ----------
    modules : list of Module
        Run one after another they are the encoder.
    shapes : list of tuple of int
        Without the batch dimension: ``shapes[0]`` is the input's, ``shapes[l]`` the output's of block l.
    channels : list of int
        As `shapes`: the dimension (batch included) that holds channels or features, 1 for feature maps of
        convolutions and -1 for everything else.
    """

    modules: list[nn.Module]
    shapes: list[tuple[int, ...]]
    channels: list[int]

    def __len__(self) -> int:
        return len(self.modules)

    @property
    def widths(self) -> list[int]:
        """Number of channels or features of the input and after each block."""
        return [
            shape[0] if dim == 1 and len(shape) > 1 else shape[-1]
            for shape, dim in zip(self.shapes, self.channels)
        ]


def find_blocks(
    encoder: Encoder,
    *,
    names: Sequence[str] | None = None,
    example: Tensor | None = None,
    width: int | None = None,
) -> Blocks:
    """Split an encoder into blocks and find the shapes between them.

    Parameters
    ----------
    encoder : Module or sequence of Module
        A `nn.Sequential` is cut before each layer with weights (normalisation stays with the layer before
        it); the layers of a `nn.TransformerEncoder` are its blocks; a sequence of modules is taken as it is.
    names : sequence of str, optional
        Submodules that the encoder runs one after another; needed for every other encoder.
    example : Tensor of shape (n, …), optional
        A few rows of input. Not needed where the first layer is linear and inputs are tables.
    width : int, optional
        What the encoder's output is expected to have.

    Raises
    ------
    SettingError
        If blocks cannot be found, do not make up the encoder, or do not end in one vector per row.
    """
    check_encoder(encoder)
    modules = _named(encoder, names) if names is not None else _chain(encoder)
    _check_untied(modules)
    example = example_input(modules, example)
    shapes = _probe(modules, example)
    if names is not None and isinstance(encoder, nn.Module):
        _check_is_chain(encoder, modules, example)
    check_width(shapes[-1], width)
    channels = [channel_dim(modules[0], first=True)] + [channel_dim(module) for module in modules]
    dims = [1 if dim == 1 and len(shape) > 1 else -1 for dim, shape in zip(channels, shapes)]
    return Blocks(modules, shapes, dims)


def output_width(encoder: nn.Module, width: int | None, example: Tensor | None) -> int:
    """The width of an encoder's output, as given, or found by running it; see `find_blocks`."""
    check_encoder(encoder, one=True)
    if example is None and width is not None:
        return width
    shapes = _probe([encoder], example_input([encoder], example))
    check_width(shapes[-1], width)
    return shapes[-1][0]


def check_encoder(encoder: Any, one: bool = False) -> None:
    """Raise for what is no module, or where it may be, no sequence of modules."""
    chain = isinstance(encoder, (list, tuple)) and all(isinstance(m, nn.Module) for m in encoder)
    if isinstance(encoder, nn.Module) or (chain and not one):
        return
    wanted = "a module" if one else "a module, or a list of modules"
    raise SettingError(f"The encoder must be {wanted} from a batch of rows to (n, width); got {encoder!r}.")


def example_input(modules: Sequence[nn.Module], example: Tensor | None) -> Tensor:
    """Two rows of input of the modules' type and device; zeros where the input is known to be a table."""
    like = next((p for module in modules for p in module.parameters()), None)
    dtype, device = (torch.float32, None) if like is None else (like.dtype, like.device)
    if example is None:
        first = next((m for m in _leaves(modules)), None)
        if not isinstance(first, nn.Linear):
            found = "no layer with weights" if first is None else f"a {type(first).__name__}"
            raise SettingError(
                f"The shape of the encoder's input is not known (it begins with {found}): pass a few rows of "
                "it, example=x[:2]."
            )
        return torch.zeros(2, first.in_features, dtype=dtype, device=device)
    example = torch.as_tensor(example)[:2].to(device)
    return example.to(dtype) if example.is_floating_point() else example


def input_shape(encoder: nn.Module, example: Tensor | None) -> tuple[int, ...] | None:
    """Shape of a row of input; None where neither an example nor a linear first layer tells."""
    first = next(_leaves([encoder]), None)
    if example is None and not isinstance(first, nn.Linear):
        return None
    return tuple(example_input([encoder], example).shape[1:])


def check_width(shape: tuple[int, ...], width: int | None) -> None:
    """Raise unless rows come out as vectors, of the width that was said."""
    if len(shape) != 1:
        raise SettingError(
            f"The encoder must return one vector per row, (n, width); it returns rows of shape {shape}. End it "
            "with a pooling, nn.Flatten() or the last state."
        )
    if width is not None and shape[0] != width:
        raise SettingError(f"The encoder returns {shape[0]} features per row, but width={width}.")


def channel_dim(module: nn.Module, first: bool = False) -> int:
    """1 where the last (or first) layer with weights is a convolution or its normalisation, else -1."""
    leaves = list(_leaves([module]))
    if not leaves:
        return -1
    leaf = leaves[0 if first else -1]
    maps = (
        *_CONVOLUTIONS,
        nn.GroupNorm,
        nn.modules.batchnorm._BatchNorm,
        nn.modules.instancenorm._InstanceNorm,
    )
    return 1 if isinstance(leaf, maps) else -1


def layer_parameters(encoder: nn.Module) -> list[tuple[nn.Parameter, ...]]:
    """Parameters of an encoder, block by block where it has any; all together where blocks are not known."""
    try:
        modules = _chain(encoder)
    except SettingError:
        modules = [encoder]
    found = [parameters_of(module) for module in modules]
    return [parameters for parameters in found if parameters]


def running_statistics(module: nn.Module) -> list[str]:
    """Names of submodules that keep statistics of what passes through them (batch normalisation)."""
    return [name for name, m in module.named_modules() if getattr(m, "track_running_stats", False)]


# ---------------------------------------------------------------------- where blocks are


def _chain(encoder: Encoder) -> list[nn.Module]:
    if isinstance(encoder, nn.ModuleList) or not isinstance(encoder, nn.Module):
        modules: list[nn.Module] = [*encoder]
        if not modules:
            raise SettingError("The encoder has no blocks: the sequence of modules is empty.")
        return modules
    if isinstance(encoder, nn.TransformerEncoder):
        layers = list(encoder.layers)
        if encoder.norm is not None:
            layers[-1] = nn.Sequential(layers[-1], encoder.norm)
        return layers
    if not isinstance(encoder, nn.Sequential):
        children = [name for name, _ in encoder.named_children()]
        raise SettingError(
            f"The blocks of the encoder, a {type(encoder).__name__}, cannot be found. Name the submodules that "
            f"it runs one after another, blocks=[…] of {children}, or give it as a nn.Sequential of blocks."
        )
    layers = list(encoder)
    if len(layers) == 1 and isinstance(layers[0], nn.Sequential):
        return _chain(layers[0])
    return _grouped(layers) or [nn.Identity()]


def _grouped(children: list[nn.Module]) -> list[nn.Module]:
    """A block begins at a layer with weights that is not a normalisation."""
    groups: list[list[nn.Module]] = [[]]
    begun = False
    for child in children:
        begins = any(True for _ in child.parameters()) and not isinstance(child, _NORMS)
        if begins and begun:
            groups.append([])
        begun = begun or begins
        groups[-1].append(child)
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups if group]


def _check_untied(modules: Sequence[nn.Module]) -> None:
    """A layer that stands in two blocks would have other weights in each of them once these are copied."""
    seen: set[int] = set()
    for i, module in enumerate(modules, start=1):
        mine = {id(p) for p in module.parameters()}
        if mine & seen:
            raise SettingError(
                f"Block {i} of the encoder has weights of an earlier block: tied layers must be in one block. Put "
                "them into one nn.Sequential."
            )
        seen |= mine


def _named(encoder: Encoder, names: Sequence[str]) -> list[nn.Module]:
    if not isinstance(encoder, nn.Module) or isinstance(names, str) or not names:
        raise SettingError(f"blocks must name submodules of an encoder module, got blocks={names!r}.")
    known = dict(encoder.named_modules())
    for name in names:
        if name not in known:
            children = [child for child, _ in encoder.named_children()]
            raise SettingError(f"blocks: the encoder has no submodule '{name}'; it has {children}.")
    inside = {id(p) for name in names for p in known[name].parameters()}
    outside = [name for name, p in encoder.named_parameters() if id(p) not in inside]
    if outside:
        raise SettingError(
            f"blocks={list(names)} leave out the encoder's parameter '{outside[0]}'"
            + (f" and {len(outside) - 1} more" if len(outside) > 1 else "")
            + "; every layer with weights must belong to a block."
        )
    return [known[name] for name in names]


def _leaves(modules: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """Modules that hold parameters themselves, in order."""
    for module in modules:
        for m in module.modules():
            if any(True for _ in m.parameters(recurse=False)):
                yield m


# ---------------------------------------------------------------------- the shapes between them


def _probe(modules: Sequence[nn.Module], example: Tensor) -> list[tuple[int, ...]]:
    shapes = [tuple(example.shape[1:])]
    with evaluated(*modules):
        x = example
        for i, module in enumerate(modules):
            taken, version = x, x._version
            try:
                x = module(x)
            except (RuntimeError, IndexError, TypeError, ValueError) as error:
                raise SettingError(
                    f"Block {i + 1} of the encoder, a {type(module).__name__}, cannot take rows of shape "
                    f"{shapes[-1]}: {str(error).splitlines()[0]}"
                ) from error
            if not isinstance(x, Tensor):
                raise SettingError(
                    f"Block {i + 1} of the encoder, a {type(module).__name__}, returns a {type(x).__name__}; "
                    "wrap it in a module that returns one tensor."
                )
            if i and taken._version != version:
                raise SettingError(
                    f"Block {i + 1} of the encoder, a {type(module).__name__}, changes its input in place, which "
                    "others still read: use inplace=False in its first layer."
                )
            shapes.append(tuple(x.shape[1:]))
    return shapes


def _check_is_chain(encoder: nn.Module, modules: Sequence[nn.Module], example: Tensor) -> None:
    if example.is_floating_point():
        example = torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    with evaluated(encoder):
        whole = encoder(example)
        x = example
        for module in modules:
            x = module(x)
    same = isinstance(whole, Tensor) and whole.shape == x.shape
    if not same or not torch.allclose(whole, x, rtol=1e-4, atol=1e-5):
        raise SettingError(
            "Running the named blocks one after another is not what the encoder does: something happens "
            "between them. Move it into a block, or give the encoder as a nn.Sequential."
        )
