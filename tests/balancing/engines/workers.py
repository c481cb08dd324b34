"""What each rank of a distributed test runs. Apart from the tests, so that processes import little."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from polytask.balancing import get_balancer, global_losses

TASKS = ("a", "b", "c")
STEPS, BATCH = 10, 12


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 6), nn.Tanh())
        self.heads = nn.ModuleDict({t: nn.Linear(6, 1) for t in TASKS})

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        h = self.encoder(x)
        return h, {t: head(h) for t, head in self.heads.items()}


def batches() -> tuple[Tensor, Tensor]:
    """Uneven labels: "b" is absent from the first rows, "c" from most rows, and from a whole batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(STEPS, BATCH, 5, generator=generator, dtype=torch.float64)
    y = 1.0 + 0.3 * torch.randn(STEPS, BATCH, 3, generator=generator, dtype=torch.float64)
    y[:, :5, 1] = torch.nan
    y[:, 4:, 2] = torch.nan
    y[3, :, 2] = torch.nan
    y[5, BATCH // 2 :] = torch.nan  # with the rows dealt out in blocks, some ranks have no label at all
    return x, y


def losses_of(out: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
    sums, counts = {}, {}
    for k, t in enumerate(TASKS):
        rows = ~y[:, k].isnan()
        if rows.any():
            # Two of them are far from their labels all the time: no loss goes to zero, where logarithms end.
            sums[t] = (out[t][rows, 0] - y[rows, k] - k).square().sum() + 0.1 * rows.sum()
            counts[t] = float(rows.sum())
    return global_losses(sums, counts, TASKS)


def train(rank: int, world: int, kinds: list[str], names: list[str], port: int, results: Any) -> None:
    """Train one network per kind and balancer; puts (rank, {(kind, name): weights})."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        found = {(kind, name): train_one(rank, world, kind, name) for kind in kinds for name in names}
    except Exception as error:
        results.put((rank, f"{type(error).__name__}: {error}"))
        raise
    results.put((rank, found))
    dist.barrier()
    dist.destroy_process_group()


def train_one(rank: int, world: int, kind: str, name: str) -> list[float]:
    torch.manual_seed(0)
    net = Net().double()
    model: nn.Module = net
    if kind == "ddp":
        model = nn.parallel.DistributedDataParallel(net)
    elif kind == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (world,))
        for module in (net.encoder[0], net.encoder[3], net):
            fully_shard(module, mesh=mesh)
    where, settings = name.split("@")[-1] if "@" in name else "", {}
    if where == "features":
        settings["gradients"] = "features"
    if name == "fixed":
        settings["weights"] = {"a": 1.0, "b": 2.0, "c": 0.5}
    balancer = get_balancer(name.split("@")[0], **settings)
    if kind != "alone":
        balancer.distribute(net, TASKS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = batches()
    rows = torch.arange(BATCH).tensor_split(world)[rank]
    for step in range(STEPS):
        optimizer.zero_grad()
        h, out = model(x[step][rows])
        balancer.backward(losses_of(out, y[step][rows]), shared=net.encoder, features=h)
        optimizer.step()
        if balancer.needs == "losses_after_step":
            with torch.no_grad():
                _, out = model(x[step][rows])
                balancer.after_step(losses_of(out, y[step][rows]))
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return torch.cat([p.detach().flatten() for p in whole]).tolist()
