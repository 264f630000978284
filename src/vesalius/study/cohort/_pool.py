"""Pool: cases measured by watched processes of this machine; one that dies costs its case alone."""
# SPDX-License-Identifier: Apache-2.0

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, final

from vesalius.errors import ConfigError
from vesalius.study.cohort._execute import peak_of
from vesalius.study.cohort._runner import CaseOrder, CaseResult, Runner, result_of
from vesalius.study.cohort._worker import READY

_TRIES = 2
"""A case whose process died is begun once more."""

_LOOK_S = 0.1
"""Seconds between two looks at memory and time of the workers."""

_LAST_BYTES = 2000

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def usable_cores() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@final
@dataclass(frozen=True, slots=True)
class PoolRunner(Runner):
    """Measures in processes of this machine, each with one thread.

    A process measures many cases, since loading the library takes seconds. When it dies, by a
    signal or by itself, another takes its place, and its case is begun once more at the end.

    Attributes:
        workers: Number of processes.
        timeout_s: Longest time for a case, seconds; 0 sets none. A case that takes longer is
            ended and not begun again.
        python: The interpreter.

    Raises:
        ConfigError: Fewer than one worker, or a negative time.
    """

    workers: int = 1
    timeout_s: float = 0.0
    python: str = sys.executable

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(
                f"workers must be at least 1, got {self.workers}: leave --workers out"
            )
        if not self.timeout_s >= 0:
            raise ConfigError(f"the time for a case must not be negative, got {self.timeout_s} s")

    def run(self, orders: Iterable[CaseOrder]) -> Iterator[CaseResult]:
        """Measure cases; see ``Runner.run``.

        Raises:
            RuntimeError: A worker cannot be started.
        """
        crew = _Crew(self, iter(orders))
        try:
            yield from crew.results()
        finally:
            crew.end()


@dataclass(slots=True, eq=False)
class _Hand:
    """A process at work, and what is known of its case."""

    process: "subprocess.Popen[str]"
    words: "IO[bytes]"
    """What the process writes beside its results: the last line is told when it dies."""
    busy: bool = False
    deadline: float = 0.0
    peak_bytes: int = 0
    overran: bool = False


