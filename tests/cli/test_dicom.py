"""``vesalius dicom``: find, fetch, send and listen on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nodes import STUDY, Pacs, Web, datasets, free_port, make_series

from vesalius.io.dicom import Receiver, listen


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"VESALIUS_DICOM_{word}", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_series(tmp_path / "archive")


def at(port: int, title: str = "PACS") -> str:
    return f"{title}@127.0.0.1:{port}"


def test_find_shows_no_patient_unless_asked(vesalius, archive):
    with Pacs(archive).running() as pacs:
        plain = vesalius("dicom", "find", at(pacs.port), "--patient", "secret")
        full = vesalius("dicom", "find", at(pacs.port), "--patient", "secret", "--identifying")
    assert plain.code == 0
    assert f"study={STUDY}" in plain.out
    assert "Doe" not in plain.out + plain.err
    assert "PatientName=Doe^Jane" in full.out


def test_find_of_images_as_json(vesalius, archive):
    with Web(archive).running() as web:
        words = ["--study", STUDY, "--series", "1.2.3", "--level", "image", "--json"]
        done = vesalius("dicom", "find", web.url, *words)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [one["instance"] for one in found] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]


def test_what_a_node_answers_cannot_steer_the_terminal(vesalius, archive):
    for path in archive.iterdir():
        path.write_bytes(path.read_bytes().replace(b"Doe^Jane", b"D\x1b[2Jane"[:8]))
    with Pacs(archive).running() as pacs:
        done = vesalius("dicom", "find", at(pacs.port), "--study", STUDY, "--identifying")
    assert "PatientName=D?[2Jan" in done.out
    assert "\x1b" not in done.out


def test_fetch_brings_all_and_knows_it_the_second_time(vesalius, archive, tmp_path):
    words = ["--study", STUDY, "-o", tmp_path / "out"]
    with Pacs(archive).running() as pacs:
        first = vesalius("dicom", "fetch", at(pacs.port), *words)
        again = vesalius("dicom", "fetch", at(pacs.port), *words, "-q")
    assert first.code == again.code == 0
    assert first.out.startswith("3 instances fetched (0.0 MB), 0 known in ")
    assert again.out == ""
    assert datasets(tmp_path / "out") == datasets(archive)


def test_fetch_by_move(vesalius, archive, tmp_path):
    port = free_port()
    words = ["--study", STUDY, "-o", tmp_path / "out", "--way", "move", "--receive-port", port]
    with Pacs(archive, destinations={"VESALIUS": port}).running() as pacs:
        assert vesalius("dicom", "fetch", at(pacs.port), *words).code == 0
    assert len(datasets(tmp_path / "out")) == 3


def test_fetch_ends_with_4_where_something_is_not_delivered(vesalius, archive, tmp_path):
    with Pacs(archive, hide=frozenset({"1.2.3.2"})).running() as pacs:
        words = ["--study", STUDY, "-o", tmp_path / "out", "--tries", "1"]
        done = vesalius("dicom", "fetch", at(pacs.port), *words)
    assert done.code == 4
    assert "error: 1.2.3.2: the other side did not deliver it" in done.err
    assert "2 instances fetched" in done.out
    assert "1 failed" in done.out


def test_a_node_that_is_down_ends_with_3(vesalius, tmp_path):
    words = ["--study", STUDY, "-o", tmp_path / "out", "--tries", "1"]
    done = vesalius("dicom", "fetch", at(free_port()), *words)
    assert done.code == 3
    assert "must answer, it does not: Connection refused" in done.err


def test_fetch_of_everything_ends_with_3(vesalius, tmp_path):
    done = vesalius("dicom", "fetch", at(1), "-o", tmp_path / "out")
    assert done.code == 3
    assert "must name a study, patient, accession number or date" in done.err


def test_send_to_a_node_and_to_a_server(vesalius, archive, tmp_path):
    with listen(Receiver(("VESALIUS",), 0, "HERE"), tmp_path / "in") as here:
        words = [archive, "--record", tmp_path / "sent.sqlite"]
        done = vesalius("dicom", "send", at(here.port, "HERE"), *words)
        again = vesalius("dicom", "send", at(here.port, "HERE"), *words)
    assert "3 instances sent" in done.out
    assert "0 instances sent (0.0 MB), 3 known" in again.out
    assert len(datasets(tmp_path / "in")) == 3
    with Web(archive).running() as web:
        assert vesalius("dicom", "send", web.url, archive).code == 0
        assert len(web.stored) == 3


def test_send_counts_failures_beyond_twenty(vesalius, archive, tmp_path):
    make_series(archive, 23)
    with Web(archive, refuse=True).running() as web:
        done = vesalius("dicom", "send", web.url, archive, "--tries", "1")
    assert done.code == 4
    assert done.err.count("error:") == 21
    assert "error: and 3 more" in done.err


@pytest.mark.parametrize(
    "peer", ["PACS", "PACS@host", "host:104", "@host:104", "PACS@host:x", "PACS@:104"]
)
def test_a_peer_that_is_none_ends_with_2(vesalius, peer):
    done = vesalius("dicom", "find", peer)
    assert done.code == 2
    assert "TITLE@HOST:PORT" in done.err


def test_certificates_without_tls_end_with_2(vesalius, tmp_path):
    done = vesalius("dicom", "find", at(1), "--ca", tmp_path / "ca.pem")
    assert done.code == 2
    assert "need --tls" in done.err


def test_listen_names_who_may_call(vesalius, tmp_path):
    assert vesalius("dicom", "listen", "-o", tmp_path).code == 2


@pytest.mark.parametrize("verb", ["find", "fetch", "send", "listen"])
def test_no_secret_is_an_argument(vesalius, verb):
    text = vesalius("dicom", verb, "--help").out.lower()
    assert "password" not in text
    assert "token" not in text


def run(*words: object) -> subprocess.Popen[str]:
    code = "from vesalius.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.slow
def test_listen_receives_until_it_has_enough(vesalius, archive, tmp_path):
    words = ["dicom", "listen", "-o", tmp_path / "in", "--allow", "VESALIUS", "--port", 0]
    child = run(*words, "--own-title", "HERE", "--count", 3)
    assert child.stdout is not None
    port = int(child.stdout.readline().split(" as ")[0].rpartition(":")[2])
    assert vesalius("dicom", "send", at(port, "HERE"), archive).code == 0
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")
    assert out.startswith("3 instances received")
    assert len(datasets(tmp_path / "in")) == 3


@pytest.fixture
def interruptible():
    """Let children hear SIGINT even where the suite runs in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_listen_ends_well_when_it_is_interrupted(tmp_path):
    child = run("dicom", "listen", "-o", tmp_path / "in", "--allow", "A", "--port", 0)
    assert child.stdout is not None
    assert "listening at 127.0.0.1:" in child.stdout.readline()
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")
    assert "0 instances received" in out


@pytest.mark.slow
def test_a_node_that_is_down_writes_one_line(tmp_path):
    child = run("dicom", "find", at(free_port()), "--tries", 1)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 3
    assert len(err.splitlines()) == 1
