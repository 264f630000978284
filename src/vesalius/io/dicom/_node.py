"""A DICOM node, PS3.7 and PS3.8: echo, find, get, move, store, and a receiver of our own."""
# SPDX-License-Identifier: Apache-2.0

import socket
import ssl
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

from vesalius.errors import FormatError, NetworkError, OutputError
from vesalius.io.dicom._inbox import Inbox, read_file
from vesalius.io.dicom._peers import Level, Match, Node, Query, Receiver, is_uid
from vesalius.io.dicom._transfer import TransientError, library

CONTEXT_LIMIT = 120
"""Presentation contexts in one association; 128 are possible (PS3.8 9.3.2.2)."""
ANSWERS = 100_000
"""Most answers to one query that are taken."""
FIND, GET, MOVE = (f"1.2.840.10008.5.1.4.1.2.2.{k}" for k in (1, 3, 2))
"""Study Root Query/Retrieve (PS3.4 C.6.2)."""
VERIFY = "1.2.840.10008.1.1"
PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_ROOT = "1.2.840.10008.1.2"
_KINDS = (50, 51, 57, 70, 80, 81, 90, 91, 102, 103, 201, 202)
PACKED = (f"{_ROOT}.5", *(f"{_ROOT}.4.{kind}" for kind in _KINDS))
"""RLE, JPEG, JPEG-LS, JPEG 2000, H.264 and HTJ2K. Deflated data sets are not taken:
they can grow without bound when they are read."""
SUCCESS, PENDING = 0x0000, (0xFF00, 0xFF01)
WARNINGS = (0xB000, 0xB006, 0xB007)
PARTLY = (0xA702, 0xB000)
"""Some or all of what was asked for could not be sent (PS3.4 tables C.4-2, C.4-3)."""
BUSY, CONFLICT, UNREADABLE, NOT_WANTED = 0xA700, 0x0111, 0xC000, 0xA900
TRANSIENT = (0x0110, 0x0213)
MEANINGS = {
    0x0110: "processing failure",
    0x0111: "an instance with that UID and another content is there",
    0x0122: "it does not take that kind of object",
    0x0124: "not authorised",
    0x0213: "out of resources",
    0xA801: "it does not know the address of this AE title",
    0xA900: "the request does not fit what it supports",
    0xFE00: "it cancelled",
}
Handlers = Sequence[tuple[Any, Callable[..., Any]]]
KEYS: dict[Level, tuple[str, ...]] = {
    "study": ("StudyDate", "ModalitiesInStudy", "NumberOfStudyRelatedInstances", "PatientName",
              "PatientID", "AccessionNumber", "StudyDescription", "StudyInstanceUID"),
    "series": ("Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances",
               "SeriesInstanceUID", "StudyInstanceUID"),
    "image": ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
}  # fmt: skip


def meaning(status: int) -> str:
    """Say what a status of a DIMSE response means (PS3.7 annex C, PS3.4 tables B.2-1, C.4-2)."""
    known = MEANINGS.get(status)
    if known is None:
        known = "out of resources" if 0xA700 <= status <= 0xA7FF else "it could not do it"
    return f"{known} (status 0x{status:04X})"


def is_transient(status: int) -> bool:
    """Say whether a status may be another one a little later."""
    return status in TRANSIENT or 0xA700 <= status <= 0xA7FF


