"""Workers that hold the rows of tasks: this process, or Dask workers. The one file that talks to a Dask client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from polytask.errors import MissingPackageError, SettingError, TrainingError
from polytask.linear.patterns import LabelPattern
from polytask.linear.solvers.task_site import Order, Report, Start, TaskSite
from polytask.linear.table import LabelledTable

#: Seconds after which a silent worker is looked for, and to wait for a scheduler.
_PATIENCE, _CONNECT = 5, 10


class SiteSettings(NamedTuple):
    """What every `TaskSite` is made with besides its rows."""

    loss: str
    fit_intercept: bool
    epochs: int
    seed: int


class Workers(ABC):
    """Sites that hold q tasks between them.

    Attributes
    ----------
    communicated : int
        Bytes of numbers sent to sites and received from them so far, the rows themselves apart.
    """

    def __init__(self, table: LabelledTable, n_sites: int) -> None:
        self.tasks = deal_tasks(table, n_sites)
        self.task_names = table.task_names
        self.communicated = 0

    def start(self, coef: np.ndarray) -> Start:
        """Begin at coefficients (q, p)."""
        return Start(*self._everywhere("start", [coef[tasks] for tasks in self.tasks]))

    def work(self, order: Order) -> Report:
        """One round."""
        orders = [Order(order.coef[tasks], order.kappa[tasks], order.lead) for tasks in self.tasks]
        return Report(*self._everywhere("work", orders))

    def _everywhere(self, method: str, arguments: Sequence[Any]) -> list[np.ndarray]:
        """Call every site, and put what they send back in the order of the tasks."""
        answers = self._call(method, arguments)
        self.communicated += sum(_bytes(sent) + _bytes(answer) for sent, answer in zip(arguments, answers))
        order = np.argsort(np.concatenate(self.tasks))
        return [np.concatenate(values)[order] for values in zip(*answers)]

    @abstractmethod
    def close(self) -> None:
        """Let the sites go."""

    @abstractmethod
    def _call(self, method: str, arguments: Sequence[Any]) -> list[Any]:
        """The answers of all sites to a method, each with its own argument."""


class InProcess(Workers):
    """All tasks in this process."""

    def __init__(self, table: LabelledTable, settings: SiteSettings) -> None:
        super().__init__(table, 1)
        self.site = TaskSite(table, np.arange(table.n_tasks), *settings)

    def _call(self, method: str, arguments: Sequence[Any]) -> list[Any]:
        return [getattr(self.site, method)(arguments[0])]

    def close(self) -> None:
        """Nothing to let go."""


class DaskWorkers(Workers):
    """Tasks dealt out to the workers of a Dask client, one site on each.

    Rows are sent once, to the worker of their task; afterwards only coefficients and products travel.

    Parameters
    ----------
    table : LabelledTable
    settings : SiteSettings
    client : dask.distributed.Client
    owned : bool
        Whether to close the client in the end.
    """

    def __init__(
        self, table: LabelledTable, settings: SiteSettings, client: Any, owned: bool = False
    ) -> None:
        addresses = sorted(client.nthreads())
        if not addresses:
            raise SettingError("client has no workers: start some, or wait with client.wait_for_workers(1).")
        super().__init__(table, min(len(addresses), table.n_tasks))
        self.client, self.owned, self.addresses = client, owned, addresses[: len(self.tasks)]
        self.sites = []
        for address, tasks in zip(self.addresses, self.tasks):
            rows = client.scatter(part_of(table, tasks), workers=[address], hash=False)
            self.sites.append(self._submit(address, TaskSite, rows, tasks, *settings))

    def close(self) -> None:
        """Forget the sites; Dask then drops them and their rows."""
        self.sites = []
        if self.owned:
            self.client.close()

    def _call(self, method: str, arguments: Sequence[Any]) -> list[Any]:
        answers = [
            self._submit(address, _call_site, site, method, sent)
            for address, site, sent in zip(self.addresses, self.sites, arguments)
        ]
        return [self._result(site, answer) for site, answer in enumerate(answers)]

    def _submit(self, address: str, function: Any, *arguments: Any) -> Any:
        # Sites change when they work, so nothing may be computed elsewhere, or be taken for computed before.
        return self.client.submit(
            function, *arguments, workers=[address], allow_other_workers=False, pure=False
        )

    def _result(self, site: int, answer: Any) -> Any:
        """What a site answers; an error that names its tasks if its worker is gone."""
        while True:
            try:
                return answer.result(timeout=_PATIENCE)
            except TimeoutError:
                # Dask itself would wait for ever for a worker of this address to come back.
                self._refuse_lost(site, None)
            except Exception as error:
                self._refuse_lost(site, error)
                raise

    def _refuse_lost(self, site: int, error: Exception | None) -> None:
        if self.addresses[site] in self.client.nthreads():
            return
        names = ", ".join(f"'{self.task_names[task]}'" for task in self.tasks[site][:5])
        more = len(self.tasks[site]) - 5
        raise TrainingError(
            f"The Dask worker {self.addresses[site]} was lost with the rows of {names}"
            f"{f' and {more} more tasks' if more > 0 else ''}; fit again on the workers that are left."
        ) from error


def _call_site(site: TaskSite, method: str, argument: Any) -> Any:
    return getattr(site, method)(argument)


def workers_for(table: LabelledTable, settings: SiteSettings, client: Any) -> Workers:
    """This process for None; else the workers of a Dask client or of the scheduler at an address."""
    if client is None:
        return InProcess(table, settings)
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingPackageError('client= needs Dask: pip install "polytask[dask]"') from error
    if isinstance(client, str):
        return DaskWorkers(table, settings, _client_of(client, Client), owned=True)
    if not isinstance(client, Client) or client.asynchronous:
        raise SettingError(
            "client must be None, a dask.distributed.Client that is not asynchronous, or the address of a "
            f"scheduler; got {client!r}."
        )
    return DaskWorkers(table, settings, client)


def _client_of(address: str, Client: Any) -> Any:
    try:
        return Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SettingError(f"client={address!r}: no Dask scheduler answers there ({error}).") from error


def deal_tasks(table: LabelledTable, n_sites: int) -> list[np.ndarray]:
    """Positions of the tasks of each site: the largest first, each to the site with the fewest rows so far."""
    sizes = np.zeros(table.n_tasks, dtype=np.int64)
    for labels in table.patterns:
        sizes[labels.tasks] = len(labels.rows)
    load = np.zeros(n_sites)
    dealt: list[list[int]] = [[] for _ in range(n_sites)]
    for task in np.argsort(-sizes, kind="stable"):
        site = int(np.argmin(load))
        dealt[site].append(int(task))
        # A task without rows counts too, so that no site stays empty.
        load[site] += sizes[task] + 1
    return [np.array(sorted(tasks)) for tasks in dealt]


def part_of(table: LabelledTable, tasks: np.ndarray) -> LabelledTable:
    """Some tasks (k,) and the rows they need."""
    chosen = []
    for labels in table.patterns:
        held = np.isin(labels.tasks, tasks)
        if held.any():
            chosen.append((labels, held))
    rows = np.unique(np.concatenate([labels.rows for labels, _ in chosen]))
    patterns = tuple(
        LabelPattern(
            np.searchsorted(rows, labels.rows), labels.weights,
            np.searchsorted(tasks, labels.tasks[held]), labels.targets[:, held],
        )
        for labels, held in chosen
    )  # fmt: skip
    names = tuple(table.task_names[task] for task in tasks)
    return LabelledTable(table.X[rows], patterns, names, table.own_rows)


def _bytes(message: Any) -> int:
    if isinstance(message, np.ndarray):
        return message.nbytes
    return sum(np.asarray(part).nbytes for part in message)
