"""Cross-stitch networks: a network per task, whose layers take linear combinations of all tasks' activations.

Misra, I., Shrivastava, A., Gupta, A., Hebert, M. (2016). Cross-stitch networks for multi-task learning. CVPR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.blocks import Encoder, find_blocks
from polytask.sharing.cards import Card
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import Matrix, Part
from polytask.sharing.stitching import (
    Rows,
    check_start,
    initial_stitch,
    mix,
    run,
    tower_blocks,
    tower_parts,
    typed,
)


class CrossStitch(Architecture):
    """``x̃_s = Σ_t α_st x_t`` after each block of T networks, one per task; block l + 1 of task s takes x̃_s.

    This is formula (1) of the paper for any number of tasks. (Its formula (3) has the indices of α turned
    round: with (1), ``∂L/∂α_AB = ⟨∂L/∂x̃_A, x_B⟩``.) α is not constrained. All networks are used by all tasks;
    what follows the last stitch belongs to one task, and so does the row of α that feeds it.

    With a single task there is nothing to stitch, and it is a plain network.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module or sequence of Module
        Network of the first task up to its head; the other tasks get copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output, to be checked.
    per : {"layer", "channel"}
        "layer": one (T, T) matrix α after each block. "channel": one for each channel or feature, (T, T, C),
        which the paper's experiments use.
    own : float
        α_tt at first, in [0, 1]; the other tasks share ``1 − own`` equally, so that rows sum to one (the
        paper's 0.9 and 0.1 for two tasks).
    rate : float
        Factor on the learning rate of α. For plain gradient steps the paper finds 100 to 1000 best, since α is
        larger than weights while its gradients are not. Steps of AdamW do not depend on the size of gradients:
        of 1, 3, 10 and 100, 1 had the smallest test error on synthetic pairs of tasks.
    last : bool
        Whether the output of the last block is stitched as well, as in the paper (after fc7, before the
        outputs). If not, the last block is the task's own, and computed for the tasks asked for alone.
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
        For settings out of range, blocks that cannot be found, or `last=False` where there is one block only.
    """

    name = "cross_stitch"
    card = Card(
        "Misra, Shrivastava, Gupta & Hebert 2016, Cross-stitch networks for multi-task learning, CVPR",
        "x̃_s = Σ_t α_st x_t after each block",
        "activations, by learned α",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        per: str = "layer",
        own: float = 0.9,
        rate: float = 1.0,
        last: bool = True,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        if per not in ("layer", "channel"):
            raise SettingError(f"per must be 'layer' or 'channel', got {per!r}.")
        check_start(own, rate)
        found = find_blocks(encoder, names=blocks, example=example, width=width)
        super().__init__(heads, found.widths[-1], task_hidden, dropout, found.shapes[0])
        n_tasks = len(self.tasks)
        self.n_stitched = 0 if n_tasks == 1 else len(found) - (not last)
        if n_tasks > 1 and not self.n_stitched:
            raise SettingError(
                "last=False leaves nothing to stitch: the encoder has one block. Use last=True, or an encoder "
                "of more blocks."
            )
        self.rate = rate
        self.channels = found.channels[1:]
        self.blocks = tower_blocks(found.modules, n_tasks, self.n_stitched)
        start = initial_stitch(n_tasks, own)
        like = next(self.parameters())
        alphas = [
            start.to(like) if per == "layer" else start.to(like).unsqueeze(-1).repeat(1, 1, width)
            for width in found.widths[1 : self.n_stitched + 1]
        ]
        self.alphas = nn.ParameterList(alphas[:-1])
        self.last_alpha = Parallel([Rows(row) for row in alphas[-1]]) if alphas else None

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        chosen = None if list(tasks) == list(range(len(self.tasks))) else tasks
        h = x
        for i, block in enumerate(typed(self.blocks)):
            stitched = i < self.n_stitched
            h = run(block, h, None if stitched else chosen, first=i == 0)
            if i == self.n_stitched - 1:
                h = self.remember(h.transpose(0, 1)).transpose(0, 1)
            if stitched:
                h = mix(self._alpha(i, chosen), h, self.channels[i])
        return h

    def _alpha(self, i: int, chosen: Sequence[int] | None = None) -> Tensor:
        """α after a block; of the last one, only the rows of the tasks that are asked for."""
        if self.last_alpha is not None and i == self.n_stitched - 1:
            return self.last_alpha.stacked(chosen)["alpha"]
        return self.alphas[i]

    def learning_rates(self) -> list[tuple[nn.Parameter, float]]:
        """All α, with the factor `rate`."""
        last = () if self.last_alpha is None else self.last_alpha.parameters()
        return [(alpha, self.rate) for alpha in (*self.alphas, *last)]

    def stitches(self) -> list[Matrix]:
        """α after each block: what the row's task takes from the column's.

        One matrix per block; where there is one α per channel it is their mean, and a second matrix holds their
        standard deviation.
        """
        out = []
        for i in range(self.n_stitched):
            values, name = self._alpha(i).detach().cpu().double().numpy(), f"stitch {i + 1}"
            if values.ndim == 2:
                out.append(Matrix(name, self.tasks, self.tasks, values))
                continue
            for what, table in (("mean", values.mean(2)), ("standard deviation", values.std(2))):
                out.append(Matrix(f"{name}, {what} over channels", self.tasks, self.tasks, table))
        return out

    def parts(self) -> list[Part]:
        out, takes = tower_parts(self.tasks, self.blocks, self.alphas, self.last_alpha)
        return out + self.head_parts(takes)
