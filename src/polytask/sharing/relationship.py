"""Deep relationship network: hard sharing, with a prior on the task layers that learns how tasks are related.

Long, M., Cao, Z., Wang, J., Yu, P. S. (2017). Learning multiple tasks with multilinear relationship networks. NeurIPS.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import input_shape, output_width
from polytask.sharing.cards import Card
from polytask.sharing.parts import Matrix, Part

SCALES = ("learned", "fixed")


class Relationship(Architecture):
    """``y_t = h_t(f(x))`` with a tensor normal prior on each layer l of the tasks' own networks h_t.

    The tasks' weights of a layer are one tensor 𝒲 of D₁ inputs × D₂ outputs × D₃ tasks, and the objective gets

    ``λ/2 Σ_l [vec(𝒲)ᵀ (Σ₁ ⊗ Σ₂ ⊗ Σ₃)⁻¹ vec(𝒲) + Σ_k (D/D_k) log|Σ_k|]``,  D = D₁ D₂ D₃,

    whose covariances of inputs, outputs and tasks follow the weights (flip-flop, all three of them; the authors'
    released code updates one): ``Σ_k ← (D_k/D) 𝒲₍ₖ₎ (⊗_{j≠k} Σ_j)⁻¹ 𝒲₍ₖ₎ᵀ + εI``. Related tasks, of either sign,
    then pull each other. A Σ_k of inputs or outputs with more dimensions than vectors to estimate it from
    (D_k > D/D_k, as with one output for each of a few tasks) stays the identity: its estimate would whiten the
    tasks' weights, however they are related. Biases have no prior. A layer of `task_hidden` is stacked over all
    tasks, the output layer over the tasks that have the same number of outputs; one that no other task has is
    left out.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        From a batch of inputs to (n, width); shared by all tasks.
    width : int, optional
        Width of the encoder's output; found by running it on `example` where it is not given.
    strength : float
        λ. With the sum of losses that are means over N rows, 1/N is the paper's maximum a posteriori; under equal
        weights 1/T it is 1/(NT).
    epsilon : float
        ε, relative to the mean variance of Σ_k, which the sum leaves as it was: weights are small, and an ε that
        does not know their scale would hide how they are related. The larger, the nearer to independent tasks.
    every : int
        Steps of the optimizer between updates of the covariances, which take O(Σ_k D_k³ + D Σ_k D_k).
    scale : {"learned", "fixed"}
        Only the product of the Σ_k is determined. Σ₁ and Σ₂ have mean variance one; Σ₃ has the mean variance of
        the weights ("learned"), or one as well ("fixed": while the covariances are identities, as at first, it is
        the ridge penalty ``λ/2 ‖𝒲‖²``). A learned scale does not fall below that of the first update, as the
        paper's absolute ε keeps it from zero: else the objective would sink without end, while heads shrink and
        the encoder grows. A large λ still draws all weights to zero.
    task_hidden : sequence of int
        Widths of the task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    example : Tensor of shape (n, …), optional
        A few rows of input, from which the width is found.

    Raises
    ------
    SettingError
        For a negative λ, an ε that is not positive, `every` below one or an unknown scale.

    Warns
    -----
    PolytaskWarning
        If no two tasks have a layer of equal shape, so that the prior relates nothing.
    """

    name = "relationship"
    card = Card(
        "Long, Cao, Wang & Yu 2017, Learning multiple tasks with multilinear relationship networks, NeurIPS",
        "λ/2 Σ_l [vec(𝒲)ᵀ (Σ₁ ⊗ Σ₂ ⊗ Σ₃)⁻¹ vec(𝒲) + Σ_k (D/D_k) log|Σ_k|]",
        "the encoder; a prior on the tasks' layers that learns how tasks are related",
    )

    _steps: Tensor

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int | None = None,
        *,
        strength: float = 1e-3,
        epsilon: float = 0.1,
        every: int = 10,
        scale: str = "learned",
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
    ) -> None:
        shape = input_shape(encoder, example)
        super().__init__(heads, output_width(encoder, width, example), task_hidden, dropout, shape)
        if not strength >= 0:
            raise SettingError(f"strength must be zero or more, got {strength!r}.")
        if not epsilon > 0:
            raise SettingError(f"epsilon must be more than zero, got {epsilon!r}.")
        if every < 1:
            raise SettingError(f"every must be one or more steps, got {every!r}.")
        if scale not in SCALES:
            raise SettingError(f"scale must be one of {', '.join(SCALES)}; got {scale!r}.")
        self.encoder = encoder
        self.strength, self.every = float(strength), int(every)
        self.layers = self._task_layers()
        like = next(self.towers.parameters())
        self.priors = nn.ModuleList(
            TensorNormal(self.stacked(layer).shape, epsilon, scale).to(like) for layer in self.layers
        )
        self.register_buffer("_steps", torch.zeros((), dtype=torch.int64))
        if len(self.tasks) > 1 and not self.layers:
            warnings.warn(
                "Sharing 'relationship' relates nothing here: no two tasks have the same number of outputs, and "
                "there are no further task layers. Give task_hidden, such as task_hidden=(32,).",
                PolytaskWarning,
                stacklevel=2,
            )

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        return self.remember(self.encoder(x))

    def parts(self) -> list[Part]:
        trunk = self.trunk_parts(self.encoder)
        return trunk + self.head_parts({task: [part.name for part in trunk[-1:]] for task in self.tasks})

    # ------------------------------------------------------------------ the prior

    def penalty(self) -> Tensor | None:
        """λ × the negative logarithm of the priors' densities, up to a constant; None where λ is zero."""
        pairs = [(prior, self.stacked(layer)) for prior, layer in self._trained()]
        return self.strength * torch.stack([prior(w) for prior, w in pairs]).sum() if pairs else None

    @torch.no_grad()
    def after_step(self) -> None:
        """Update the covariances in every `every`-th step."""
        self._steps += 1
        if int(self._steps) % self.every == 0:
            for prior, layer in self._trained():
                prior.update(self.stacked(layer))

    def covariance(self, layer: str | None = None) -> list[Matrix]:
        """Σ₃, between tasks, of every task layer with a prior or of one.

        Parameters
        ----------
        layer : str, optional
            "layer 1", …, "output" (or "output of width 3", where there are several).

        Returns
        -------
        list of Matrix
            Tasks × tasks. Zero between tasks that are unrelated.

        Raises
        ------
        SettingError
            For a layer that has no prior.
        """
        known = [found.name for found in self.layers]
        if layer is not None and layer not in known:
            raise SettingError(
                f"No task layer '{layer}' with a prior; there are: {', '.join(known) or 'none'}."
            )
        return [
            Matrix(found.name, found.tasks, found.tasks, prior.covariances[-1].cpu().double().numpy().copy())
            for found, prior in zip(self.layers, self._priors)
            if layer in (None, found.name)
        ]

    def correlation(self, layer: str | None = None) -> list[Matrix]:
        """As `covariance`, with ones on the diagonal."""
        out = []
        for found in self.covariance(layer):
            deviation = np.sqrt(np.diag(found.values))
            out.append(found._replace(values=found.values / np.outer(deviation, deviation)))
        return out

    def stacked(self, layer: TaskLayer) -> Tensor:
        """𝒲 of a layer: (inputs, outputs, tasks)."""
        groups = self.towers.groups
        parts = [groups[g].stacked()[name] for g, name in layer.places]
        weight = parts[0] if len(parts) == 1 else torch.cat(parts)[layer.order]
        return weight.permute(2, 1, 0)

    @property
    def _priors(self) -> list[TensorNormal]:
        return [cast("TensorNormal", prior) for prior in self.priors]

    def _trained(self) -> list[tuple[TensorNormal, TaskLayer]]:
        if not self.strength:
            return []
        trained = []
        for prior, layer in zip(self._priors, self.layers):
            modules = [(self.towers.groups[g].members[0], name) for g, name in layer.places]
            if any(module.get_parameter(name).requires_grad for module, name in modules):
                trained.append((prior, layer))
        return trained

    def _task_layers(self) -> list[TaskLayer]:
        """Linear layers at the same place with the same shape, where at least two tasks have them."""
        found: dict[tuple[int, torch.Size], list[tuple[int, str]]] = {}
        last = 0
        for g, group in enumerate(self.towers.groups):
            linear = [(n, m) for n, m in group.members[0].named_modules() if isinstance(m, nn.Linear)]
            last = len(linear)
            for depth, (name, module) in enumerate(linear, start=1):
                place = (g, f"{name}.weight" if name else "weight")
                found.setdefault((depth, module.weight.shape), []).append(place)
        related = {
            key: places
            for key, places in sorted(found.items())
            if sum(len(self.towers.group_tasks[g]) for g, _ in places) > 1
        }
        several = sum(depth == last for depth, _ in related) > 1
        layers = []
        for (depth, (width, _)), places in related.items():
            output = f"output of width {width}" if several else "output"
            layers.append(self._task_layer(output if depth == last else f"layer {depth}", places))
        return layers

    def _task_layer(self, name: str, places: Sequence[tuple[int, str]]) -> TaskLayer:
        tasks = [task for g, _ in places for task in self.towers.group_tasks[g]]
        positions = [self.tasks.index(task) for task in tasks]
        order = sorted(range(len(tasks)), key=positions.__getitem__)
        return TaskLayer(name, tuple(tasks[i] for i in order), tuple(places), order)


