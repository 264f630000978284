"""Peers for the tests of the network: a PACS and a DICOMweb server on loopback, that can fail."""

import json
import re
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from phantoms_io import write_slice
from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{k}" for k in (1, 2, 3))
STUDY = "1.2.3.99"
# a server looks every half second whether it shall end; tests begin and end many
socketserver.BaseServer.serve_forever.__defaults__ = (0.02,)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def make_series(folder: Path, count: int = 3, *, series: str = "1.2.3") -> Path:
    """Write a series of a study to send or to serve."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        write_slice(
            folder,
            k,
            name=f"{series}-{k}.dcm",
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=series,
            SOPInstanceUID=f"{series}.{k + 1}",
            StudyDate="20200102",
        )
    return folder


def datasets(folder: Path) -> dict[str, Dataset]:
    found = [pydicom.dcmread(p) for p in sorted(folder.rglob("*.dcm"))]
    return {str(d.SOPInstanceUID): d for d in found}


@dataclass
class Pacs:
    """What a served archive has, and how it shall fail.

    Attributes:
        folder: Its files.
        port: Where it listens.
        titles: Calling titles that it accepts.
        busy: How many requests are answered with "out of resources" first.
        cut_after: Instances after which a C-GET is cut off, once.
        hide: UIDs that are listed and never delivered.
        destinations: Addresses of AE titles for C-MOVE.
        asked: Every identifier that it was asked with.
        sent: UIDs that it has sent.
        imposter: Sends this in place of what was asked for.
        classes: Whether it tells the SOP classes of images.
        deaf: Whether it refuses to send anything.
    """

    folder: Path
    port: int = 0
    titles: tuple[str, ...] = ("VESALIUS",)
    busy: int = 0
    cut_after: int = 0
    hide: frozenset[str] = frozenset()
    destinations: dict[str, int] = field(default_factory=dict)
    asked: list[Dataset] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    imposter: Dataset | None = None
    classes: bool = True
    deaf: bool = False

    def matching(self, asked: Dataset) -> list[Dataset]:
        def fits(one: Dataset) -> bool:
            for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"):
                value = asked.get(key)
                if value and str(one.get(key)) not in re.split(r"\\", "\\".join(as_list(value))):
                    return False
            return not asked.get("Modality") or one.Modality == asked.Modality

        return [one for one in datasets(self.folder).values() if fits(one)]

    def is_busy(self) -> bool:
        self.busy -= 1
        return self.busy >= 0

    def on_find(self, event: Any) -> Iterator[Any]:
        asked = event.identifier
        self.asked.append(asked)
        if self.is_busy():
            yield 0xA700, None
            return
        key = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}.get(
            asked.QueryRetrieveLevel, "SOPInstanceUID"
        )
        for one in {str(d.get(key)): d for d in self.matching(asked)}.values():
            answer = Dataset()
            answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
            for element in asked:
                if element.keyword == "NumberOfSeriesRelatedInstances":
                    answer.NumberOfSeriesRelatedInstances = 3
                elif element.keyword in one and (self.classes or element.keyword != "SOPClassUID"):
                    setattr(answer, element.keyword, one[element.keyword].value)
            yield 0xFF00, answer

    def deliver(self, event: Any) -> Iterator[Any]:
        asked = event.identifier
        self.asked.append(asked)
        found = [d for d in self.matching(asked) if str(d.SOPInstanceUID) not in self.hide]
        yield len(found)
        if self.deaf or self.is_busy():
            yield 0xA702, None
            return
        for k, one in enumerate(found):
            if self.cut_after and k == self.cut_after:
                self.cut_after = 0
                event.assoc.abort()
                return
            self.sent.append(str(one.SOPInstanceUID))
            yield 0xFF00, self.imposter or one

    def on_move(self, event: Any) -> Iterator[Any]:
        port = self.destinations.get(event.move_destination)
        if port is None:
            yield None, None
            return
        yield "127.0.0.1", port
        yield from self.deliver(event)

    @contextmanager
    def running(self, context: ssl.SSLContext | None = None) -> Iterator["Pacs"]:
        entity = AE("PACS")
        entity.require_calling_aet = list(self.titles)
        entity.require_called_aet = True
        entity.add_supported_context("1.2.840.10008.1.1")
        for model in (FIND, MOVE, GET):
            entity.add_supported_context(model)
        for one in AllStoragePresentationContexts:
            entity.add_supported_context(
                one.abstract_syntax, ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True
            )
            if len(entity.requested_contexts) < 100:
                entity.add_requested_context(one.abstract_syntax, "1.2.840.10008.1.2.1")
        handlers = [
            (evt.EVT_C_FIND, self.on_find),
            (evt.EVT_C_GET, self.deliver),
            (evt.EVT_C_MOVE, self.on_move),
        ]
        server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=context
        )
        self.port = server.socket.getsockname()[1]
        try:
            yield self
        finally:
            server.shutdown()


def as_list(value: Any) -> list[str]:
    return [str(value)] if isinstance(value, str) else [str(v) for v in value]


@dataclass
class Web:
    """A small DICOMweb server: QIDO-RS, WADO-RS and STOW-RS over a folder.

    Attributes:
        folder: Its files; what is stored goes to memory.
        fail: Status codes with which the next requests are answered.
        authorization: What the header must say, or empty.
        endless: Whether an instance never ends.
        redirect: Where every request is sent on, or empty.
        seen: Method, path and headers of every request.
        stored: What was stored.
        imposter: UID that replaces that of each instance that is fetched.
        port: Where it listens.
    """

    folder: Path
    fail: list[int] = field(default_factory=list)
    authorization: str = ""
    endless: bool = False
    redirect: str = ""
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    stored: dict[str, Dataset] = field(default_factory=dict)
    imposter: str = ""
    refuse: bool = False
    answer: bytes = b""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @contextmanager
    def running(self, context: ssl.SSLContext | None = None) -> Iterator["Web"]:
        web = self

        class Handler(Serving):
            peer = web

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Serving(BaseHTTPRequestHandler):
    peer: Web

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""

    def handled(self) -> bool:
        self.peer.seen.append((self.command, self.path, dict(self.headers)))
        if self.peer.redirect:
            self.send_response(307)
            self.send_header("Location", self.peer.redirect + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (
            self.peer.authorization and self.headers.get("Authorization") != self.peer.authorization
        ):
            self.reply(401, b"")
        elif self.peer.fail:
            self.reply(self.peer.fail.pop(0), b"")
        else:
            return False
        return True

    def reply(self, status: int, body: bytes, kind: str = "application/dicom+json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.handled():
            return
        if self.peer.answer:
            self.reply(200, self.peer.answer)
            return
        parts = urlsplit(self.path)
        words = parts.path.removeprefix("/dicom-web/").split("/")
        keys = {k: v[0] for k, v in parse_qs(parts.query).items()}
        names = dict(zip(words[::2], words[1::2], strict=False))
        found = [
            one
            for one in datasets(self.peer.folder).values()
            if names.get("studies", one.StudyInstanceUID) == one.StudyInstanceUID
            and names.get("series", one.SeriesInstanceUID) == one.SeriesInstanceUID
            and names.get("instances", one.SOPInstanceUID) == one.SOPInstanceUID
        ]
        if len(words) % 2:
            self.query(found, words[-1], keys)
        else:
            self.retrieve(found)

    def query(self, found: list[Dataset], level: str, keys: dict[str, str]) -> None:
        uid = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID"}.get(
            level, "SOPInstanceUID"
        )
        for key in ("PatientID", "Modality", "StudyInstanceUID", "SeriesInstanceUID"):
            found = [d for d in found if keys.get(key, str(d.get(key))) == str(d.get(key))]
        answers = []
        for one in {str(d.get(uid)): d for d in found}.values():
            one = one[:]
            for keyword in ("PixelData", "PatientName"):
                if keyword in one:
                    delattr(one, keyword)
            answers.append(one.to_json_dict())
        start = int(keys.get("offset", 0))
        body = json.dumps(answers[start : start + min(2, int(keys.get("limit", 2)))]).encode()
        self.reply(200, body)

    def retrieve(self, found: list[Dataset]) -> None:
        out = BytesIO()
        for one in found:
            if self.peer.imposter:
                one.SOPInstanceUID = self.peer.imposter
            body = BytesIO()
            one.preamble = b"MZ" + bytes(126)
            pydicom.dcmwrite(body, one, enforce_file_format=True)
            out.write(b"--B\r\nContent-Type: application/dicom\r\n\r\n")
            out.write(body.getvalue() + b"\r\n")
        kind = 'multipart/related; type="application/dicom"; boundary=B'
        if not self.peer.endless:
            self.reply(200, out.getvalue() + b"--B--\r\n", kind)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        try:
            self.wfile.write(out.getvalue())
            for _ in range(1000):
                self.wfile.write(bytes(1 << 20))
        except OSError:
            self.close_connection = True

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.handled():
            return
        start = body.index(b"\r\n\r\n") + 4
        one = pydicom.dcmread(BytesIO(body[start : body.rindex(b"\r\n--")]))
        answer = Dataset()
        item = Dataset()
        item.ReferencedSOPClassUID = one.SOPClassUID
        item.ReferencedSOPInstanceUID = one.SOPInstanceUID
        if self.peer.refuse:
            item.FailureReason = 0x0122
            answer.FailedSOPSequence = [item]
            self.reply(409 if self.peer.answer else 202, answer.to_json().encode())
            return
        self.peer.stored[str(one.SOPInstanceUID)] = one
        answer.ReferencedSOPSequence = [item]
        self.reply(200, answer.to_json().encode())


@dataclass(frozen=True)
class Authority:
    """Files of a certificate authority and of a server and a client that it vouches for."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    locked_key: Path


def make_authority(folder: Path) -> Authority:
    """Make certificates with openssl; skips where it is absent."""

    def run(*words: object) -> None:
        done = subprocess.run(
            ["openssl", *map(str, words)], capture_output=True, cwd=folder, check=False
        )
        assert done.returncode == 0, done.stderr

    try:
        subprocess.run(["openssl", "version"], capture_output=True, check=True)
    except OSError:
        pytest.skip("openssl is not installed")
    new = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", 2, "-subj", "/CN=CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        run("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", 2,
            "-CAcreateserial", "-out", f"{name}.pem", "-extfile", "ext")  # fmt: skip
    run("rsa", "-aes256", "-passout", "pass:opensesame", "-in", "client.key", "-out", "locked.key")
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "locked.key")
    return Authority(*(folder / name for name in names))
