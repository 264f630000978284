"""Flower: carry the messages of a federated training between processes and machines."""
# SPDX-License-Identifier: Apache-2.0

import logging
import math
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, final

from vesalius.errors import ConfigError, ExtraError, NetworkError, VesaliusError
from vesalius.predict._federated_client import Client
from vesalius.predict._federated_message import Message, pack, unpack
from vesalius.predict._federated_round import Channel

Found = TypeVar("Found")
_TYPE = "vesalius"
_HERE = ("127.0.0.1", "localhost", "[::1]")


@final
@dataclass(frozen=True, slots=True)
class Link:
    """Where the server is, and how the way to it is protected.

    Attributes:
        address: ``host:port`` of the server.
        timeout_s: Longest wait for clients to come, and for each answer.
        authority: File of the certificate authority (PEM); empty for no encryption, which is for
            this machine alone.
        certificate: File of the server's certificate; for the server.
        key: File of the server's private key; for the server.

    Raises:
        ConfigError: The address is none, or leaves this machine without encryption.
    """

    address: str = "127.0.0.1:9092"
    timeout_s: float = 600.0
    authority: str = ""
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        if (
            not host
            or not port.isdecimal()
            or not 0 < int(port) < 65536
            or not (0 < self.timeout_s < math.inf)
        ):
            raise ConfigError(
                "a link must have an address host:port and a positive timeout, got "
                f"{self.address!r} and {self.timeout_s}: such as 127.0.0.1:9092"
            )
        if host not in _HERE and not self.authority:
            raise ConfigError(
                f"a link that leaves this machine must be encrypted, got {self.address!r} without "
                "a certificate authority: give authority=, and certificate= and key= to the server"
            )


def serve(task: Callable[[Channel], Found], *, clients: int, link: Link) -> Found:
    """Work over Flower: wait for hospitals to come, do the task with them, and send them home.

    The messages are those of the task, packed as ``pack`` does; Flower carries bytes, which it
    neither reads nor unpickles. Its telemetry is off, and no code is sent to clients: each runs
    its own installed vesalius, and its own rules.

    Args:
        task: What is done with what reaches them: ``lambda ask: train(ask, plan)``.
        clients: How many hospitals are waited for.
        link: Where they come to.

    Returns:
        What the task gives; the same, bit for bit, as in one process.

    Raises:
        ExtraError: Flower is absent.
        ConfigError: There is to be no client, or a certificate is missing.
        NetworkError: Too few clients came, one refuses, or one no longer answers.
    """
    if clients < 1:
        raise ConfigError(f"a training must have clients, got {clients}: wait for 2 or more")
    keys = _certificates(link)
    _load()
    from flwr.server import History, Server, ServerConfig, SimpleClientManager, start_server

    done: list[Found] = []
    failed: list[Exception] = []

    class Training(Server):  # type: ignore[misc]
        """Flower's server, whose training is ours."""

        def fit(self, num_rounds: int, timeout: float | None) -> tuple[Any, float]:
            """Train; a failure is kept, so that clients are sent home first."""
            try:
                done.append(task(_channel(self.client_manager(), clients, link.timeout_s)))
            except Exception as error:  # whatever it is: clients would wait for ever
                failed.append(error)
            return History(), 0.0

        def disconnect_all_clients(self, timeout: float | None) -> None:
            """Send clients home; one that is gone already is no reason to wait."""
            _within(5.0, lambda: super(Training, self).disconnect_all_clients(timeout))

    start_server(
        server_address=link.address,
        server=Training(client_manager=SimpleClientManager()),
        config=ServerConfig(num_rounds=1),
        certificates=keys,
    )
    if failed:
        raise failed[0]
    return done[0]


