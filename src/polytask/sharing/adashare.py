"""AdaShare: every task learns which blocks of one network to execute and which to skip.

Sun, X., Panda, R., Feris, R., Saenko, K. (2020). AdaShare: learning what to share for efficient deep
multi-task learning. NeurIPS.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import Blocks, Encoder, find_blocks, running_statistics
from polytask.sharing.cards import Card
from polytask.sharing.parts import Matrix, Part, parameters_of

#: Temperatures do not fall below: the relaxation is a step by then, and its slope must stay finite.
COLDEST = 1e-3


class AdaShare(Architecture):
    """One network; task k executes block l with probability α_lk, which is learned.

    The decision u_lk ∈ {0, 1} enters as ``x ← u_lk B_l(x) + (1 − u_lk) x``, which for a residual block
    B(x) = x + F(x) is ``x + u_lk F(x)``. In training u_lk is drawn in every step by the Gumbel-softmax::

        v_lk(j) = exp((log π_lk(j) + G_lk(j)) / τ) / Σ_i exp((log π_lk(i) + G_lk(i)) / τ),   π = [1 − α, α]

    with G ~ Gumbel(0, 1) of PyTorch's generator; in evaluation each task follows its most likely policy,
    α_lk ≥ ½, and nothing is random. The objective gets

        [λ_sp Σ_{l,k} log α_lk + λ_sh Σ_{k1,k2} Σ_l (L − l)/L |α_l,k1 − α_l,k2|] / T

    with l = 1 … L over the blocks that can be skipped and each pair of tasks counted twice, as written: few
    blocks are executed, and the tasks take the same ones near the input; the last of them has no part in the
    second term, which is zero where only one can be skipped. The paper's losses are a sum over tasks, those of
    polytask's loop a mean, hence the division by T.

    A block can be skipped if it has parameters and returns rows of the shape that it takes; all others, and
    the first one, are always executed. After training, `freeze_policy` fixes the decisions, and training goes
    on, or begins anew, with them.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module, or sequence of Module
        The network; its blocks are found as `polytask.sharing.blocks.find_blocks` tells.
    width : int, optional
        Width of the encoder's output.
    sparsity, sharing : float
        λ_sp and λ_sh.
    temperature : float
        τ in the first step in which policies are learned.
    decay : float
        Factor in (0, 1] of τ for every 100 steps.
    warm_up : int
        Steps in which every task executes all blocks, before policies are learned (the authors' code has a fifth
        of all steps): a block that is not trained yet is of no use to any task, and would be skipped for good.
    curriculum : int
        Steps per stage: policies are learned for the last block first and for one more in each stage, the
        others being executed; 0: for all from the start.
    straight_through : bool
        Execute a block or skip it in training too, with the gradient of v: then validation during training
        sees the network that is trained. False: mix both by v, as the paper does.
    residual : bool
        Add ``x`` to what a block that can be skipped returns: for blocks without a skip connection of their
        own. `for_table` sets it to True, being over an MLP.
    policy_rate : float
        Learning rate of policies relative to that of weights.
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
        For a setting out of its range, or an encoder without a block that can be skipped.

    Notes
    -----
    The authors' code differs from the paper; the paper is followed. There the sparsity term is
    −log(1 − α) averaged over blocks, distances are those of logits and weighted by l/L, so the blocks near the
    output are pulled together most. The paper's sparsity term has no minimum: it keeps on pushing logits down.

    In the paper's experiments weights and policies learn in turns, from 80 % and 20 % of the training rows;
    here both learn in each step. Policies are drawn once for retraining there; see `freeze_policy`.
    """

    name = "adashare"
    card = Card(
        "Sun, Panda, Feris & Saenko 2020, AdaShare, NeurIPS",
        "x ← u_lk B_l(x) + (1 − u_lk) x, u by Gumbel-softmax",
        "the blocks that a task does not skip",
    )
    steps: Tensor
    choices: Tensor

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        sparsity: float = 1e-3,
        sharing: float = 0.05,
        temperature: float = 5.0,
        decay: float = 0.965,
        warm_up: int = 500,
        curriculum: int = 0,
        straight_through: bool = True,
        residual: bool = False,
        policy_rate: float = 1.0,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        _check_settings(sparsity, sharing, temperature, decay, warm_up, curriculum, policy_rate)
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        super().__init__(heads, found.widths[-1], task_hidden, dropout, found.shapes[0])
        self.sparsity, self.sharing = float(sparsity), float(sharing)
        self.initial_temperature, self.decay = float(temperature), float(decay)
        self.warm_up, self.curriculum = warm_up, curriculum
        self.straight_through, self.residual, self.policy_rate = straight_through, residual, policy_rate
        self.blocks = nn.ModuleList(found.modules)
        self._dims = [len(shape) for shape in found.shapes]
        #: Blocks that can be skipped, in order; the l-th is decided by the l-th logit of each task.
        self.skippable = _skippable(found)
        _warn_of_statistics(found, self.skippable[0])
        self.logits = nn.ParameterList(torch.zeros(len(self.skippable)) for _ in self.tasks)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        #: 1 and 0 for execute and skip, T × L, once the policy is frozen; −1 before.
        no_choices = torch.full((len(self.tasks), len(self.skippable)), -1, dtype=torch.int8)
        self.register_buffer("choices", no_choices)
        self._fixed: list[list[bool]] | None = None
        self._stilled: list[nn.Parameter] = []
        self.register_load_state_dict_post_hook(_settle_after_loading)

    @classmethod
    def for_table(cls, n_inputs: int, heads: Mapping[str, int], **settings: Any) -> Self:
        """Over an MLP with a skip connection around each layer that has as many outputs as inputs.

        Parameters
        ----------
        n_inputs : int
            Number of features.
        heads : mapping of str to int
        **settings
            As in `Architecture.for_table`, and those of the class.
        """
        return super().for_table(n_inputs, heads, **({"residual": True} | settings))

    # ------------------------------------------------------------------ policies

    def policy(self) -> list[Matrix]:
        """P(execute), tasks × blocks that can be skipped, as one matrix; 1 for those not yet learned."""
        columns = tuple(f"block {b + 1}" for b in self.skippable)
        values = self._probabilities().detach().cpu().numpy()
        return [Matrix("policy", self.tasks, columns, values)]

    def freeze_policy(self, draw: bool = False) -> None:
        """Fix each task's decisions: policies learn no more, and blocks that no task executes neither.

        Parameters
        ----------
        draw : bool
            Draw decisions with their probabilities, as the paper does for retraining; else take the most
            likely ones.
        """
        alpha = self._probabilities().detach()
        chosen = torch.rand_like(alpha) < alpha if draw else alpha >= 0.5
        self.choices.copy_(chosen)
        self._settle()

    def penalty(self) -> Tensor | None:
        """``[λ_sp Σ log α + λ_sh Σ_{k1,k2} Σ_l (L − l)/L |α_l,k1 − α_l,k2|] / T``; None once frozen."""
        if self._fixed is not None or (self.sparsity == 0 and self.sharing == 0):
            return None
        logits, n_blocks = torch.stack(list(self.logits)), len(self.skippable)
        log_alpha = torch.where(self._learned(), nn.functional.logsigmoid(logits), 0.0)
        alpha = self._probabilities()
        weight = torch.arange(n_blocks - 1, -1, -1, dtype=alpha.dtype, device=alpha.device) / n_blocks
        distance = (weight * (alpha.unsqueeze(0) - alpha.unsqueeze(1)).abs()).sum()
        return (self.sparsity * log_alpha.sum() + self.sharing * distance) / len(self.tasks)

    def after_step(self) -> None:
        """Count the step, from which the temperature and the curriculum's stage follow."""
        self.steps += 1

    def learning_rates(self) -> list[tuple[nn.Parameter, float]]:
        return [(logits, self.policy_rate) for logits in self.logits]

    def temperature(self) -> float:
        """τ of the present step."""
        learned = max(int(self.steps) - self.warm_up, 0)
        return max(self.initial_temperature * self.decay ** (learned / 100), COLDEST)

    def _learned(self) -> Tensor:
        """Mask of the blocks whose policy is learned in the present stage: (L,)."""
        last = torch.arange(len(self.skippable), 0, -1, device=self.steps.device)
        step = self.steps - self.warm_up
        stage = step // self.curriculum + 1 if self.curriculum else len(last)
        return (last <= stage) & (step >= 0)

    def _probabilities(self) -> Tensor:
        """α of all tasks: (T, L)."""
        logits = torch.stack(list(self.logits))
        if self._fixed is not None:
            return self.choices.to(logits.dtype)
        return torch.where(self._learned(), torch.sigmoid(logits), 1.0)

    def _decisions(self, tasks: Sequence[int]) -> Tensor:
        """u of tasks: (T', L)."""
        if self._fixed is not None:
            return self.choices[list(tasks)]
        logits = torch.stack([self.logits[k] for k in tasks])
        if self.training:
            # Drawn for all tasks, so that a task's decisions do not depend on which others are asked for.
            noise = -logits.new_empty(len(self.tasks), len(self.skippable), 2).exponential_().log()
            v = relaxed(logits, noise[list(tasks)], self.temperature())
        else:
            v = torch.sigmoid(logits)
        u = straight_through(v) if self._decides else v
        return torch.where(self._learned(), u, 1.0)

    @property
    def _decides(self) -> bool:
        """Whether decisions are 0 or 1, and nothing in between."""
        return self._fixed is not None or self.straight_through or not self.training

    def _settle(self) -> None:
        """Stop the training of what `choices` leaves without effect, or resume it."""
        for parameter in self._stilled:
            parameter.requires_grad_(True)
        self._stilled, self._fixed = [], None
        if bool((self.choices < 0).any()):
            return
        self._fixed = [[bool(c) for c in row] for row in self.choices.tolist()]
        unused = [self.blocks[b] for b, column in zip(self.skippable, zip(*self._fixed)) if not any(column)]
        idle = [*self.logits, *parameters_of(unused)]
        self._stilled = [parameter for parameter in idle if parameter.requires_grad]
        for parameter in self._stilled:
            parameter.requires_grad_(False)

    # ------------------------------------------------------------------ outputs

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        u = self._decisions(tasks)
        if self._decides and not u.requires_grad:
            return self._routed(x, [[bool(c) for c in row] for row in u.tolist()])
        return self._mixed(x, u.unsqueeze(1))

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """Each row passes the network once, by the policy of its task."""
        self.check_input(x)
        present, position = torch.unique(task_of_row, return_inverse=True)
        u = self._decisions(present.tolist())[position]
        if self._decides and not u.requires_grad:
            h = self._routed_rows(x, u > 0)
        else:
            h = self._mixed(x, u)
        return self.towers.own(h, task_of_row)

    def _mixed(self, x: Tensor, u: Tensor) -> Tensor:
        """Every block runs; decisions, (T', 1, L) or (n, L), weigh it against its input."""
        h = x
        for b, (block, dims) in enumerate(zip(self.blocks, self._dims)):
            out = _run(block, h, dims)
            if b not in self.skippable:
                h = out
                continue
            gate = u[..., self.skippable.index(b)]
            gate = gate.reshape(*gate.shape, *[1] * dims)
            h = h + gate * out if self.residual else gate * out + (1 - gate) * h
        return h

    def _routed(self, x: Tensor, choices: list[list[bool]]) -> Tensor:
        """Only executed blocks run, once for all tasks that have come the same way."""
        h, way = x.unsqueeze(0), [0] * len(choices)
        for b, (block, dims) in enumerate(zip(self.blocks, self._dims)):
            if b not in self.skippable:
                h = _run(block, h, dims)
                continue
            executed = [row[self.skippable.index(b)] for row in choices]
            ends = list(dict.fromkeys(zip(way, executed)))
            starts = [start for start, yes in ends if yes]
            if starts:
                run = iter(self._executed(block, h[starts], dims))
                h = torch.stack([next(run) if yes else h[start] for start, yes in ends])
            way = [ends.index(pair) for pair in zip(way, executed)] if starts else way
        return h[0] if len(h) == 1 else h[way]

    def _routed_rows(self, x: Tensor, executed: Tensor) -> Tensor:
        """The same for rows with decisions of their own: (n, …) and (n, L)."""
        h = x
        for b, (block, dims) in enumerate(zip(self.blocks, self._dims)):
            if b not in self.skippable:
                h = block(h)
                continue
            rows = executed[:, self.skippable.index(b)].nonzero().squeeze(1)
            if len(rows) == len(h):
                h = self._executed(block, h, dims)
            elif len(rows):
                h = h.index_copy(0, rows, self._executed(block, h[rows], dims))
        return h

    def _executed(self, block: nn.Module, h: Tensor, dims: int) -> Tensor:
        out = _run(block, h, dims)
        return h + out if self.residual else out

    # ------------------------------------------------------------------ what it is

    def parts(self) -> list[Part]:
        out: list[Part] = []
        last: dict[str, tuple[str, ...]] = dict.fromkeys(self.tasks, ())
        for b, block in enumerate(self.blocks):
            tasks = self._users(b)
            inputs = tuple(dict.fromkeys(name for task in tasks for name in last[task]))
            # A block that no task executes is in the hands of none of them.
            shared = len(tasks) != 1 or len(self.tasks) == 1
            out.append(Part(f"block {b + 1}", tasks, "layer", parameters_of(block), inputs, shared))
            last |= dict.fromkeys(tasks, (out[-1].name,))
        for task, logits in zip(self.tasks, self.logits):
            out.append(Part(f"policy of {task}", (task,), "gate", (logits,), last[task]))
        return out + self.head_parts({task: [f"policy of {task}"] for task in self.tasks})

    def _users(self, block: int) -> tuple[str, ...]:
        """Tasks that execute a block, or may."""
        if self._fixed is None or block not in self.skippable:
            return self.tasks
        position = self.skippable.index(block)
        return tuple(task for task, row in zip(self.tasks, self._fixed) if row[position])


