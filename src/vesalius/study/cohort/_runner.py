"""Runner: where cases are measured; orders go in, what became of each comes out."""
# SPDX-License-Identifier: Apache-2.0

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, final

from vesalius.study._load import OnMismatch

Ended = Literal["done", "failed", "died"]
"""Measured (some regions may have failed); refused by a typed error; its process died."""


@final
@dataclass(frozen=True, slots=True)
class CaseOrder:
    """One case to be measured: everything that a process needs, plain enough to be sent as JSON.

    Attributes:
        case: Identifier of the case.
        key: Hash of everything that decides the result; the name of its entry in the journal.
        image: Path of the image.
        labels: Path of the labels.
        journal: Folder of the journal; it exists, and whoever measures can write there.
        config: The configuration as JSON.
        code: Hash of the library's code; another code refuses the order.
        stamp: What the file system says of both files; measured only if it still says so.
        regions: Labels to measure; empty takes all.
        roi: Regular expression of the names of regions; empty takes all.
        unit: Unit of the image; empty takes the file's.
        uncertainty: Whether every number gets an error bar.
        on_mismatch: What is done with labels on another grid.
    """

    case: str
    key: str
    image: str
    labels: str
    journal: str
    config: str
    code: str
    stamp: str = ""
    regions: tuple[int, ...] = ()
    roi: str = ""
    unit: str = ""
    uncertainty: bool = False
    on_mismatch: OnMismatch = "error"

    def to_text(self) -> str:
        """Give the order as one line of JSON."""
        return json.dumps(asdict(self))


@final
@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of a case; the numbers themselves are in the journal.

    Attributes:
        case: Identifier of the case.
        ended: How it ended.
        cause: Why it was not measured, in words that are the same in every run; empty when done.
        detail: What else is known of a failure: memory, seconds, exit code.
        attempts: How often it was begun.
        seconds: Time of the last attempt.
        cpu_seconds: Processor time of the last attempt; 0 where unknown.
        peak_bytes: Most memory of its process during it; 0 where unknown.
        voxels: Of the image; 0 where it was not read.
    """

    case: str
    ended: Ended
    cause: str = ""
    detail: str = ""
    attempts: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    voxels: int = 0

    def to_text(self) -> str:
        """Give the result as one line of JSON."""
        return json.dumps(asdict(self))


class Runner(ABC):
    """Measures cases somewhere: in processes of this machine, on a cluster."""

    @abstractmethod
    def run(self, orders: Iterable[CaseOrder]) -> Iterator[CaseResult]:
        """Measure cases.

        Args:
            orders: Taken one by one as there is room, never all at once: making an order reads the
                files of its case. Their ``case`` and ``key`` all differ.

        Yields:
            One result for each order, in the order in which they end. When the iterator is closed,
            cases that have not ended are given up and nothing of theirs keeps running.
        """


def order_of(text: str) -> CaseOrder:
    """Read an order from its line.

    Args:
        text: As ``CaseOrder.to_text`` gives it.
    """
    given = json.loads(text)
    return CaseOrder(**{**given, "regions": tuple(given["regions"])})


def result_of(text: str) -> CaseResult:
    """Read a result from its line.

    Args:
        text: As ``CaseResult.to_text`` gives it.
    """
    return CaseResult(**json.loads(text))
