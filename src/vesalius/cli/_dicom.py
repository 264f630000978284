"""``vesalius dicom``: find, fetch, send and receive instances over the network."""
# SPDX-License-Identifier: Apache-2.0

import json
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL
from vesalius.cli._progress import Progress, watch
from vesalius.cli._words import printable

if TYPE_CHECKING:
    from vesalius.io.dicom import Match, Outcome, Tls
    from vesalius.io.dicom._peers import Peer

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
_NODE = re.compile(r"(?P<title>[^@]+)@(?P<host>.+):(?P<port>[0-9]{1,5})")
_TOLD = 20
"""More failures than this are counted, not listed."""


class Level(StrEnum):
    """What one answer is."""

    study = "study"
    series = "series"
    image = "image"


class Way(StrEnum):
    """How a DICOM node delivers."""

    get = "get"
    move = "move"


PeerText = Annotated[
    str, typer.Argument(metavar="PEER", help="TITLE@HOST:PORT, or https://HOST/dicom-web.")
]
Study = Annotated[str, typer.Option("--study", help="StudyInstanceUID.")]
Series = Annotated[str, typer.Option("--series", help="SeriesInstanceUID.")]
Patient = Annotated[str, typer.Option("--patient", help="PatientID; * and ? stand for letters.")]
Date = Annotated[str, typer.Option("--date", help="StudyDate, YYYYMMDD or YYYYMMDD-YYYYMMDD.")]
Modality = Annotated[str, typer.Option("--modality", help="Such as CT.")]
Accession = Annotated[str, typer.Option("--accession", help="AccessionNumber.")]
OwnTitle = Annotated[str, typer.Option("--own-title", help="AE title that we call with.")]
Encrypt = Annotated[bool, typer.Option("--tls", help="Encrypt the connection to a DICOM node.")]
Authority = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of the authorities to trust; with --tls.")
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="PEM file of our own certificate.")
]
Key = Annotated[Path | None, typer.Option("--key", help="PEM file of its private key.")]
Shown = Annotated[Progress, typer.Option("--progress", help="How progress is shown.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")]
Tries = Annotated[int, typer.Option("--tries", min=1, help="Attempts without progress.")]


@app.callback()
def _group() -> None:
    """Find, fetch, send and receive DICOM over the network.

    A user and password are taken from VESALIUS_DICOM_USER and VESALIUS_DICOM_PASSWORD, or a token
    from VESALIUS_DICOM_TOKEN, or from a keyring; never from the command line.
    """