def relaxed(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """v(1) of the Gumbel-softmax over skip (0) and execute (1).

    Parameters
    ----------
    logits : Tensor of shape (…)
        ``log α − log(1 − α)``.
    noise : Tensor of shape (…, 2)
        Draws of Gumbel(0, 1): G(0) and G(1).
    temperature : float
        τ.

    Returns
    -------
    Tensor of shape (…)
    """
    return torch.sigmoid((logits + noise[..., 1] - noise[..., 0]) / temperature)


def straight_through(v: Tensor) -> Tensor:
    """1 where v ≥ ½ and else 0, with the gradient of v."""
    return (v >= 0.5).to(v.dtype) + (v - v.detach())


def _run(block: nn.Module, h: Tensor, dims: int) -> Tensor:
    """A block on (n, …), or on (T', n, …) as one batch; `dims` is the number of dimensions of a row."""
    if h.dim() == dims + 1:
        return block(h)
    return block(h.flatten(0, 1)).unflatten(0, h.shape[:2])


def _skippable(blocks: Blocks) -> list[int]:
    """Positions of the blocks that can be skipped."""
    out = [
        b
        for b, module in enumerate(blocks.modules)
        if b and blocks.shapes[b] == blocks.shapes[b + 1] and parameters_of(module)
    ]
    if not out:
        shapes = " → ".join(str(shape) for shape in blocks.shapes)
        raise SettingError(
            f"Sharing 'adashare': no block of the encoder can be skipped. From block to block rows have the "
            f"shapes {shapes}; a block after the first one must return the shape that it takes. Give "
            "successive layers equal widths, such as hidden=(64, 64), or name other blocks, blocks=[…]."
        )
    return out


def _warn_of_statistics(blocks: Blocks, start: int) -> None:
    for b, module in enumerate(blocks.modules[start:], start=start + 1):
        names = running_statistics(module)
        if names:
            warnings.warn(
                f"Sharing 'adashare': block {b} of the encoder keeps statistics of its batches "
                f"('{names[0]}'), to which the paths of all tasks are added up, also of those that skip the "
                "block. Use GroupNorm or LayerNorm there.",
                PolytaskWarning,
                stacklevel=3,
            )
            return


def _check_settings(
    sparsity: float,
    sharing: float,
    temperature: float,
    decay: float,
    warm_up: int,
    curriculum: int,
    policy_rate: float,
) -> None:
    checks: Iterable[tuple[str, Any, bool, str]] = (
        ("sparsity", sparsity, sparsity >= 0, "zero or more"),
        ("sharing", sharing, sharing >= 0, "zero or more"),
        ("temperature", temperature, temperature > 0, "positive"),
        ("decay", decay, 0 < decay <= 1, "in (0, 1]"),
        ("warm_up", warm_up, warm_up >= 0 and warm_up == int(warm_up), "a number of steps"),
        ("curriculum", curriculum, curriculum >= 0 and curriculum == int(curriculum), "a number of steps"),
        ("policy_rate", policy_rate, policy_rate > 0, "positive"),
    )
    for name, value, right, wanted in checks:
        if not right:
            raise SettingError(f"{name} must be {wanted}, got {value!r}.")


def _settle_after_loading(network: nn.Module, _: Any) -> None:
    assert isinstance(network, AdaShare)
    network._settle()
