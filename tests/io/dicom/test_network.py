"""The network over DICOM: find, get, move, send, receive; failures, resumption, refusals."""

import hashlib
import logging
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import torch
from nodes import STUDY, Pacs, Web, datasets, free_port, make_series
from phantoms_io import write_slice
from pydicom.uid import JPEGBaseline8Bit, RLELossless, generate_uid
from pynetdicom import AE

from vesalius import io
from vesalius.errors import ConfigError, FormatError, NetworkError, OutputError
from vesalius.io.dicom import (
    Node,
    Query,
    Receiver,
    Retry,
    Transfer,
    WebNode,
    echo,
    fetch,
    find,
    listen,
    send,
)
from vesalius.io.dicom._inbox import JOURNAL, Inbox
from vesalius.io.dicom._journal import journal
from vesalius.io.dicom._node import _send, check_count, is_transient, match, meaning
from vesalius.io.dicom._transfer import Outcome

SOON = Retry(tries=3, first_s=0.01)
QUICK = Transfer(retry=SOON)
ALL = Query(study=STUDY)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_series(tmp_path / "archive")


def at(pacs: Pacs) -> Node:
    return Node("127.0.0.1", pacs.port, "PACS", timeout_s=5)


def received(out: Path) -> list[str]:
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*.dcm"))


# -- find and echo


def test_echo_says_nothing_when_all_is_well(archive: Path) -> None:
    with Pacs(archive).running() as pacs:
        echo(at(pacs))


def test_find_lists_studies_series_and_images(archive: Path) -> None:
    make_series(archive, 2, series="1.2.4")
    with Pacs(archive).running() as pacs:
        (study,) = find(at(pacs), Query(patient="secret"))
        assert (study.study, study.series) == (STUDY, "")
        series = find(at(pacs), ALL, level="series")
        assert [(m.series, m.modality, m.instances) for m in series] == [
            ("1.2.3", "CT", 3),
            ("1.2.4", "CT", 3),
        ]
        images = find(at(pacs), Query(study=STUDY, series="1.2.4"), level="image")
        assert [m.instance for m in images] == ["1.2.4.1", "1.2.4.2"]
        assert {m.sop_class for m in images} == {pydicom.uid.CTImageStorage}


def test_find_of_nothing_gives_nothing(archive: Path) -> None:
    with Pacs(archive).running() as pacs:
        assert find(at(pacs), Query(patient="nobody")) == ()


def test_answers_do_not_show_the_patient(archive: Path) -> None:
    with Pacs(archive).running() as pacs:
        (study,) = find(at(pacs), Query(patient="secret"))
    assert study.entries["PatientName"] == "Doe^Jane"
    assert "Doe" not in repr(study)
    assert "secret" not in repr(Query(patient="secret", accession="secret"))


@pytest.mark.parametrize(
    ("query", "level"), [(Query(), "series"), (Query(), "image"), (ALL, "image")]
)
def test_find_needs_the_uid_of_what_holds_it(query: Query, level: str) -> None:
    with pytest.raises(ConfigError, match=r"a query for each .* must name the study"):
        find(Node("127.0.0.1", 1, "PACS"), query, level=level)  # type: ignore[arg-type]


def test_an_answer_with_a_damaged_value_is_told() -> None:
    raw = b"\x20\x00\x0d\x00UI\x04\x001.2\0" + b"\x28\x00\x10\x00US\x03\x00abc"
    answer = pydicom.dcmread(BytesIO(raw), force=True)
    with pytest.raises(NetworkError, match=r"an answer must hold values that fit their kind"):
        match(answer)


def test_more_answers_than_can_be_meant_are_refused() -> None:
    check_count(100_000, "PACS")
    with pytest.raises(NetworkError, match=r"'PACS' must answer with at most 100000 entries"):
        check_count(100_001, "PACS")


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_uids_that_a_node_invents_are_passed_over(archive: Path, tmp_path: Path) -> None:
    for path in archive.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.3.99", b"../../.."))
    with Pacs(archive).running() as pacs:
        done = fetch(at(pacs), Query(patient="secret"), tmp_path / "out", options=QUICK)
    assert done == Outcome()


# -- fetch