@app.command("find", short_help="List what a node or server has.")
def find(
    peer: PeerText,
    study: Study = "",
    series: Series = "",
    patient: Patient = "",
    date: Date = "",
    modality: Modality = "",
    accession: Accession = "",
    level: Annotated[Level, typer.Option("--level", help="What one answer is.")] = Level.study,
    identifying: Annotated[
        bool, typer.Option("--identifying", help="Show what identifies a patient, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    own_title: OwnTitle = "VESALIUS",
    tls: Encrypt = False,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    tries: Tries = 5,
) -> None:
    """List the studies, series or images that a node or server has.

    Leaves with 0 if all is well (also where nothing is found), 2 for a wrong command, 3 where the
    other side cannot be reached or refuses, 5 for a fault of the program.
    """
    from vesalius.io.dicom import Query, Retry
    from vesalius.io.dicom import find as ask

    other = _peer(peer, own_title, encrypt=tls, security=_tls(ca, certificate, key))
    query = Query(study, series, patient, date, modality, accession)
    for one in ask(other, query, level=level.value, retry=Retry(tries)):
        typer.echo(_line(one, identifying=identifying, as_json=as_json))


@app.command("fetch", short_help="Fetch what is not here yet.")
def fetch(
    peer: PeerText,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is fetched.")],
    study: Study = "",
    series: Series = "",
    patient: Patient = "",
    date: Date = "",
    modality: Modality = "",
    accession: Accession = "",
    way: Annotated[
        Way, typer.Option("--way", help="get: same connection; move: a receiver is opened here.")
    ] = Way.get,
    receive_host: Annotated[
        str, typer.Option("--receive-host", help="Address that the receiver listens at.")
    ] = "127.0.0.1",
    receive_port: Annotated[
        int, typer.Option("--receive-port", help="Port that the receiver listens at.")
    ] = 11112,
    own_title: OwnTitle = "VESALIUS",
    tls: Encrypt = False,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    tries: Tries = 5,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Fetch every instance that fits and is not here yet; run again to go on after an interruption.

    Leaves with 0 if all is here, 2 for a wrong command, 3 where the other side cannot be reached
    or refuses, 4 where some instances were not delivered, 5 for a fault of the program.
    """
    from vesalius.io.dicom import Query, Retry, Transfer
    from vesalius.io.dicom import fetch as take

    security = _tls(ca, certificate, key)
    other = _peer(peer, own_title, encrypt=tls, security=security)
    query = Query(study, series, patient, date, modality, accession)
    options = Transfer(
        way.value,
        Retry(tries),
        receive_host=receive_host,
        receive_port=receive_port,
        receive_tls=security if tls and certificate else None,
    )
    with watch(progress, quiet=quiet) as on_step:
        done = take(other, query, out, options=options, on_step=on_step)
    _tell(done, "fetched", f" in {out}", quiet=quiet)


@app.command("send", short_help="Send files and folders.")
def send(
    peer: PeerText,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Keeps what was accepted, so that it is not sent again."),
    ] = None,
    own_title: OwnTitle = "VESALIUS",
    tls: Encrypt = False,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    tries: Tries = 5,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Send DICOM files to a node or server, as they are: names are not removed.

    Leaves with 0 if all was accepted, 2 for a wrong command, 3 where the other side cannot be
    reached or refuses, 4 where some instances were refused, 5 for a fault of the program.
    """
    from vesalius.io.dicom import Retry, Transfer
    from vesalius.io.dicom import send as give

    other = _peer(peer, own_title, encrypt=tls, security=_tls(ca, certificate, key))
    with watch(progress, quiet=quiet) as on_step:
        done = give(
            other, paths, record=record or "", options=Transfer(retry=Retry(tries)), on_step=on_step
        )
    _tell(done, "sent", "", quiet=quiet)


@app.command("listen", short_help="Receive what allowed nodes send.")
def listen(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is received.")],
    allow: Annotated[list[str], typer.Option("--allow", help="AE title that may call; repeat.")],
    port: Annotated[int, typer.Option("--port", help="Port to listen at; 0 takes any.")] = 11112,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 is every one.")
    ] = "127.0.0.1",
    own_title: OwnTitle = "VESALIUS",
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    count: Annotated[
        int, typer.Option("--count", min=0, help="End after so many instances; 0 never ends.")
    ] = 0,
    quiet: Quiet = False,
) -> None:
    """Receive what allowed nodes send, until it is interrupted; with --certificate over TLS.

    Leaves with 0 if all was kept, 2 for a wrong command, 3 where the port cannot be used, 4 where
    some instances were refused, 5 for a fault of the program.
    """
    from vesalius.io.dicom import Receiver
    from vesalius.io.dicom import listen as run

    security = _tls(ca, certificate, key) if certificate else None
    receiver = Receiver(tuple(allow), port, own_title, host, security)
    with run(receiver, out) as here:
        if not quiet:
            typer.echo(f"listening at {host}:{here.port} as {own_title} for {', '.join(allow)}")
        try:
            while not count or here.outcome.done + here.outcome.known < count:
                time.sleep(0.1)
        except KeyboardInterrupt:
            pass
        done = here.outcome
    _tell(done, "received", f" in {out}", quiet=quiet)


def _tls(ca: Path | None, certificate: Path | None, key: Path | None) -> "Tls":
    from vesalius.io.dicom import Tls

    return Tls(ca or "", certificate or "", key or "")


def _peer(text: str, own_title: str, *, encrypt: bool, security: "Tls") -> "Peer":
    from vesalius.io.dicom import Node, WebNode

    if text.startswith(("https://", "http://")):
        return WebNode(text, security)
    if (security.ca or security.certificate) and not encrypt:
        raise typer.BadParameter("--ca and --certificate of a DICOM node need --tls")
    named = _NODE.fullmatch(text)
    if named is None:
        raise typer.BadParameter(
            "the peer must be TITLE@HOST:PORT, such as PACS@10.0.0.5:104, or an https address"
        )
    host = named["host"].removeprefix("[").removesuffix("]")
    tls = security if encrypt else None
    return Node(host, int(named["port"]), named["title"], own_title, tls)


def _line(one: "Match", *, identifying: bool, as_json: bool) -> str:
    plain = {
        "study": one.study,
        "series": one.series,
        "instance": one.instance,
        "modality": one.modality,
        "instances": one.instances,
    }
    shown = {k: v for k, v in plain.items() if v}
    told = dict(one.entries) if identifying else {}
    if as_json:
        return json.dumps(shown | ({"entries": told} if told else {}), ensure_ascii=True)
    return printable("  ".join(f"{k}={v}" for k, v in (shown | told).items() if v != ""))


def _tell(done: "Outcome", verb: str, where: str, *, quiet: bool) -> None:
    for failure in done.failures[:_TOLD]:
        typer.echo(printable(f"error: {failure.name}: {failure.reason}"), err=True)
    if len(done.failures) > _TOLD:
        typer.echo(f"error: and {len(done.failures) - _TOLD} more", err=True)
    if not quiet:
        size = f"{done.bytes / 1e6:.1f} MB"
        failed = f", {len(done.failures)} failed" if done.failures else ""
        typer.echo(f"{done.done} instances {verb} ({size}), {done.known} known{failed}{where}")
    if not done.complete:
        raise typer.Exit(PARTIAL)