def match(entries: Any) -> Match:
    """Make a match of an answer.

    Args:
        entries: A pydicom dataset.

    Raises:
        NetworkError: It cannot be understood.
    """
    try:
        texts = {e.keyword: _text(e.value) for e in entries if e.keyword and e.VR != "SQ"}
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise NetworkError(
            "an answer must hold values that fit their kind, one does not "
            f"({type(error).__name__}): ask the other side's administrator"
        ) from None
    counts = ("NumberOfSeriesRelatedInstances", "NumberOfStudyRelatedInstances")
    count = next((texts[k][:9] for k in counts if texts.get(k, "").isdecimal()), "0")
    return Match(
        study=texts.get("StudyInstanceUID", ""),
        series=texts.get("SeriesInstanceUID", ""),
        instance=texts.get("SOPInstanceUID", ""),
        sop_class=texts.get("SOPClassUID", ""),
        modality=texts.get("Modality") or texts.get("ModalitiesInStudy", ""),
        instances=int(count),
        entries=texts,
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    several = isinstance(value, MutableSequence)
    return ",".join(str(v) for v in value) if several else str(value)


def check_count(count: int, label: str) -> None:
    """Check how many answers came to one query.

    Args:
        count: Answers so far.
        label: Who gives them.

    Raises:
        NetworkError: There are more than ``ANSWERS``.
    """
    if count > ANSWERS:
        raise NetworkError(
            f"{label!r} must answer with at most {ANSWERS} entries, it gives more: ask for less"
        )


def filters(query: Query, level: Level) -> dict[str, str]:
    """Give the keys and values that a query asks with; an empty value asks to be answered.

    Args:
        query: What is asked for.
        level: Level of the answers.
    """
    keys = dict.fromkeys(KEYS[level], "")
    keys["StudyInstanceUID"] = query.study
    if level == "study":
        keys |= {"StudyDate": query.date, "ModalitiesInStudy": query.modality}
        keys |= {"PatientID": query.patient, "AccessionNumber": query.accession}
    else:
        keys["SeriesInstanceUID"] = query.series
    if level == "series":
        keys["Modality"] = query.modality
    return keys


@contextmanager
def associated(
    node: Node,
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    roles: Sequence[str] = (),
    handlers: Handlers = (),
) -> Iterator[Any]:
    """Hold an association with a node.

    Args:
        node: The node.
        contexts: Abstract and transfer syntaxes that are proposed.
        roles: SOP classes of which we take what the node sends.
        handlers: Events of pynetdicom and what they call.

    Yields:
        The association.

    Raises:
        NetworkError: The node cannot be reached or refuses.
    """
    pynetdicom = library("pynetdicom")
    entity = pynetdicom.AE(ae_title=node.own_title)
    entity.connection_timeout = entity.acse_timeout = node.timeout_s
    entity.dimse_timeout = entity.network_timeout = node.timeout_s
    for abstract, syntaxes in contexts:
        entity.add_requested_context(abstract, list(syntaxes))
    security = {} if node.tls is None else {"tls_args": (node.tls.client(), node.host)}
    held = entity.associate(
        node.host,
        node.port,
        ae_title=node.title,
        max_pdu=1 << 17,
        ext_neg=[pynetdicom.build_role(one, scp_role=True) for one in roles],
        evt_handlers=list(handlers),
        **security,
    )
    if not held.is_established:
        raise _refusal(node, held)
    try:
        yield held
    except BaseException:
        with suppress(Exception):
            held.abort()
        raise
    if held.is_established:
        held.release()


def _refusal(node: Node, held: Any) -> NetworkError:
    """Say why an association was not made."""
    if held.is_rejected:
        answer = held.acceptor.primitive
        text = (
            f"node {node.label!r} must accept a call of {node.own_title!r}, it rejects it: "
            f"{answer.reason_str.lower()}: check both AE titles with its administrator"
        )
        return TransientError(text) if answer.result == 2 else NetworkError(text)
    if held.requestor.primitive is not None and held.acceptor.primitive is not None:
        return NetworkError(
            f"node {node.label!r} must support what is asked, it accepts none of it: "
            "ask its administrator"
        )
    return _unreachable(node)


def _unreachable(node: Node) -> NetworkError:
    """Try the connection alone, to say what is wrong with it."""
    try:
        with socket.create_connection((node.host, node.port), timeout=node.timeout_s) as plain:
            if node.tls is not None:
                with node.tls.client().wrap_socket(plain, server_hostname=node.host):
                    pass
        reason = "the connection was cut"
    except ssl.SSLCertVerificationError as error:
        return NetworkError(
            f"node {node.label!r} must prove its name with a certificate that is trusted, it does "
            f"not: {error.verify_message}: give the authority's PEM file"
        )
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
    return TransientError(
        f"node {node.label!r} must answer, it does not: {reason}: "
        "check host and port, and that it runs"
    )


def echo(node: Node) -> None:
    """Ask a node whether it is there (C-ECHO)."""
    with associated(node, [(VERIFY, PLAIN)]) as held:
        _status(held.send_c_echo(), node)


def find(node: Node, query: Query, level: Level) -> list[Match]:
    """Ask a node what it has (C-FIND, PS3.4 C.4.1)."""
    asked = _dataset(filters(query, level) | {"QueryRetrieveLevel": level.upper()})
    found: list[Match] = []
    with associated(node, [(FIND, PLAIN)]) as held:
        for status, entries in held.send_c_find(asked, FIND):
            code = _code(status)
            if code in PENDING and entries is not None:
                found.append(match(entries))
                check_count(len(found), node.label)
            elif code not in PENDING:
                _status(status, node)
    return found


def get(node: Node, wanted: Sequence[Match], inbox: Inbox, *, whole_series: bool) -> bool:
    """Take instances of one series over the connection that asks for them (C-GET, C.4.3).

    Returns:
        Whether the node says that it sent all.
    """
    from pynetdicom import evt

    classes, contexts = _contexts(wanted)
    handlers: Handlers = [(evt.EVT_C_STORE, _storing(inbox)), (evt.EVT_DATA_RECV, _Counter(inbox))]
    with associated(node, [(GET, PLAIN), *contexts], roles=classes, handlers=handlers) as held:
        return _final(held.send_c_get(_wanted(wanted, whole_series), GET), node, inbox)


def _contexts(wanted: Sequence[Match]) -> tuple[list[str], list[tuple[str, Sequence[str]]]]:
    """Give the SOP classes to take, and their contexts: one for each way of packing.

    The other side sends in the syntax that it chose for a context, so that only a context of its
    own for each lets every instance come as it is stored.
    """
    classes = sorted({one.sop_class for one in wanted})
    if all(map(is_uid, classes)) and len(classes) * (1 + len(PACKED)) <= CONTEXT_LIMIT:
        return classes, [
            (one, syntaxes) for one in classes for syntaxes in (PLAIN, *((p,) for p in PACKED))
        ]
    # the node does not tell the classes: the usual ones, packed as it likes
    usual = library("pynetdicom").StoragePresentationContexts[:CONTEXT_LIMIT]
    classes = [context.abstract_syntax for context in usual]
    return classes, [(one, (*PLAIN, *PACKED)) for one in classes]


def move(
    node: Node, wanted: Sequence[Match], inbox: Inbox, receiver: Receiver, *, whole_series: bool
) -> bool:
    """Have a node send instances of one series to a receiver of our own (C-MOVE, C.4.2).

    Returns:
        Whether the node says that it sent all.
    """
    with receiving(receiver, inbox), associated(node, [(MOVE, PLAIN)]) as held:
        asked = _wanted(wanted, whole_series)
        return _final(held.send_c_move(asked, receiver.title, MOVE), node, inbox)


def _final(answers: Iterator[Any], node: Node, inbox: Inbox) -> bool:
    """Wait for the last answer; say whether all was sent."""
    code = -1
    for status, _ in answers:
        code = _code(status)
        if inbox.broken is not None:
            raise inbox.broken
        if code not in PENDING and code not in PARTLY:
            _status(status, node)
    return code not in PARTLY


def _wanted(wanted: Sequence[Match], whole_series: bool) -> Any:
    first = wanted[0]
    keys = {"StudyInstanceUID": first.study, "SeriesInstanceUID": first.series}
    if whole_series:
        return _dataset(keys | {"QueryRetrieveLevel": "SERIES"})
    instances = [one.instance for one in wanted]
    return _dataset(keys | {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": instances})


def store(
    node: Node, files: Sequence[tuple[Path, str, str]], on_sent: Callable[[int, str], None]
) -> None:
    """Send files to a node (C-STORE, PS3.4 annex B).

    Args:
        node: The node.
        files: Path, SOP class and transfer syntax of each; at most ``CONTEXT_LIMIT`` pairs.
        on_sent: Called with the index of each file and why it was refused, or empty.

    Raises:
        NetworkError: The connection failed, or the node is busy.
    """
    import pydicom

    pairs = list(dict.fromkeys((kind, syntax) for _, kind, syntax in files))
    with associated(node, [(kind, (syntax,)) for kind, syntax in pairs]) as held:
        accepted = {(c.abstract_syntax, c.transfer_syntax[0]) for c in held.accepted_contexts}
        for k, (path, kind, syntax) in enumerate(files):
            if (kind, syntax) not in accepted:
                on_sent(k, f"the node does not take {pydicom.uid.UID(syntax).name} of that kind")
                continue
            try:
                status = _send(held, read_file(path), node)
            except FormatError as error:
                on_sent(k, str(error))
                continue
            code = _code(status)
            if is_transient(code):
                raise TransientError(f"node {node.label!r} must take what is sent: {meaning(code)}")
            on_sent(k, "" if code == SUCCESS or code in WARNINGS else meaning(code))


def _send(held: Any, file: Any, node: Node) -> Any:
    try:
        status = held.send_c_store(file)
    except (ValueError, AttributeError) as error:  # it cannot be put into bytes again
        raise FormatError(
            f"a file to send must be sound, {type(error).__name__} tells that it is not: "
            "repair its header"
        ) from error
    except (RuntimeError, OSError):  # the association ended before or while it was sent
        status = None
    if not status:
        raise _cut(node)
    return status


def _cut(node: Node) -> TransientError:
    return TransientError(
        f"node {node.label!r} must stay connected, it hung up or fell silent: "
        "see its log if that happens again"
    )


@contextmanager
def receiving(receiver: Receiver, inbox: Inbox) -> Iterator[int]:
    """Run a receiving node.

    Args:
        receiver: Who may call, and where.
        inbox: Where instances go.

    Yields:
        The port that it listens at.

    Raises:
        NetworkError: The port cannot be listened at.
    """
    pynetdicom = library("pynetdicom")
    evt = pynetdicom.evt
    entity = pynetdicom.AE(ae_title=receiver.title)
    entity.require_calling_aet = list(receiver.allowed)
    entity.require_called_aet = True
    entity.maximum_pdu_size = 1 << 17
    entity.add_supported_context(VERIFY, list(PLAIN))
    for context in pynetdicom.AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, [*PLAIN, *PACKED])
    handlers: Handlers = [(evt.EVT_C_STORE, _storing(inbox)), (evt.EVT_DATA_RECV, _Counter(inbox))]
    security = None if receiver.tls is None else receiver.tls.server()
    try:
        server = entity.start_server(
            (receiver.host, receiver.port),
            block=False,
            evt_handlers=list(handlers),
            ssl_context=security,
        )
    except OSError as error:
        raise NetworkError(
            f"port {receiver.port} must be free to receive at, the system says: {error.strerror}: "
            "choose another, or end what listens there"
        ) from error
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()


def _storing(inbox: Inbox) -> Callable[[Any], int]:
    """Make what keeps an instance and answers with a status (PS3.4 B.2.3)."""

    def keep(event: Any) -> int:
        told = str(event.request.AffectedSOPInstanceUID)
        try:
            put = inbox.put(event.encoded_dataset(), told)
        except OutputError as error:
            inbox.fail(told, str(error))
            return BUSY
        except FormatError as error:
            inbox.fail(told, str(error))
            return UNREADABLE if inbox.broken is None else BUSY
        if put == "conflict":
            inbox.fail(told, meaning(CONFLICT))
        return CONFLICT if put == "conflict" else SUCCESS

    return keep


@final
class _Counter:
    """Counts what arrives; cuts the connection when it is too much."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __call__(self, event: Any) -> None:
        try:
            self._inbox.count(len(event.data))
        except FormatError:
            event.assoc.dul.socket.close()


def _dataset(entries: dict[str, Any]) -> Any:
    import pydicom

    made = pydicom.Dataset()
    for keyword, value in entries.items():
        setattr(made, keyword, value)
    return made


def _code(status: Any) -> int:
    return int(status.Status) if status and "Status" in status else -1


def _status(status: Any, node: Node) -> None:
    """Raise unless a response says that all is well."""
    code = _code(status)
    if code == SUCCESS:
        return
    if code < 0:
        raise _cut(node)
    text = f"node {node.label!r} must do what it is asked, it does not: {meaning(code)}"
    if is_transient(code):
        raise TransientError(text)
    raise NetworkError(f"{text}: ask its administrator")