class TaskLayer(NamedTuple):
    """One layer of several tasks' networks.

    Attributes
    ----------
    name : str
    tasks : tuple of str
    places : tuple of (int, str)
        Groups of the towers, and the weight's name in their members.
    order : list of int
        Positions of the tasks in the groups' stacks, one after another.
    """

    name: str
    tasks: tuple[str, ...]
    places: tuple[tuple[int, str], ...]
    order: list[int]


class TensorNormal(nn.Module):
    """Tensor normal density with mean zero: ``vec(𝒲) ~ N(0, Σ₁ ⊗ … ⊗ Σ_K)``, Σ_k = I at first.

    The Kronecker product, D × D, is never formed: its inverse acts mode by mode.

    Parameters
    ----------
    shape : sequence of int
        D₁, …, D_K.
    epsilon : float
        ε, see `Relationship`; zero is possible where the weights are many enough to determine all variances.
    scale : {"learned", "fixed"}
    """

    log_determinants: Tensor
    least_scale: Tensor

    def __init__(self, shape: Sequence[int], epsilon: float, scale: str) -> None:
        super().__init__()
        self.shape, self.epsilon, self.scale = tuple(shape), epsilon, scale
        for k, size in enumerate(self.shape, start=1):
            self.register_buffer(f"covariance_{k}", torch.eye(size))
            self.register_buffer(f"precision_{k}", torch.eye(size), persistent=False)
        self.register_buffer("log_determinants", torch.zeros(len(self.shape)), persistent=False)
        #: The scale of the first update, below which it does not fall; zero before.
        self.register_buffer("least_scale", torch.zeros(()))

    @property
    def covariances(self) -> list[Tensor]:
        """Σ_k of shape (D_k, D_k)."""
        return [self.get_buffer(f"covariance_{k}") for k in range(1, len(self.shape) + 1)]

    @property
    def precisions(self) -> list[Tensor]:
        """Σ_k⁻¹."""
        return [self.get_buffer(f"precision_{k}") for k in range(1, len(self.shape) + 1)]

    def forward(self, w: Tensor) -> Tensor:
        """``½ [vec(𝒲)ᵀ (⊗_k Σ_k)⁻¹ vec(𝒲) + Σ_k (D/D_k) log|Σ_k|]``."""
        others = torch.tensor([w.numel() // size for size in self.shape]).to(self.log_determinants)
        return _HalfForm.apply(w, *self.precisions) + (others * self.log_determinants).sum() / 2

    @torch.no_grad()
    def update(self, w: Tensor) -> None:
        """One flip-flop: each Σ_k in turn, with the newest of the others.

        Weights that are all zero (or not numbers) say nothing, and leave it as it is.
        """
        if not float(w.square().mean()) > torch.finfo(w.dtype).eps ** 2:
            return
        last = len(self.shape) - 1
        for k, size in enumerate(self.shape):
            if k < last and size * size > w.numel():
                continue  # fewer vectors than dimensions: it would whiten away how the tasks are related
            moment = second_moment(w, self.precisions, k)
            variance = moment.trace() / size
            unit = torch.eye(size, dtype=w.dtype, device=w.device)
            covariance = (moment / variance + self.epsilon * unit) / (1 + self.epsilon)
            # The moments of the modes before the last need no scale: the last one's takes up all of it.
            if self.scale == "learned" and k == last:
                if not self.least_scale:
                    self.least_scale.copy_(variance)
                covariance = covariance * torch.maximum(variance, self.least_scale)
            self.covariances[k].copy_((covariance + covariance.T) / 2)
            self._invert(k)

    def _invert(self, k: int) -> None:
        factor = torch.linalg.cholesky(self.covariances[k])
        self.precisions[k].copy_(torch.cholesky_inverse(factor))
        self.log_determinants[k] = 2 * factor.diagonal().log().sum()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        for k in range(len(self.shape)):
            self._invert(k)


def second_moment(w: Tensor, precisions: Sequence[Tensor], k: int) -> Tensor:
    """``(D_k/D) 𝒲₍ₖ₎ (⊗_{j≠k} Σ_j)⁻¹ 𝒲₍ₖ₎ᵀ``: (D_k, D_k); modes are counted from zero."""
    whitened = w
    for j, precision in enumerate(precisions):
        if j != k:
            whitened = mode_product(whitened, precision, j)
    left, right = (t.movedim(k, 0).flatten(1) for t in (whitened, w))
    with torch.autocast(w.device.type, enabled=False):
        return left @ right.T * (w.shape[k] / w.numel())


def mode_product(tensor: Tensor, matrix: Tensor, k: int) -> Tensor:
    """``𝒲 ×_k M``: the matrix acts on axis k."""
    with torch.autocast(tensor.device.type, enabled=False):  # a prior in half precision would be none
        return torch.tensordot(matrix, tensor, ([1], [k])).movedim(0, k)


class _HalfForm(torch.autograd.Function):
    """``½ vec(𝒲)ᵀ (⊗_k P_k) vec(𝒲)`` for symmetric P_k, whose gradient is ``𝒲 ×₁ P₁ … ×_K P_K``."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, *precisions: Tensor) -> Tensor:
        product = w
        for k, precision in enumerate(precisions):
            product = mode_product(product, precision, k)
        ctx.save_for_backward(product)
        ctx.n_modes = len(precisions)
        return (product * w).sum() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (product,) = ctx.saved_tensors
        return (grad * product, *[None] * ctx.n_modes)
