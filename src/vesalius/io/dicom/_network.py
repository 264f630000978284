"""The network: find, fetch, send and receive, over DICOM or DICOMweb alike."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from vesalius.core import Step
from vesalius.errors import ConfigError, FormatError, NetworkError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._walk import walk
from vesalius.io.dicom import _node, _web
from vesalius.io.dicom._dicomdir import is_dicomdir
from vesalius.io.dicom._inbox import JOURNAL, Inbox, make_folder, read_header
from vesalius.io.dicom._journal import Journal, journal
from vesalius.io.dicom._peers import Level, Match, Node, Peer, Query, Receiver, is_uid
from vesalius.io.dicom._transfer import Failure, Outcome, Retry, Transfer, TransientError, persist

OnStep = Callable[[Step], None]
RETRY = Retry()
TRANSFER = Transfer()
BATCH = 100
"""Most instances that are asked for by their UIDs at once."""


def _silent(step: Step) -> None:
    """Show nothing."""


def echo(peer: Peer, *, retry: Retry = RETRY) -> None:
    """Ask a node or server whether it is there and talks to us.

    Args:
        peer: Whom.
        retry: How transient failures are met.

    Raises:
        NetworkError: It is not, or does not.
        ExtraError: pynetdicom or dicomweb-client is not installed.
    """
    if isinstance(peer, Node):
        persist(retry, lambda: _node.echo(peer), lambda: 0)
    else:
        persist(retry, lambda: _web.echo(peer), lambda: 0)


def find(
    peer: Peer, query: Query, *, level: Level = "study", retry: Retry = RETRY
) -> tuple[Match, ...]:
    """Ask a node or server what it has.

    Args:
        peer: Whom.
        query: What is asked for.
        level: What an answer is: a study, a series (of one study) or an image (of one series).
        retry: How transient failures are met.

    Returns:
        The answers. Their ``entries`` identify patients.

    Raises:
        ConfigError: The level needs the UID of what holds it, and the query has none.
        NetworkError: The other side cannot be reached, refuses or fails.
        ExtraError: pynetdicom or dicomweb-client is not installed.
    """
    missing = (level != "study" and not query.study) or (level == "image" and not query.series)
    if missing:
        raise ConfigError(
            f"a query for each {level} must name the study{' and series' * (level == 'image')} "
            "that holds it, it does not: find those first"
        )
    if isinstance(peer, Node):
        return tuple(persist(retry, lambda: _node.find(peer, query, level), lambda: 0))
    return tuple(persist(retry, lambda: _web.find(peer, query, level), lambda: 0))


def fetch(
    peer: Peer,
    query: Query,
    out: str | Path,
    *,
    options: Transfer = TRANSFER,
    on_step: OnStep = _silent,
) -> Outcome:
    """Fetch every instance that a query finds and that is not here yet.

    Instances go to ``OUT/SeriesInstanceUID/SOPInstanceUID.dcm``, each written whole or not at all
    and noted in a journal there, so that a run that was cut off at any moment is resumed by
    calling again: only what is missing is asked for.

    Args:
        peer: Whom to ask.
        query: What to fetch; ``study``, ``patient``, ``accession`` or ``date`` must be given.
        out: Folder; made where absent.
        options: How.
        on_step: Called after each series.

    Returns:
        What came of it. Instances that the other side has and did not deliver are failures.

    Raises:
        ConfigError: The query asks for everything.
        FormatError: More arrives than the budget allows.
        NetworkError: The other side cannot be reached, refuses or keeps failing.
        OutputError: The folder cannot be written.
        ExtraError: pynetdicom or dicomweb-client is not installed.
    """
    if query.is_empty:
        raise ConfigError(
            "a query to fetch must name a study, patient, accession number or date, it names "
            "none: the whole archive is not fetched by accident"
        )
    folder = Path(out)
    make_folder(folder)
    with journal(folder / JOURNAL) as log:
        done = Outcome()
        listed = _series(peer, query, options.retry)
        for k, series in enumerate(listed):
            left = replace(
                options.budget,
                bytes=max(0, options.budget.bytes - done.bytes),
                files=max(0, options.budget.files - done.done),
            )
            part = _Fetching(peer, replace(options, budget=left), folder, log).run(series)
            done = _sum(done, part)
            on_step(Step(f"fetch: series {k + 1}", k + 1, len(listed)))
    return done


def _series(peer: Peer, query: Query, retry: Retry) -> list[Match]:
    if query.study:
        studies = [query.study]
    else:
        answers = find(peer, query, level="study", retry=retry)
        studies = [m.study for m in answers if is_uid(m.study)]
    found: list[Match] = []
    for study in dict.fromkeys(studies):
        asked = Query(study=study, series=query.series, modality=query.modality)
        found += [
            replace(m, study=study)
            for m in find(peer, asked, level="series", retry=retry)
            if m.study in ("", study) and query.series in ("", m.series) and is_uid(m.series)
        ]
    return found


@final
@dataclass(frozen=True, slots=True)
class _Fetching:
    """Fetches one series after the other."""

    peer: Peer
    options: Transfer
    out: Path
    log: Journal

    def run(self, series: Match) -> Outcome:
        asked = Query(study=series.study, series=series.series)
        found = find(self.peer, asked, level="image", retry=self.options.retry)
        wanted = [
            replace(m, study=series.study, series=series.series)
            for m in found
            if is_uid(m.instance)
        ]
        names = frozenset(m.instance for m in wanted)
        inbox = Inbox(self.out, self.log, self.options.budget, names)
        known = [m for m in wanted if inbox.has(m.instance, m.series)]
        if len(known) < len(wanted):
            self._persist(wanted, inbox)
        missing = [m for m in wanted if not inbox.has(m.instance, m.series)]
        said = {f.name: f for f in inbox.outcome.failures}
        reason = "the other side did not deliver it"
        failures = tuple(said.get(m.instance, Failure(m.instance, reason)) for m in missing)
        received = inbox.outcome
        return Outcome(received.done, len(known), received.bytes, failures)

    def _persist(self, wanted: Sequence[Match], inbox: Inbox) -> None:
        def attempt() -> None:
            self._request(wanted, inbox)

        try:
            persist(self.options.retry, attempt, lambda: inbox.outcome.done)
        except NetworkError as error:
            # the node answers and cannot send some: they are failures, the rest goes on
            if not isinstance(error.__cause__, _UndeliveredError):
                raise

    def _request(self, wanted: Sequence[Match], inbox: Inbox) -> None:
        """Ask once for what is missing: the whole series, or instances by their UIDs."""
        whole, missing = True, self._missing(wanted, inbox)
        if len(missing) == len(wanted):
            whole = self._take(missing, inbox, whole_series=True)
            missing = self._missing(wanted, inbox)
        for start in range(0, len(missing), BATCH):
            whole &= self._take(missing[start : start + BATCH], inbox, whole_series=False)
        if not whole and self._missing(wanted, inbox):
            raise _UndeliveredError("the other side could not send all")

    def _missing(self, wanted: Sequence[Match], inbox: Inbox) -> list[Match]:
        """Give what is neither here nor was refused when it came."""
        refused = {f.name for f in inbox.outcome.failures}
        return [
            m for m in wanted if m.instance not in refused and not inbox.has(m.instance, m.series)
        ]

    def _take(self, wanted: Sequence[Match], inbox: Inbox, *, whole_series: bool) -> bool:
        if not isinstance(self.peer, Node):
            return _web.get(self.peer, wanted, inbox, whole_series=whole_series)
        if self.options.way == "get":
            return _node.get(self.peer, wanted, inbox, whole_series=whole_series)
        receiver = Receiver(
            (self.peer.title,),
            self.options.receive_port,
            self.peer.own_title,
            self.options.receive_host,
            self.options.receive_tls,
        )
        return _node.move(self.peer, wanted, inbox, receiver, whole_series=whole_series)


class _UndeliveredError(TransientError):
    """The other side answers, and could not send some instances."""


@final
@dataclass(frozen=True, slots=True)
class _File:
    """A file to send."""

    path: Path
    sop: str
    kind: str
    syntax: str
    sha256: str
    size: int


def send(
    peer: Peer,
    paths: Sequence[str | Path],
    *,
    record: str | Path = "",
    options: Transfer = TRANSFER,
    on_step: OnStep = _silent,
) -> Outcome:
    """Send DICOM files to a node or server.

    Args:
        peer: Whom.
        paths: Files and folders; files that are no DICOM are failures where they are named, and
            passed over in folders.
        record: A journal; what it says the peer has accepted is not sent again. Empty keeps none.
        options: ``retry`` and ``budget`` (files).
        on_step: Called after each file.

    Returns:
        What came of it.

    Raises:
        FormatError: A path does not exist, or a folder holds more files than the budget allows.
        NetworkError: The other side cannot be reached, refuses or keeps failing.
        OutputError: The journal cannot be written.
        ExtraError: pynetdicom or dicomweb-client is not installed.
    """
    files, failures = _files(paths, options.budget)
    with journal(Path(record)) if str(record) else nullcontext() as log:
        job = _Sending(peer, log, on_step, len(files))
        waiting = [f for f in files if log is None or not log.was_sent(peer.label, f.sop, f.sha256)]
        job.known = len(files) - len(waiting)
        for batch in _batches(waiting):
            job.run(batch, options.retry)
    return Outcome(job.done, job.known, job.bytes, (*failures, *job.failures))


@final
class _Sending:
    """Sends batches of files; counts over all."""

    def __init__(self, peer: Peer, log: Journal | None, on_step: OnStep, total: int) -> None:
        self.done = self.known = self.bytes = 0
        self.failures: list[Failure] = []
        self._peer = peer
        self._log = log
        self._on_step = on_step
        self._total = total

    def run(self, batch: list[_File], retry: Retry) -> None:
        waiting = list(batch)

        def attempt() -> None:
            while waiting:
                if isinstance(self._peer, Node):
                    self._to_node(self._peer, waiting)
                else:
                    refused = _web.store(self._peer, waiting[0].path)
                    self._settle(waiting.pop(0), refused)

        persist(retry, attempt, lambda: len(batch) - len(waiting))

    def _to_node(self, node: Node, waiting: list[_File]) -> None:
        settled: list[_File] = []
        asked = [(f.path, f.kind, f.syntax) for f in waiting]

        def on_sent(index: int, refused: str) -> None:
            self._settle(waiting[index], refused)
            settled.append(waiting[index])

        try:
            _node.store(node, asked, on_sent)
        finally:
            waiting[:] = [f for f in waiting if f not in settled]

    def _settle(self, file: _File, refused: str) -> None:
        if refused:
            self.failures.append(Failure(file.sop, refused))
        else:
            self.done += 1
            self.bytes += file.size
            if self._log is not None:
                self._log.send(self._peer.label, file.sop, file.sha256)
        settled = self.done + self.known + len(self.failures)
        self._on_step(Step("send", settled, self._total))


def _files(paths: Sequence[str | Path], budget: Budget) -> tuple[list[_File], list[Failure]]:
    """List what to send, each content once, and named files that cannot be sent."""
    found: dict[tuple[str, str], _File] = {}
    failures: list[Failure] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FormatError(f"{path.name!r} must exist to be sent, it does not: check the path")
        is_folder = path.is_dir()
        listed = walk(path, budget, lambda _: False) if is_folder else None
        failures += [Failure(path.name, str(e)) for e in (listed.refused if listed else ())]
        for file in (path,) if listed is None else listed.files:
            try:
                one = _file(file)
            except FormatError as error:
                if not is_folder or file.suffix.lower() in (".dcm", ".ima"):
                    failures.append(Failure(file.name, str(error)))
                continue
            if one is not None:
                found.setdefault((one.sop, one.sha256), one)
    return list(found.values()), failures


def _file(path: Path) -> _File | None:
    if is_dicomdir(path):
        return None
    header = read_header(path)
    sop, kind = str(header.get("SOPInstanceUID", "")), str(header.get("SOPClassUID", ""))
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if not all(map(is_uid, (sop, kind, syntax))):
        raise FormatError(
            f"{path.name!r} must have SOP class, SOP instance and transfer syntax to be sent, "
            "one is absent or no UID: repair its header"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _File(path, sop, kind, syntax, digest, path.stat().st_size)


def _batches(files: list[_File]) -> Iterator[list[_File]]:
    """Group files so that each group needs few presentation contexts."""
    pairs = list(dict.fromkeys((f.kind, f.syntax) for f in files))
    for start in range(0, len(pairs), _node.CONTEXT_LIMIT):
        now = set(pairs[start : start + _node.CONTEXT_LIMIT])
        yield [f for f in files if (f.kind, f.syntax) in now]


@final
class Listening:
    """A receiver that runs.

    Attributes:
        port: The TCP port it listens at.
    """

    def __init__(self, port: int, inbox: Inbox) -> None:
        self.port = port
        self._inbox = inbox

    @property
    def outcome(self) -> Outcome:
        """What was received so far."""
        return self._inbox.outcome


@contextmanager
def listen(receiver: Receiver, out: str | Path, *, budget: Budget = DEFAULT) -> Iterator[Listening]:
    """Run a small receiving node (C-STORE and C-ECHO) while the block lasts.

    Use as ``with listen(Receiver(allowed=("SCANNER",)), "in") as node: ...``. Files are laid down
    as ``fetch`` does; an instance that is here is accepted and not written again, another content
    under its UID is refused.

    Args:
        receiver: Who may call, and where.
        out: Folder; made where absent.
        budget: ``bytes`` and ``files`` of all that is received.

    Yields:
        The running receiver.

    Raises:
        NetworkError: The port cannot be listened at.
        OutputError: The folder cannot be written.
        ExtraError: pynetdicom is not installed.
    """
    folder = Path(out)
    make_folder(folder)
    with journal(folder / JOURNAL) as log:
        inbox = Inbox(folder, log, budget)
        with _node.receiving(receiver, inbox) as port:
            yield Listening(port, inbox)


def _sum(one: Outcome, other: Outcome) -> Outcome:
    return Outcome(
        one.done + other.done,
        one.known + other.known,
        one.bytes + other.bytes,
        one.failures + other.failures,
    )
