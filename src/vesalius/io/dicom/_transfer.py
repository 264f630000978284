"""Transfers: what came of one, and how a failed attempt is repeated."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TypeVar, final

from vesalius.errors import ConfigError, ExtraError, NetworkError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io.dicom._peers import Tls

T = TypeVar("T")
Way = Literal["get", "move"]


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """One instance that did not get across.

    Attributes:
        name: Its SOP Instance UID, or the name of its file where that is not known.
        reason: What the other side, or a check here, said.
    """

    name: str
    reason: str


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a transfer.

    Attributes:
        done: Instances that got across now.
        known: Instances that were across before.
        bytes: Size of what got across now.
        failures: Instances that did not.
    """

    done: int = 0
    known: int = 0
    bytes: int = 0
    failures: tuple[Failure, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything is across."""
        return not self.failures


@final
@dataclass(frozen=True, slots=True)
class Retry:
    """How a transient failure is met: no connection, congestion, out of resources, HTTP 503, ...

    Attributes:
        tries: Attempts without progress before giving up.
        first_s: Wait before the second attempt, s; each further wait is twice as long.
        longest_s: No wait is longer, s.
    """

    tries: int = 5
    first_s: float = 1.0
    longest_s: float = 60.0

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 <= self.first_s <= self.longest_s:
            raise ConfigError(
                "retry must have tries >= 1 and 0 <= first_s <= longest_s, got "
                f"{self.tries}, {self.first_s:g}, {self.longest_s:g}: give such values"
            )


@final
@dataclass(frozen=True, slots=True)
class Transfer:
    """How instances are carried.

    Attributes:
        way: ``"get"`` over the same connection, or ``"move"``: the node sends them to a receiver
            that is opened here, and must know this title's address. DICOMweb has one way only.
        retry: How transient failures are met.
        budget: ``bytes`` is the most that is received in all, ``files`` the number of instances.
        receive_host: Address that the receiver of ``"move"`` listens at.
        receive_port: Its port.
        receive_tls: How it is encrypted; None does not encrypt.
    """

    way: Way = "get"
    retry: Retry = Retry()
    budget: Budget = DEFAULT
    receive_host: str = "127.0.0.1"
    receive_port: int = 11112
    receive_tls: Tls | None = None


class TransientError(NetworkError):
    """A failure that may pass.

    Attributes:
        wait_s: How long the other side asked to wait, s.
    """

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


def persist(retry: Retry, attempt: Callable[[], T], progress: Callable[[], int]) -> T:
    """Repeat an attempt after transient failures, waiting twice as long each time.

    Args:
        retry: How often and how long.
        attempt: What to do.
        progress: Counts what is across; when it grew, the count of tries starts again.

    Returns:
        What the attempt gave.

    Raises:
        NetworkError: The failure did not pass, or is none that passes.
    """
    before, left, wait = progress(), retry.tries, retry.first_s
    while True:
        try:
            return attempt()
        except TransientError as error:
            now = progress()
            if now > before:
                before, left, wait = now, retry.tries, retry.first_s
            left -= 1
            if left <= 0:
                often = "once" if retry.tries == 1 else f"{retry.tries} times"
                raise NetworkError(f"{error} (tried {often})") from error
            time.sleep(min(max(wait, error.wait_s), retry.longest_s))
            wait *= 2


def library(name: str) -> Any:
    """Import a library of the extra ``dicom``.

    Args:
        name: pynetdicom or dicomweb_client, or a module of it.

    Raises:
        ExtraError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraError(
            f"{name.partition('.')[0]} must be installed to use the network, it is not: "
            "pip install vesalius[dicom]"
        ) from error
