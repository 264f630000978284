"""Dask: cases measured by the workers of a scheduler, on one machine or a cluster.

Orders and results travel as lines of text; the numbers themselves are written by the workers into
the journal, so the folder of the cohort and the images must be on a file system that all share.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import queue
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, final

from vesalius._version import __version__
from vesalius.errors import ConfigError, ExtraError, NetworkError
from vesalius.study.cohort._code import measuring_code
from vesalius.study.cohort._execute import execute
from vesalius.study.cohort._kernel_cache import write_in_turn
from vesalius.study.cohort._runner import CaseOrder, CaseResult, Runner, order_of, result_of

_AHEAD = 2
"""Orders that wait at each worker, so that none is idle."""

_GRACE_S = 1.0
"""Time for Dask to give up by itself."""

_DECIDE = ("numpy", "scipy", "numba", "torch")
"""Libraries whose other version may give other last digits."""

_ONE = threading.Lock()
"""One case at a time in a process: threads would share its memory and its kernels."""


@final
@dataclass(frozen=True, slots=True)
class DaskRunner(Runner):
    """Measures on the workers of a Dask scheduler, each case by one thread of one worker.

    A worker that is lost is survived: its case is begun again on another one, as often as the
    scheduler allows (``distributed.scheduler.allowed-failures``), and then told as lost. What a
    worker has begun cannot be called back: when a run is stopped, that one case is measured to its
    end and found in the journal by the next run.

    Attributes:
        address: Of the scheduler, such as ``tcp://10.0.0.1:8786``.
        connect_s: Longest wait for the scheduler, seconds.
        workers_s: Longest wait for the first worker, seconds.

    Raises:
        ConfigError: A time is not positive.
    """

    address: str
    connect_s: float = 5.0
    workers_s: float = 60.0

    def __post_init__(self) -> None:
        if not (self.connect_s > 0 and self.workers_s > 0):
            raise ConfigError(
                f"times to wait must be positive, got {self.connect_s} and {self.workers_s} s"
            )

    def run(self, orders: Iterable[CaseOrder]) -> Iterator[CaseResult]:
        """Measure cases; see ``Runner.run``.

        Raises:
            NetworkError: The scheduler cannot be reached, has no workers, or is lost.
            ConfigError: A worker has another version or code, or does not see the folder.
            ExtraError: Dask is not installed.
        """
        distributed = _distributed()
        source = iter(orders)
        first = next(source, None)
        if first is None:
            return
        client = self._connected(distributed)
        try:
            self._wait_for_workers(client)
            _check_workers(client, Path(first.journal))
            yield from _Crowd(distributed, client, chain((first,), source)).results()
        finally:
            with suppress(Exception):  # a scheduler that is gone has nothing left to call back
                client.close(timeout=self.connect_s)

    def _connected(self, distributed: Any) -> Any:
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def connect() -> None:
            try:
                client = distributed.Client(
                    self.address, timeout=self.connect_s, set_as_default=False, name="vesalius"
                )
                found.put(client)
            except Exception as error:  # it is told below, by whoever waits
                found.put(error)

        # Dask waits without end for the first word of whatever else listens at the address
        threading.Thread(target=connect, daemon=True).start()
        client: Any = TimeoutError()
        with suppress(queue.Empty):
            client = found.get(timeout=self.connect_s + _GRACE_S)
        if isinstance(client, Exception):
            raise NetworkError(
                f"a Dask scheduler must answer at {self.address!r}, none did within "
                f"{self.connect_s:g} s ({type(client).__name__}): start one with 'dask scheduler' "
                "and give its address as --scheduler tcp://HOST:PORT"
            )
        return client

    def _wait_for_workers(self, client: Any) -> None:
        try:
            client.wait_for_workers(1, timeout=self.workers_s)
        except TimeoutError:
            raise NetworkError(
                f"a scheduler must have workers, {self.address!r} has had none for "
                f"{self.workers_s:g} s: start them with 'dask worker {self.address} --nthreads 1'"
            ) from None


class _Crowd:
    """The cases that are under way on a scheduler."""

    def __init__(self, distributed: Any, client: Any, orders: Iterator[CaseOrder]) -> None:
        self._distributed = distributed
        self._client = client
        self._orders = orders
        self._cases: dict[str, tuple[CaseOrder, Any]] = {}
        self._run = uuid.uuid4().hex[:8]

    def results(self) -> Iterator[CaseResult]:
        """Send orders while there is room, and give what comes back."""
        ended = self._distributed.as_completed([], loop=self._client.loop)
        try:
            self._send(ended)
            for future in ended:
                order, _ = self._cases.pop(future.key)
                result = _result(future, order)
                future.release()
                self._send(ended)
                yield result
        finally:
            with suppress(Exception):  # a scheduler that is gone measures nothing any more
                self._client.cancel([future for _, future in self._cases.values()], force=True)

    def _send(self, ended: Any) -> None:
        room = _AHEAD * max(1, len(_workers(self._client)))
        while len(self._cases) < room:
            order = next(self._orders, None)
            if order is None:
                return
            # a name of its own: another run must not be given what this one measures
            key = f"vesalius-{order.key}-{self._run}"
            text = order.to_text()
            future = self._client.submit(measure_line, text, key=key, retries=0, pure=False)
            self._cases[key] = order, future
            ended.add(future)


def measure_line(text: str) -> str:
    """Measure a case on a worker.

    Args:
        text: An order, as ``CaseOrder.to_text`` gives it.

    Returns:
        The result as text.
    """
    import torch

    with _ONE:
        write_in_turn()
        torch.set_num_threads(1)
        return execute(order_of(text)).to_text()


def describe_worker(folder: str, token: str) -> str:
    """Say on a worker what measures there, and whether it sees a folder.

    Args:
        folder: The journal of the run.
        token: Name of a file that was just written there.

    Returns:
        JSON: versions, code, and what is wrong with the folder.
    """
    from importlib.metadata import version

    seen = "" if Path(folder, token).is_file() else "does not see it"
    if not seen and not os.access(folder, os.W_OK):
        seen = "cannot write into it"
    versions = {name: version(name) for name in _DECIDE}
    told = {"vesalius": __version__, "code": measuring_code(), **versions}
    return json.dumps({"versions": told, "folder": seen})


def _check_workers(client: Any, journal: Path) -> None:
    """Refuse workers that would measure something else, or where nobody finds it."""
    token = f".seen-{uuid.uuid4().hex}"
    (journal / token).touch()
    try:
        ours = json.loads(describe_worker(str(journal), token))
        told = client.run(describe_worker, str(journal), token, on_error="return")
    finally:
        (journal / token).unlink(missing_ok=True)
    threads = _workers(client)
    for address, text in sorted(told.items()):
        if not isinstance(text, str):
            raise ConfigError(
                f"every worker must have vesalius, {address} cannot run it "
                f"({type(text).__name__}: {text}): install it there"
            )
        found = json.loads(text)
        _check_versions(address, found["versions"], ours["versions"])
        if found["folder"]:
            raise ConfigError(
                f"every worker must share the file system of the run, {address} "
                f"{found['folder']} (the folder {journal.parent.name!r}): choose an output folder "
                "on a shared disk, with images there, too"
            )
        if threads.get(address, 1) > 1:
            raise ConfigError(
                f"a worker must have one thread, {address} has {threads[address]}: start it with "
                "--nthreads 1, and more workers instead"
            )


def _check_versions(address: str, theirs: dict[str, str], ours: dict[str, str]) -> None:
    for name, version in ours.items():
        if theirs.get(name) != version:
            what = "the code of vesalius" if name == "code" else name
            raise ConfigError(
                f"every worker must measure with one version, {address} has {what} "
                f"{theirs.get(name)} and this machine {version}: install the same everywhere"
            )


def _result(future: Any, order: CaseOrder) -> CaseResult:
    """Read what became of a case."""
    if future.status == "finished":
        return result_of(future.result())
    if future.status != "error":
        raise NetworkError(
            "the scheduler must stay up while cases are measured, it was lost or gave up "
            f"{order.case!r}: start it and run again, measured cases are kept"
        )
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        tries = int(getattr(error, "allowed_failures", 0)) + 1
        last = getattr(getattr(error, "last_worker", None), "address", "unknown")
        cause = "its worker was lost each time it was measured; so it is where memory runs out"
        detail = f"{tries} workers, the last was {last}"
        return CaseResult(order.case, "died", cause, detail, attempts=tries)
    return CaseResult(order.case, "failed", f"fault of the worker, {type(error).__name__}: {error}")


def _workers(client: Any) -> dict[str, int]:
    """Give the threads of each worker, by address."""
    with suppress(Exception):  # asked again with the next case
        return {str(name): int(count) for name, count in client.nthreads().items()}
    return {}


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ExtraError(
            "Dask must be installed to measure on a cluster, it is not: "
            "pip install 'vesalius[cluster]'"
        ) from error
