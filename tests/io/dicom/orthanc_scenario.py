"""What is done with a real Orthanc; run inside a network namespace of its own, prints JSON."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from nodes import STUDY, datasets, make_authority, make_series
from phantoms_io import write_slice

from vesalius.errors import VesaliusError
from vesalius.io.dicom import (
    Node,
    Query,
    Retry,
    Tls,
    Transfer,
    WebNode,
    echo,
    fetch,
    find,
    send,
)

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SOON = Retry(tries=3, first_s=0.1)
QUICK = Transfer(retry=SOON)
ALL = Query(study=STUDY)
PORT, WEB, MOVE = 4242, 8042, 11112


@contextmanager
def orthanc(folder: Path, **more: object) -> Iterator[None]:
    """Run Orthanc on loopback until the block ends."""
    folder.mkdir()
    settings: dict[str, object] = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAet": "ORTHANC",
        "DicomPort": PORT,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "DicomModalities": {"us": ["VESALIUS", "127.0.0.1", MOVE]},
        "HttpPort": WEB,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"ann": "hunter2"},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings | more))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait(lambda: b"Orthanc has started" in (folder / "log").read_bytes())
            yield
        finally:
            child.terminate()
            child.wait()


def wait(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def outcome(call: Callable[[], Any]) -> list[object]:
    """Give done, known and failed of a transfer, or the error."""
    try:
        done = call()
    except VesaliusError as error:
        return [type(error).__name__, str(error)]
    return [done.done, done.known, len(done.failures)]


def same(out: Path, archive: Path) -> bool:
    """Say whether all was fetched with its samples and its patient."""
    got, wanted = datasets(out), datasets(archive)
    return got.keys() == wanted.keys() and all(
        got[k].PixelData == one.PixelData and got[k].PatientName == one.PatientName
        for k, one in wanted.items()
    )


def over_dicom(top: Path, archive: Path) -> dict[str, object]:
    node = Node("127.0.0.1", PORT, "ORTHANC", timeout_s=20)
    told: dict[str, object] = {}
    echo(node)
    record = top / "sent.sqlite"
    told["send"] = outcome(lambda: send(node, [archive], record=record, options=QUICK))
    told["send again"] = outcome(lambda: send(node, [archive], record=record, options=QUICK))
    told["send twice"] = outcome(lambda: send(node, [archive], options=QUICK))
    told["find"] = [m.study for m in find(node, Query(patient="secret"))]
    series = find(node, ALL, level="series")
    told["series"] = sorted((m.series, m.modality, m.instances) for m in series)
    told["get"] = outcome(lambda: fetch(node, ALL, top / "get", options=QUICK))
    told["got"] = same(top / "get", archive)
    told["get again"] = outcome(lambda: fetch(node, ALL, top / "get", options=QUICK))
    for path in sorted((top / "get").rglob("*.dcm"))[:2]:
        path.unlink()
    told["get rest"] = outcome(lambda: fetch(node, ALL, top / "get", options=QUICK))
    moving = Transfer("move", SOON, receive_port=MOVE)
    told["move"] = outcome(lambda: fetch(node, ALL, top / "move", options=moving))
    told["moved"] = same(top / "move", archive)
    stranger = Node("127.0.0.1", PORT, "ORTHANC", "STRANGER", timeout_s=5)
    told["stranger"] = outcome(lambda: send(stranger, [archive], options=QUICK))
    other = Node("127.0.0.1", PORT, "OTHER", timeout_s=5)
    told["other"] = outcome(lambda: send(other, [archive], options=QUICK))
    return told


def over_web(top: Path, archive: Path) -> dict[str, object]:
    node = WebNode(f"http://localhost:{WEB}/dicom-web")
    told: dict[str, object] = {}
    os.environ |= {"VESALIUS_DICOM_USER": "ann", "VESALIUS_DICOM_PASSWORD": "wrong"}
    told["wrong password"] = outcome(lambda: send(node, [archive], options=QUICK))
    os.environ["VESALIUS_DICOM_PASSWORD"] = "hunter2"
    echo(node)
    told["qido"] = sorted(m.study for m in find(node, Query(patient="secret")))
    found = find(node, Query(study=STUDY, series="1.2.3"), level="image")
    told["images"] = len(found)
    told["wado"] = outcome(lambda: fetch(node, ALL, top / "wado", options=QUICK))
    told["wadoed"] = same(top / "wado", archive)
    (min((top / "wado").rglob("*.dcm"))).unlink()
    told["wado rest"] = outcome(lambda: fetch(node, ALL, top / "wado", options=QUICK))
    more = make_series(top / "more", 4, series="1.2.9")
    told["stow"] = outcome(lambda: send(node, [more], options=QUICK))
    one = Query(study=STUDY, series="1.2.9")
    told["stowed"] = outcome(lambda: fetch(node, one, top / "back", options=QUICK))
    told["stowed same"] = same(top / "back", more)
    return told


FETCH = """
import sys
from vesalius.io.dicom import Node, Query, fetch
fetch(Node("127.0.0.1", {port}, "ORTHANC"), Query(study="1.2.77"), sys.argv[1])
"""


def killed(top: Path) -> dict[str, object]:
    """Kill a fetch in the middle, and go on."""
    node = Node("127.0.0.1", PORT, "ORTHANC", timeout_s=20)
    large = top / "large"
    large.mkdir()
    samples = np.random.default_rng(1).integers(0, 4096, (256, 256)).astype(np.uint16)
    for k in range(150):
        uids = {"StudyInstanceUID": "1.2.77", "SeriesInstanceUID": "1.2.78"}
        write_slice(large, k, values=samples, SOPInstanceUID=f"1.2.78.{k}", **uids)
    send(node, [large], options=QUICK)
    out = top / "killed"
    child = subprocess.Popen([sys.executable, "-c", FETCH.format(port=PORT), str(out)])
    wait(lambda: len(list(out.rglob("*.dcm"))) >= 10)
    child.kill()
    child.wait()
    first = {p: hashlib.sha256(p.read_bytes()).digest() for p in out.rglob("*.dcm")}
    done = fetch(node, Query(study="1.2.77"), out, options=QUICK)
    return {
        "killed at": len(first),
        "resumed": [done.done, done.known, len(done.failures)],
        "resumed same": same(out, large)
        and all(hashlib.sha256(p.read_bytes()).digest() == d for p, d in first.items()),
    }


def over_tls(top: Path, archive: Path) -> dict[str, object]:
    """Send and get over TLS; HTTPS is left: Debian's Orthanc 1.10.1 dies of any such request."""
    files = make_authority(top)
    tls = {
        "DicomTlsEnabled": True,
        "DicomTlsPrivateKey": str(files.server_key),
        "DicomTlsCertificate": str(files.server),
        "DicomTlsTrustedCertificates": str(files.ca),
    }
    known = Tls(files.ca, files.client, files.client_key)
    told: dict[str, object] = {}
    with orthanc(top / "tls", **tls):
        node = Node("127.0.0.1", PORT, "ORTHANC", tls=known, timeout_s=20)
        told["tls send"] = outcome(lambda: send(node, [archive], options=QUICK))
        told["tls get"] = outcome(lambda: fetch(node, ALL, top / "tls-get", options=QUICK))
        plain = Node("127.0.0.1", PORT, "ORTHANC", tls=Tls(), timeout_s=5)
        told["tls stranger"] = outcome(lambda: send(plain, [archive], options=QUICK))
    return told


def main(top: Path) -> None:
    archive = make_series(top / "archive", 12)
    make_series(archive, 5, series="1.2.4")
    told: dict[str, object] = {}
    with orthanc(top / "plain"):
        told |= over_dicom(top, archive) | killed(top)
        if PLUGIN.exists():
            told |= over_web(top, archive)
    node = Node("127.0.0.1", PORT, "ORTHANC", timeout_s=5)
    told["down"] = outcome(lambda: send(node, [archive], options=QUICK))
    told |= over_tls(top, archive)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
