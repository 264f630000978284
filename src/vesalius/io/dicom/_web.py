"""DICOMweb, PS3.18: find (QIDO-RS), fetch (WADO-RS) and send (STOW-RS)."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, final

from vesalius.errors import ConfigError, FormatError, NetworkError
from vesalius.io.dicom._inbox import PREFIX, Inbox, read_file
from vesalius.io.dicom._node import check_count, filters, match, meaning
from vesalius.io.dicom._peers import Level, Match, Query, WebNode
from vesalius.io.dicom._secrets import credentials
from vesalius.io.dicom._transfer import TransientError, library

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
PAGE = 500
ANY_SYNTAX = (("application/dicom", "*"),)


@final
class _Counted:
    """A response's body that is counted while it is read."""

    def __init__(self, raw: Any, inbox: Inbox) -> None:
        self._raw = raw
        self._inbox = inbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, size: int, decode_content: bool = True) -> Iterator[bytes]:
        for block in self._raw.stream(size, decode_content=decode_content):
            self._inbox.count(len(block))
            yield block


@contextmanager
def _client(node: WebNode, inbox: Inbox | None = None) -> Iterator[Any]:
    """Hold a client; tell its errors as ours, without addresses, which may name a patient."""
    dicomweb = library("dicomweb_client")
    requests = library("requests")
    with requests.Session() as session:
        _authorise(session, node)
        session.trust_env = not node.tls.ca  # or a variable would replace the authority
        session.verify = str(node.tls.ca) if node.tls.ca and node.tls.verify else node.tls.verify
        if node.tls.certificate:
            key = (str(node.tls.key),) if node.tls.key else ()
            shown = (str(node.tls.certificate), *key)
            session.cert = shown if key else shown[0]
        if inbox is not None:
            session.hooks["response"].append(lambda response, **_: _count(response, inbox))
        client = dicomweb.DICOMwebClient(node.url, session, timeout=node.timeout_s)
        client.set_http_retry_params(retry=False)
        try:
            yield client
        except requests.exceptions.RequestException as error:
            raise _told(node, error) from None


def _authorise(session: Any, node: WebNode) -> None:
    found = credentials(node.host)
    if found.present and not node.is_private:
        raise ConfigError(
            "an address must begin with https:// when a password or token is sent, this one does "
            "not: use https, or unset VESALIUS_DICOM_USER and VESALIUS_DICOM_TOKEN"
        )
    if found.user:
        session.auth = (found.user, found.password)
    elif found.token:
        session.headers["Authorization"] = f"Bearer {found.token}"


def _count(response: Any, inbox: Inbox) -> None:
    response.raw = _Counted(response.raw, inbox)


def _told(node: WebNode, error: Any) -> NetworkError:
    from requests import exceptions

    if isinstance(error, exceptions.SSLError):
        return NetworkError(
            f"server {node.label!r} must prove its name with a certificate that is trusted, it "
            "does not: give the authority's PEM file"
        )
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return _answered(node, error.response)
    if isinstance(error, exceptions.JSONDecodeError | exceptions.InvalidURL):
        return NetworkError(
            f"server {node.label!r} must answer as DICOMweb does, it does not: check the address"
        )
    return TransientError(
        f"server {node.label!r} must answer, it does not ({type(error).__name__}): "
        "check the address, and that it runs"
    )


def _answered(node: WebNode, response: Any) -> NetworkError:
    code = int(response.status_code)
    if code in (401, 403):
        return NetworkError(
            f"server {node.label!r} must let us in, it does not (HTTP {code}): set "
            "VESALIUS_DICOM_USER and VESALIUS_DICOM_PASSWORD, or VESALIUS_DICOM_TOKEN"
        )
    text = f"server {node.label!r} must do what it is asked, it does not (HTTP {code})"
    if code in TRANSIENT:
        asked = str(response.headers.get("Retry-After", ""))
        return TransientError(text, wait_s=float(asked) if asked.isdecimal() else 0.0)
    return NetworkError(f"{text}: check the address, or ask its administrator")