@pytest.mark.parametrize("way", ["get", "move"])
def test_fetch_brings_every_instance_as_it_is(archive: Path, tmp_path: Path, way: str) -> None:
    make_series(archive, 2, series="1.2.4")
    port = free_port()
    options = Transfer(way=way, retry=SOON, receive_port=port)  # type: ignore[arg-type]
    with Pacs(archive, destinations={"VESALIUS": port}).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=options)
    assert (done.done, done.known, done.complete) == (5, 0, True)
    assert received(tmp_path / "out") == [
        "1.2.3/1.2.3.1.dcm",
        "1.2.3/1.2.3.2.dcm",
        "1.2.3/1.2.3.3.dcm",
        "1.2.4/1.2.4.1.dcm",
        "1.2.4/1.2.4.2.dcm",
    ]
    for name, one in datasets(tmp_path / "out").items():
        assert one == datasets(archive)[name]
    back = io.open(tmp_path / "out" / "1.2.3").read()
    assert torch.equal(back.data[0, :, 0, 0], torch.tensor([-1024, -924, -824], dtype=torch.int16))


def test_files_have_a_preamble_of_zeros(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
    files = list((tmp_path / "out").rglob("*.dcm"))
    assert {p.read_bytes()[:132] for p in files} == {bytes(128) + b"DICM"}
    assert done.bytes == sum(p.stat().st_size for p in files)


def test_packed_instances_come_as_they_are_stored(tmp_path: Path) -> None:
    archive = make_series(tmp_path / "archive", 2)
    for path, syntax in zip(
        sorted(archive.iterdir()), (RLELossless, JPEGBaseline8Bit), strict=True
    ):
        one = pydicom.dcmread(path)
        one.file_meta.TransferSyntaxUID = syntax
        one.PixelData = pydicom.encaps.encapsulate([b"packed" * 10])
        one["PixelData"].VR = "OB"
        one.save_as(path)
    with Pacs(archive).running() as pacs:
        assert fetch(at(pacs), ALL, tmp_path / "out", options=QUICK).done == 2
    back = datasets(tmp_path / "out").values()
    assert [d.file_meta.TransferSyntaxUID for d in back] == [RLELossless, JPEGBaseline8Bit]
    assert all(b"packed" in d.PixelData for d in back)


def test_a_node_that_does_not_tell_classes_is_fetched_from(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive, classes=False).running() as pacs:
        assert fetch(at(pacs), ALL, tmp_path / "out", options=QUICK).done == 3


def test_the_second_time_nothing_is_asked_for(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive).running() as pacs:
        fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
        pacs.sent.clear()
        again = fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
    assert (again.done, again.known, pacs.sent) == (0, 3, [])


def test_only_what_is_missing_or_damaged_is_asked_for(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Pacs(archive).running() as pacs:
        fetch(at(pacs), ALL, out, options=QUICK)
        pacs.sent.clear()
        (out / "1.2.3" / "1.2.3.1.dcm").unlink()
        (out / "1.2.3" / "1.2.3.2.dcm").write_bytes(b"cut")
        again = fetch(at(pacs), ALL, out, options=QUICK)
    assert (again.done, again.known) == (2, 1)
    assert pacs.sent == ["1.2.3.1", "1.2.3.2"]
    assert len(datasets(out)) == 3


def test_a_file_that_was_published_but_not_noted_is_adopted(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Pacs(archive).running() as pacs:
        fetch(at(pacs), ALL, out, options=QUICK)
        with sqlite3.connect(out / JOURNAL) as base:
            base.execute("DELETE FROM received")
        pacs.sent.clear()
        again = fetch(at(pacs), ALL, out, options=QUICK)
    assert (again.known, pacs.sent) == (3, [])


def test_a_fetch_that_is_cut_off_goes_on(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive, cut_after=2).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
        assert pacs.sent == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert (done.done, done.complete) == (3, True)


def test_a_busy_node_is_asked_again(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive, busy=2).running() as pacs:
        assert fetch(at(pacs), ALL, tmp_path / "out", options=QUICK).done == 3


def test_a_node_that_never_sends_is_a_failure(archive: Path, tmp_path: Path) -> None:
    """It answers every C-GET with 0xA702; other series go on."""
    with Pacs(archive, deaf=True).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
        assert len([a for a in pacs.asked if a.QueryRetrieveLevel == "SERIES"]) == 4
    assert (done.done, len(done.failures)) == (0, 3)


def test_a_node_that_stays_busy_is_told(archive: Path, tmp_path: Path) -> None:
    with (
        Pacs(archive, busy=99).running() as pacs,
        pytest.raises(NetworkError, match=r"out of resources \(status 0xA700\) \(tried 3 times\)"),
    ):
        fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)


def test_what_is_not_delivered_is_a_failure(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive, hide=frozenset({"1.2.3.2"})).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
    assert (done.done, done.complete) == (2, False)
    assert [(f.name, f.reason) for f in done.failures] == [
        ("1.2.3.2", "the other side did not deliver it")
    ]


def test_what_was_not_asked_for_is_not_kept(archive: Path, tmp_path: Path) -> None:
    one = next(iter(datasets(archive).values()))
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = "1.2.666"
    with Pacs(archive, imposter=one).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=QUICK)
    assert done.done == 0
    assert received(tmp_path / "out") == []


def test_fetch_of_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must name a study, patient, accession number or date"):
        fetch(Node("127.0.0.1", 1, "PACS"), Query(modality="CT"), tmp_path / "out")


def test_fetch_by_patient_and_modality(archive: Path, tmp_path: Path) -> None:
    with Pacs(archive).running() as pacs:
        asked = Query(patient="secret", modality="CT")
        assert fetch(at(pacs), asked, tmp_path / "out", options=QUICK).done == 3
        none = Query(patient="secret", modality="MR")
        assert fetch(at(pacs), none, tmp_path / "none", options=QUICK) == Outcome()


def test_more_bytes_than_the_budget_are_cut_off(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    make_series(archive, 1)
    path = next(archive.iterdir())
    one = pydicom.dcmread(path)
    one.PixelData = bytes(1 << 22)
    one.save_as(path)
    options = Transfer(retry=SOON, budget=io.Budget(bytes=1 << 20))
    with (
        Pacs(archive).running() as pacs,
        pytest.raises(FormatError, match=r"the other side must send at most 0.000977 GiB"),
    ):
        fetch(at(pacs), ALL, tmp_path / "out", options=options)
    assert received(tmp_path / "out") == []


def test_more_instances_than_the_budget_are_failures(archive: Path, tmp_path: Path) -> None:
    make_series(archive, 3, series="1.2.4")
    options = Transfer(retry=SOON, budget=io.Budget(files=4))
    with Pacs(archive).running() as pacs:
        done = fetch(at(pacs), ALL, tmp_path / "out", options=options)
    assert (done.done, len(done.failures)) == (4, 2)


def test_steps_are_told(archive: Path, tmp_path: Path) -> None:
    steps = []
    with Pacs(archive).running() as pacs:
        fetch(at(pacs), ALL, tmp_path / "out", options=QUICK, on_step=steps.append)
    assert [(s.what, s.done, s.total) for s in steps] == [("fetch: series 1", 1, 1)]


def test_refuses_to_fetch_into_a_file(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match=r"output 'out' must be a folder to receive in"):
        fetch(Node("127.0.0.1", 1, "PACS"), ALL, tmp_path / "out")


# -- connections that fail


def test_a_node_that_is_down_is_told_after_retries() -> None:
    node = Node("127.0.0.1", free_port(), "PACS", timeout_s=2)
    start = time.monotonic()
    with pytest.raises(
        NetworkError, match=r"'PACS@127.0.0.1:\d+' must answer, .* refused.* \(tried 3 times\)"
    ):
        echo(node, retry=Retry(tries=3, first_s=0.1))
    assert time.monotonic() - start >= 0.3
    with pytest.raises(NetworkError, match=r"refused.* \(tried once\)"):
        echo(node, retry=Retry(tries=1))


def test_a_wrong_title_is_refused_at_once(archive: Path) -> None:
    with Pacs(archive).running() as pacs:
        stranger = Node("127.0.0.1", pacs.port, "PACS", "STRANGER")
        with pytest.raises(NetworkError, match=r"must accept a call of 'STRANGER', it rejects it"):
            echo(stranger, retry=Retry(tries=3, first_s=9))
        other = Node("127.0.0.1", pacs.port, "OTHER")
        with pytest.raises(NetworkError, match=r"called ae title not recognised"):
            echo(other, retry=Retry(tries=3, first_s=9))


def test_a_node_that_stores_only_is_told(tmp_path: Path) -> None:
    with listen(Receiver(("VESALIUS",), 0, "PACS"), tmp_path) as here:
        node = Node("127.0.0.1", here.port, "PACS")
        echo(node)
        with pytest.raises(NetworkError, match=r"must support what is asked, it accepts none"):
            find(node, ALL, retry=SOON)


def test_something_else_at_the_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(2):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        node = Node("127.0.0.1", server.getsockname()[1], "PACS", timeout_s=1)
        with pytest.raises(NetworkError, match=r"must answer, it does not: the connection was cut"):
            echo(node, retry=Retry(tries=1))
        thread.join()


def test_a_move_to_an_unknown_title_is_refused(archive: Path, tmp_path: Path) -> None:
    options = Transfer(way="move", retry=SOON, receive_port=free_port())
    with (
        Pacs(archive).running() as pacs,
        pytest.raises(NetworkError, match=r"it does not know the address of this AE title"),
    ):
        fetch(at(pacs), ALL, tmp_path / "out", options=options)


def test_statuses_are_told_apart() -> None:
    assert [is_transient(s) for s in (0xA700, 0xA702, 0x0213, 0x0110)] == [True] * 4
    assert [is_transient(s) for s in (0xA801, 0xA900, 0xC000, 0x0122, 0x0111)] == [False] * 5
    assert meaning(0xA701) == "out of resources (status 0xA701)"
    assert meaning(0xC123) == "it could not do it (status 0xC123)"


# -- send and listen


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(("VESALIUS", "SCANNER"), 0, "HERE")


def there(port: int, own_title: str = "VESALIUS") -> Node:
    return Node("127.0.0.1", port, "HERE", own_title, timeout_s=5)


def test_what_is_sent_is_received(archive: Path, tmp_path: Path, receiver: Receiver) -> None:
    (archive / "notes.txt").write_text("hello")
    with listen(receiver, tmp_path / "in") as here:
        done = send(there(here.port), [archive], options=QUICK)
        assert (done.done, done.known, done.complete) == (3, 0, True)
        assert here.outcome.done == 3
    for name, one in datasets(tmp_path / "in").items():
        assert one == datasets(archive)[name]


def test_an_instance_is_received_once(archive: Path, tmp_path: Path, receiver: Receiver) -> None:
    with listen(receiver, tmp_path / "in") as here:
        for _ in range(2):
            assert send(there(here.port), [archive], options=QUICK).done == 3
        assert (here.outcome.done, here.outcome.known) == (3, 3)
        times = {p: p.stat().st_mtime_ns for p in (tmp_path / "in").rglob("*.dcm")}
    with listen(receiver, tmp_path / "in") as here:
        send(there(here.port), [archive], options=QUICK)
        assert (here.outcome.done, here.outcome.known) == (0, 3)
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "in").rglob("*.dcm")}