def join(
    client: Client, *, link: Link, on_message: Callable[[str, Message], None] | None = None
) -> int:
    """Take part in a training over Flower until the server sends us home.

    Args:
        client: This hospital.
        link: Where the server is.
        on_message: Told of every answer before it is sent: what leaves the hospital.

    Returns:
        How many messages were answered.

    Raises:
        ExtraError: Flower is absent.
        NetworkError: The server is not there, or the way to it broke.
    """
    _load()
    from flwr.client import Client as FlowerClient
    from flwr.client import start_client
    from flwr.common import Code, FitIns, FitRes, Parameters, Status

    answered = 0

    class Hospital(FlowerClient):  # type: ignore[misc]
        """Flower's client, which hands every message to ours."""

        def fit(self, ins: FitIns) -> FitRes:
            """Answer one message; how many cases there are is not told to Flower."""
            nonlocal answered
            answer = client.answer(unpack(ins.parameters.tensors[0]))
            if on_message is not None:
                on_message(client.name, answer)
            answered += 1
            return FitRes(Status(Code.OK, ""), Parameters([pack(answer)], _TYPE), 0, {})

    root = _read(link.authority) if link.authority else None
    _wait_for_server(link)
    try:
        start_client(
            server_address=link.address,
            client=Hospital(),
            root_certificates=root,
            insecure=root is None,
        )
    except Exception as error:
        # whatever transport Flower uses has errors of its own; what fails in them is the network
        if isinstance(error, VesaliusError):
            raise
        raise NetworkError(
            f"the server at {link.address} must be reached, {type(error).__name__} came after "
            f"{answered} messages: see that it runs, and that both sides agree on encryption"
        ) from error
    return answered


def _wait_for_server(link: Link) -> None:
    """Wait until something listens: hospitals may be started before the server is."""
    host, _, port = link.address.rpartition(":")
    until = time.monotonic() + link.timeout_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise NetworkError(
                    f"a server must listen at {link.address}, none did in {link.timeout_s:g} s "
                    f"({type(error).__name__}): start it, or look for the address"
                ) from error
        time.sleep(0.2)


def _channel(manager: Any, clients: int, timeout_s: float) -> Channel:
    from flwr.common import FitIns, Parameters

    if not manager.wait_for(clients, timeout=max(1, int(timeout_s))):
        raise NetworkError(
            f"{clients} clients must come, {manager.num_available()} came in {timeout_s:g} s: "
            "start them, or wait longer"
        )
    proxies = list(manager.all().values())[:clients]

    def ask(message: Message) -> tuple[Message, ...]:
        ins = FitIns(Parameters([pack(message)], _TYPE), {})
        calls = [_started(partial(proxy.fit, ins, timeout_s, 0)) for proxy in proxies]
        answers = [_answer(call, timeout_s, message.ask) for call in calls]
        return tuple(sorted(answers, key=lambda one: str(one.words.get("client"))))

    return ask


_Box = queue.SimpleQueue[tuple[Any, BaseException | None]]


def _started(call: Callable[[], Any]) -> _Box:
    """Call in a thread that does not keep the process alive when it never comes back."""
    box: _Box = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((call(), None))
        except BaseException as error:
            box.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    return box


def _within(seconds: float, call: Callable[[], Any]) -> None:
    try:
        _started(call).get(timeout=seconds)
    except queue.Empty:
        logging.getLogger(__name__).debug("a client did not take leave")


def _answer(box: _Box, timeout_s: float, ask: str) -> Message:
    try:
        result, error = box.get(timeout=timeout_s)
    except queue.Empty:
        raise NetworkError(
            f"every client must answer {ask!r} within {timeout_s:g} s, one did not: see that all "
            "run, and train anew"
        ) from None
    if error is not None:
        raise NetworkError(
            f"every client must stay until the end, one left before it answered {ask!r} "
            f"({type(error).__name__}): see why it ended, and train anew"
        ) from error
    tensors = result.parameters.tensors
    if len(tensors) != 1:
        raise NetworkError(
            f"every client must answer {ask!r} with one message, one sent {len(tensors)}: all must "
            "run the same version of vesalius"
        )
    return unpack(tensors[0])


def _certificates(link: Link) -> tuple[bytes, bytes, bytes] | None:
    if not link.authority:
        return None
    return _read(link.authority), _read(link.certificate), _read(link.key)


def _read(path: str) -> bytes:
    if not path or not Path(path).is_file():
        raise ConfigError(
            f"a certificate must be a file, {path!r} is none: the server needs authority=, "
            "certificate= and key=, a client authority="
        )
    return Path(path).read_bytes()


def _load() -> None:
    """Import Flower with its telemetry off, which it reads from the environment at import."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    try:
        from flwr.supercore import telemetry
    except ImportError as error:
        raise ExtraError("a training over a network needs Flower: install vesalius[fed]") from error
    # where the program imported Flower before us, with telemetry on
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
    # a known state keeps it from writing an identifier of this machine into the home folder
    telemetry.state.update(source="unavailable", cluster="unavailable", partner="unavailable")
    logging.getLogger("flwr").setLevel(logging.ERROR)