class _Crew:
    """The threads that each lead one process, and the one that watches these."""

    def __init__(self, settings: PoolRunner, orders: Iterator[CaseOrder]) -> None:
        self._settings = settings
        self._orders = orders
        self._taking = threading.Lock()
        self._told: queue.SimpleQueue[CaseResult | BaseException | None] = queue.SimpleQueue()
        self._hands: dict[int, _Hand] = {}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._lead, args=(place,), daemon=True)
            for place in range(settings.workers)
        ]

    def results(self) -> Iterator[CaseResult]:
        """Start, and give what comes."""
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._watch, daemon=True).start()
        left = len(self._threads)
        while left:
            found = self._told.get()
            if found is None:
                left -= 1
            elif isinstance(found, BaseException):
                raise found
            else:
                yield found

    def end(self) -> None:
        """Kill what still runs."""
        self._over.set()
        for hand in list(self._hands.values()):
            hand.process.kill()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5)

    def _lead(self, place: int) -> None:
        """Lead one process through the orders, and then through those that it died of."""
        again: deque[tuple[CaseOrder, int]] = deque()
        try:
            while not self._over.is_set():
                order, attempt = self._next(), 1
                if order is None:
                    if not again:
                        break
                    order, attempt = again.popleft()
                result = replace(self._measure(place, order), attempts=attempt)
                timely = not result.cause.startswith("took longer")
                if result.ended == "died" and attempt < _TRIES and timely:
                    again.append((order, attempt + 1))
                elif not self._over.is_set():
                    self._told.put(result)
        except BaseException as error:  # it must reach whoever waits, or that waits for ever
            self._told.put(error)
        finally:
            hand = self._hands.pop(place, None)
            if hand is not None:
                _let_go(hand)
            self._told.put(None)

    def _next(self) -> CaseOrder | None:
        with self._taking:
            return next(self._orders, None)

    def _measure(self, place: int, order: CaseOrder) -> CaseResult:
        hand = self._hands.get(place) or self._start(place)
        limit = self._settings.timeout_s
        hand.peak_bytes = 0
        hand.deadline = time.monotonic() + limit if limit else 0.0
        hand.busy = True
        begun = time.monotonic()
        # the offset is shared with the process: it goes on writing from the beginning
        os.ftruncate(hand.words.fileno(), 0)
        os.lseek(hand.words.fileno(), 0, os.SEEK_SET)
        line = _ask(hand, order.to_text())
        hand.deadline, hand.busy = 0.0, False
        if line.endswith("\n"):
            return result_of(line)
        self._hands.pop(place)
        return _autopsy(hand, order, seconds=time.monotonic() - begun, limit=limit)

    def _start(self, place: int) -> _Hand:
        one = dict.fromkeys(_ONE_THREAD, "1")
        for _ in range(_TRIES):
            words = tempfile.TemporaryFile()  # noqa: SIM115 - the process keeps it open
            process = subprocess.Popen(
                # -P: a numbers.py in the current folder must not be imported
                [self._settings.python, "-P", "-m", "vesalius.study.cohort._worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=os.environ | one,
                encoding="utf-8",
                start_new_session=True,
            )
            hand = self._hands[place] = _Hand(process, words)
            if self._over.is_set():  # end() may have passed before this process was known
                process.kill()
            if process.stdout is not None and process.stdout.readline() == READY + "\n":
                return hand
            ending = _ending(process.wait())
            said = _last_words(hand)
            del self._hands[place]
            _let_go(hand)
        raise RuntimeError(f"a worker must start to measure, it ended {ending}{said}")

    def _watch(self) -> None:
        """Look at memory and time of each worker, for when it dies."""
        while not self._over.wait(_LOOK_S):
            for hand in list(self._hands.values()):
                if hand.busy:
                    hand.peak_bytes = max(hand.peak_bytes, peak_of(hand.process.pid))
                if 0 < hand.deadline < time.monotonic():
                    hand.overran = True
                    hand.process.kill()


def _ask(hand: _Hand, text: str) -> str:
    """Send an order and wait for the result; less than a line where the process died."""
    process = hand.process
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):  # it died since the last case: the answer says so
        process.stdin.write(text + "\n")
        process.stdin.flush()
    return process.stdout.readline()


def _autopsy(hand: _Hand, order: CaseOrder, *, seconds: float, limit: float) -> CaseResult:
    """Say what a worker died of."""
    hand.process.kill()
    code = hand.process.wait()
    said = _last_words(hand)
    _let_go(hand)
    cause = f"its process was ended {_ending(code)}, each time it was measured"
    if hand.overran:
        cause = f"took longer than the {limit:g} s that a case may take"
    elif code == -signal.SIGKILL:
        cause += "; the system does so where memory runs out"
    memory = f"{hand.peak_bytes / 2**20:.0f} MB" if hand.peak_bytes else "an unknown amount"
    detail = f"after {seconds:.1f} s with {memory} of memory{said}"
    return CaseResult(
        order.case, "died", cause, detail, seconds=seconds, peak_bytes=hand.peak_bytes
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"by itself with exit code {code}"
    try:
        return f"by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _last_words(hand: _Hand) -> str:
    """Give the last line that a dead process wrote, if any."""
    size = hand.words.seek(0, os.SEEK_END)
    hand.words.seek(max(0, size - _LAST_BYTES))
    lines = hand.words.read().decode(errors="replace").split("\n")
    told = [line.strip() for line in lines if line.strip()]
    return f"; its last words: {told[-1]}" if told else ""


def _let_go(hand: _Hand) -> None:
    """Close the pipes of a process, which ends it, and wait for that."""
    for pipe in (hand.process.stdin, hand.process.stdout, hand.words):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    hand.process.wait()