def test_another_content_under_a_known_uid_is_refused(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    with listen(receiver, tmp_path / "in") as here:
        send(there(here.port), [archive], options=QUICK)
        before = datasets(tmp_path / "in")
        path = min(archive.iterdir())
        one = pydicom.dcmread(path)
        one.PatientName = "Other"
        one.save_as(path)
        done = send(there(here.port), [path], options=QUICK)
        assert here.outcome.failures[0].reason == done.failures[0].reason
    assert "an instance with that UID and another content is there" in done.failures[0].reason
    assert datasets(tmp_path / "in") == before


def test_a_caller_that_is_not_allowed_is_refused(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    with listen(receiver, tmp_path / "in") as here:
        assert send(there(here.port, "SCANNER"), [archive], options=QUICK).done == 3
        with pytest.raises(NetworkError, match=r"calling ae title not recognised"):
            send(there(here.port, "STRANGER"), [archive], options=QUICK)
        with pytest.raises(NetworkError, match=r"called ae title not recognised"):
            send(Node("127.0.0.1", here.port, "PACS"), [archive], options=QUICK)


@pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value length")
@pytest.mark.parametrize("uid", ["..", "../../evil", "1.2/../3", "", "1" * 65, "1..2", ".", "a"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID"])
def test_uids_that_are_none_never_become_paths(
    archive: Path, tmp_path: Path, uid: str, keyword: str
) -> None:
    one = next(iter(datasets(archive).values()))
    with pydicom.config.disable_value_validation():
        setattr(one, keyword, uid)
        path = tmp_path / "a.dcm"
        one.save_as(path)
    with journal(tmp_path / "log") as log:
        inbox = Inbox(tmp_path / "in", log, io.Budget())
        with pytest.raises(FormatError, match=r"must be numbers with dots between"):
            inbox.put(path.read_bytes(), uid)
    assert not (tmp_path / "in").exists()


def test_an_instance_under_anothers_name_is_refused(archive: Path, tmp_path: Path) -> None:
    data = min(archive.iterdir()).read_bytes()
    with journal(tmp_path / "log") as log:
        inbox = Inbox(tmp_path / "in", log, io.Budget())
        with pytest.raises(FormatError, match=r"must be the one that was asked for and announced"):
            inbox.put(data, "1.2.3.9")
        with pytest.raises(FormatError, match=r"must be a DICOM file with a header, it is not"):
            inbox.put(b"garbage", "1.2.3.9")
        assert inbox.put(data, "1.2.3.1") == "stored"
    assert inbox.outcome.done == 1


def test_a_hostile_sender_is_answered_with_a_status(tmp_path: Path, receiver: Receiver) -> None:
    """What goes wrong with one instance is told to the sender and noted; the node goes on."""
    folder = make_series(tmp_path / "bad", 2)
    paths = sorted(folder.iterdir())
    one = pydicom.dcmread(paths[0])
    del one.SeriesInstanceUID
    one.save_as(paths[0])
    with listen(receiver, tmp_path / "in") as here:
        done = send(there(here.port), [folder], options=QUICK)
        assert [f.name for f in here.outcome.failures] == ["1.2.3.1"]
    assert (done.done, [f.name for f in done.failures]) == (1, ["1.2.3.1"])


def test_a_receiver_stops_at_its_budget(archive: Path, tmp_path: Path, receiver: Receiver) -> None:
    with listen(receiver, tmp_path / "in", budget=io.Budget(files=2)) as here:
        done = send(there(here.port), [archive], options=QUICK)
        assert (done.done, len(done.failures)) == (2, 1)
        assert "at most 2 instances" in here.outcome.failures[0].reason
    with listen(receiver, tmp_path / "in2", budget=io.Budget(bytes=500)) as here:
        with pytest.raises(NetworkError, match=r"hung up or fell silent|the connection was cut"):
            send(there(here.port), [archive], options=QUICK)
        assert here.outcome.done == 0


def test_a_full_disk_is_told_as_out_of_resources(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.2.3").touch()  # stands where the folder of the series would
    with (
        listen(receiver, tmp_path / "in") as here,
        pytest.raises(NetworkError, match=r"must take what is sent: out of resources"),
    ):
        send(there(here.port), [archive], options=QUICK)


def test_a_record_keeps_from_sending_twice(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    record = tmp_path / "sent.sqlite"
    with listen(receiver, tmp_path / "in") as here:
        first = send(there(here.port), [archive], record=record, options=QUICK)
        again = send(there(here.port), [archive], record=record, options=QUICK)
        assert (first.done, again.done, again.known) == (3, 0, 3)
        assert here.outcome == Outcome(3, 0, here.outcome.bytes)
        make_series(archive, 4)
        more = send(there(here.port), [archive], record=record, options=QUICK)
        assert (more.done, more.known) == (1, 3)
    with listen(receiver, tmp_path / "other") as here:
        assert send(there(here.port), [archive], record=record, options=QUICK).done == 4


def test_sending_goes_on_after_a_cut(archive: Path, tmp_path: Path) -> None:
    """The receiver is ended in the middle and begun anew at the same port."""
    port = free_port()
    fixed = Receiver(("VESALIUS",), port, "HERE")
    make_series(archive, 40)
    began, ended = threading.Event(), threading.Event()

    def serve() -> None:
        with listen(fixed, tmp_path / "in") as here:
            began.set()
            while here.outcome.done < 10:
                time.sleep(0.005)
        with listen(fixed, tmp_path / "in"):
            ended.wait(60)

    thread = threading.Thread(target=serve)
    thread.start()
    began.wait()
    options = Transfer(retry=Retry(tries=20, first_s=0.05, longest_s=0.2))
    done = send(there(port), [archive], options=options)
    ended.set()
    thread.join()
    assert (done.done, done.complete) == (40, True)
    assert len(received(tmp_path / "in")) == 40


def test_named_files_that_are_no_dicom_are_failures(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    one = pydicom.dcmread(min(archive.iterdir()))
    del one.SOPInstanceUID
    one.save_as(tmp_path / "noname.dcm")
    paths = [tmp_path / "notes.txt", tmp_path / "noname.dcm", archive]
    with listen(receiver, tmp_path / "in") as here:
        done = send(there(here.port), paths, options=QUICK)
    assert done.done == 3
    assert [f.name for f in done.failures] == ["notes.txt", "noname.dcm"]
    assert "must have SOP class, SOP instance and transfer syntax" in done.failures[1].reason
    with pytest.raises(FormatError, match=r"'absent' must exist to be sent, it does not"):
        send(there(1), [tmp_path / "absent"])


@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_a_truncated_file_is_a_failure_and_the_rest_is_sent(
    archive: Path, tmp_path: Path, receiver: Receiver, keep: float
) -> None:
    path = min(archive.iterdir())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with listen(receiver, tmp_path / "in") as here, Web(archive).running() as web:
        for peer in (there(here.port), WebNode(web.url)):
            done = send(peer, [archive], options=QUICK)
            assert (done.done, len(done.failures)) == (2, 1)


def test_a_file_that_cannot_be_put_into_bytes_is_a_failure(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    one = pydicom.dcmread(min(archive.iterdir()))
    one.is_implicit = True

    class Broken:
        def send_c_store(self, file: object) -> None:
            raise ValueError("cannot be encoded")

    with pytest.raises(FormatError, match=r"a file to send must be sound, ValueError tells"):
        _send(Broken(), one, there(1))


def test_links_that_lead_out_are_not_sent(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.dcm").symlink_to(min(archive.iterdir()))
    with listen(receiver, tmp_path / "in") as here:
        done = send(there(here.port), [folder], options=QUICK)
    assert (done.done, [f.name for f in done.failures]) == (0, ["folder"])


def test_a_kind_that_is_not_taken_is_a_failure(tmp_path: Path, receiver: Receiver) -> None:
    folder = make_series(tmp_path / "a", 1)
    one = pydicom.dcmread(next(folder.iterdir()))
    one.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    one.save_as(folder / "deflated.dcm")
    write_slice(folder, 1, name="ok.dcm", StudyInstanceUID=STUDY, SOPInstanceUID="1.2.3.7")
    with listen(receiver, tmp_path / "in") as here:
        done = send(there(here.port), [folder], options=QUICK)
    assert done.done == 2
    assert "the node does not take Deflated Explicit VR Little Endian" in done.failures[0].reason


def test_a_port_in_use_is_told(tmp_path: Path, receiver: Receiver) -> None:
    with (
        listen(receiver, tmp_path) as here,
        pytest.raises(NetworkError, match=r"port \d+ must be free to receive at"),
        listen(Receiver(("A",), here.port), tmp_path / "b"),
    ):
        pass


@pytest.mark.slow
def test_many_kinds_are_sent_in_several_batches(tmp_path: Path, receiver: Receiver) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    from pynetdicom import AllStoragePresentationContexts

    kinds = [c.abstract_syntax for c in AllStoragePresentationContexts][:130]
    for k, kind in enumerate(kinds):
        path = write_slice(
            folder, 0, name=f"{k}.dcm", SOPInstanceUID=f"1.2.5.{k}", SOPClassUID=kind
        )
        one = pydicom.dcmread(path)
        one.file_meta.MediaStorageSOPClassUID = kind
        one.save_as(path)
    with listen(receiver, tmp_path / "in") as here:
        assert send(there(here.port), [folder], options=QUICK) == Outcome(
            130, 0, sum(p.stat().st_size for p in folder.iterdir())
        )
        assert here.outcome.done == 130


# -- killed in the middle

FETCH = """
import sys
from vesalius.io.dicom import Node, Query, fetch
fetch(Node("127.0.0.1", int(sys.argv[1]), "PACS"), Query(study="{study}"), sys.argv[2])
"""


@pytest.mark.slow
def test_kill_and_run_again_fetches_only_what_is_missing(tmp_path: Path) -> None:
    archive = make_series(tmp_path / "archive", 60)
    out = tmp_path / "out"
    with Pacs(archive).running() as pacs:
        words = [sys.executable, "-c", FETCH.format(study=STUDY), str(pacs.port), str(out)]
        child = subprocess.Popen(words)
        while len(list(out.glob("*/*.dcm"))) < 5:
            assert child.poll() is None
            time.sleep(0.005)
        child.kill()
        child.wait()
        there_now = {p: hashlib.sha256(p.read_bytes()).digest() for p in out.glob("*/*.dcm")}
        assert 5 <= len(there_now) < 60
        assert len(datasets(out)) == len(there_now)  # each is whole
        time.sleep(0.2)
        pacs.sent.clear()
        done = fetch(at(pacs), ALL, out, options=QUICK)
    assert (done.done, done.known) == (60 - len(there_now), len(there_now))
    assert len(pacs.sent) == done.done
    assert len(datasets(out)) == 60
    assert all(hashlib.sha256(p.read_bytes()).digest() == d for p, d in there_now.items())


# -- words


@pytest.mark.parametrize("title", ["", " A", "A ", "A" * 17, "A\\B", "Ä", "A\n", " "])
def test_refuses_titles_that_are_none(title: str) -> None:
    with pytest.raises(ConfigError, match=r"an AE title must be 1 to 16 ASCII characters"):
        Node("host", 104, title)


@pytest.mark.parametrize("title", ["A", "A B", "A" * 16, "X-1_@"])
def test_takes_titles(title: str) -> None:
    assert Node("host", 104, title).title == title


@pytest.mark.parametrize(("host", "port"), [("", 104), ("host", 0), ("host", 65536)])
def test_refuses_addresses_that_are_none(host: str, port: int) -> None:
    with pytest.raises(ConfigError, match=r"a node must have a host and a port from 1 to 65535"):
        Node(host, port, "PACS")


def test_a_receiver_must_name_who_may_call() -> None:
    with pytest.raises(ConfigError, match=r"a receiver must name the AE titles that may call"):
        Receiver(())
    with pytest.raises(ConfigError, match=r"a port must be from 0 to 65535, got -1"):
        Receiver(("A",), -1)


def test_refuses_queries_for_uids_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"study must be a UID, numbers with dots between"):
        Query(study="1.2*")
    with pytest.raises(ConfigError, match=r"series must be a UID"):
        Query(series="../x")
    assert Query(study=generate_uid()).study


@pytest.mark.parametrize("values", [(0, 1.0, 2.0), (1, -1.0, 2.0), (1, 3.0, 2.0)])
def test_refuses_a_retry_that_makes_no_sense(values: tuple[int, float, float]) -> None:
    with pytest.raises(ConfigError, match=r"retry must have tries >= 1 and 0 <= first_s"):
        Retry(*values)


def test_a_damaged_journal_is_told(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "log").write_bytes(b"garbage" * 1000)
    with pytest.raises(OutputError, match=r"journal 'log' must be a writable SQLite file"):
        send(there(1), [archive], record=tmp_path / "log")


def test_nothing_of_a_patient_is_logged(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Pacs(archive).running() as pacs:
        fetch(at(pacs), Query(patient="secret"), tmp_path / "out", options=QUICK)
    assert "secret" not in caplog.text
    assert "Doe" not in caplog.text


def test_pynetdicom_alone_agrees_on_what_is_received(
    archive: Path, tmp_path: Path, receiver: Receiver
) -> None:
    """Another program's sender, as a scanner would be."""
    entity = AE("SCANNER")
    entity.add_requested_context(pydicom.uid.CTImageStorage, "1.2.840.10008.1.2")
    with listen(receiver, tmp_path / "in") as here:
        held = entity.associate("127.0.0.1", here.port, ae_title="HERE")
        for path in sorted(archive.iterdir()):
            assert held.send_c_store(path).Status == 0
        held.release()
    got = datasets(tmp_path / "in")
    assert {d.file_meta.TransferSyntaxUID for d in got.values()} == {"1.2.840.10008.1.2"}
    assert [d.PixelData for d in got.values()] == [d.PixelData for d in datasets(archive).values()]