def echo(node: WebNode) -> None:
    """Ask a server for one study, to see whether it is there."""
    with _client(node) as client:
        client.search_for_studies(limit=1)


def find(node: WebNode, query: Query, level: Level) -> list[Match]:
    """Ask a server what it has (QIDO-RS, PS3.18 10.6), a page at a time."""
    found: dict[tuple[str, str, str], Match] = {}
    with _client(node) as client:
        while True:
            page = _page(client, query, level, len(found))
            new = {(m.study, m.series, m.instance): m for m in page}
            if not new.keys() - found.keys():
                return list(found.values())
            found |= new
            check_count(len(found), node.label)


def _page(client: Any, query: Query, level: Level, offset: int) -> list[Match]:
    import pydicom

    asked = {k: v for k, v in filters(query, level).items() if v}
    fields = [k for k in filters(query, level) if k not in asked]
    options = {"fields": fields, "search_filters": asked, "limit": PAGE, "offset": offset}
    if level == "study":
        answers = client.search_for_studies(**options)
    elif level == "series":
        asked.pop("StudyInstanceUID", None)
        answers = client.search_for_series(query.study or None, **options)
    else:
        for key in ("StudyInstanceUID", "SeriesInstanceUID"):
            asked.pop(key, None)
        answers = client.search_for_instances(query.study or None, query.series or None, **options)
    try:
        return [match(pydicom.Dataset.from_json(one)) for one in answers]
    except Exception as error:  # whatever a malformed answer meets first
        raise NetworkError(
            "a server must answer with DICOM JSON (PS3.18 annex F), this does not "
            f"({type(error).__name__}): check the address"
        ) from None


def get(node: WebNode, wanted: Sequence[Match], inbox: Inbox, *, whole_series: bool) -> bool:
    """Take instances of one series (WADO-RS, PS3.18 10.4) as they are stored; all, or an error."""
    first = wanted[0]
    with _client(node, inbox) as client:
        if whole_series:
            _keep(client.iter_series(first.study, first.series, media_types=ANY_SYNTAX), inbox)
            return True
        for one in wanted:
            place = one.study, one.series, one.instance
            _keep(iter([client.retrieve_instance(*place, media_types=ANY_SYNTAX)]), inbox)
    return True


def _keep(files: Iterator[Any], inbox: Inbox) -> None:
    while True:
        try:
            file = next(files, None)
            if file is None:
                return
            told = str(file.get("SOPInstanceUID", ""))
            if inbox.put(_encoded(file), told) == "conflict":
                inbox.fail(told, meaning(0x0111))
        except FormatError as error:
            if inbox.broken is not None:
                raise
            inbox.fail(told, str(error))
        except (ValueError, KeyError, EOFError) as error:
            raise TransientError(
                "a server must answer with whole DICOM files, it does not "
                f"({type(error).__name__}): see its log if that happens again"
            ) from None


def _encoded(file: Any) -> bytes:
    import pydicom

    file.preamble = PREFIX[:128]
    out = BytesIO()
    pydicom.dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def store(node: WebNode, path: Path) -> str:
    """Send one file (STOW-RS, PS3.18 10.5).

    Args:
        node: The server.
        path: The file; its preamble is sent as zeros.

    Returns:
        Why it was refused, or empty.

    Raises:
        NetworkError: The server cannot be reached, or fails.
    """
    from requests.exceptions import HTTPError

    try:
        file = read_file(path)
    except FormatError as error:
        return str(error)
    with _client(node) as client:
        try:
            answer = client.store_instances([file])
        except HTTPError as error:
            if error.response is None or error.response.status_code not in (400, 409, 415):
                raise
            return f"the server refuses it (HTTP {error.response.status_code})"
    for failed in answer.get("FailedSOPSequence", None) or ():
        return meaning(int(failed.get("FailureReason", 0x0110)))
    return ""
