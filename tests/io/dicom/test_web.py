"""The network over DICOMweb: QIDO, WADO, STOW; passwords, redirects, failures."""

import logging
from pathlib import Path

import pydicom
import pytest
from nodes import STUDY, Web, datasets, free_port, make_series

from vesalius import io
from vesalius.errors import ConfigError, FormatError, NetworkError
from vesalius.io.dicom import Query, Retry, Transfer, WebNode, echo, fetch, find, send

SOON = Retry(tries=3, first_s=0.01)
QUICK = Transfer(retry=SOON)
ALL = Query(study=STUDY)
BASIC = "Basic dXNlcjpwYXNzLXdvcmQ="  # user:pass-word


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"VESALIUS_DICOM_{word}", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_series(tmp_path / "archive")


# -- find


def test_echo_says_nothing_when_all_is_well(archive: Path) -> None:
    with Web(archive).running() as web:
        echo(WebNode(web.url))


def test_find_lists_studies_series_and_images_page_by_page(archive: Path) -> None:
    make_series(archive, 5, series="1.2.4")
    with Web(archive).running() as web:
        (study,) = find(WebNode(web.url), Query(patient="secret"))
        assert (study.study, study.entries["StudyDate"]) == (STUDY, "20200102")
        series = find(WebNode(web.url), ALL, level="series")
        assert [(m.series, m.modality) for m in series] == [("1.2.3", "CT"), ("1.2.4", "CT")]
        images = find(WebNode(web.url), Query(study=STUDY, series="1.2.4"), level="image")
        assert [m.instance for m in images] == [f"1.2.4.{k}" for k in range(1, 6)]
        assert find(WebNode(web.url), Query(patient="nobody")) == ()


@pytest.mark.parametrize("answer", [b"<html>", b'[{"0020000D": 3}]', b"[3]", b'{"x": '])
def test_an_answer_that_is_none_is_told(archive: Path, answer: bytes) -> None:
    with (
        Web(archive, answer=answer).running() as web,
        pytest.raises(NetworkError, match=r"must answer (as DICOMweb does|with DICOM JSON)"),
    ):
        find(WebNode(web.url), ALL, retry=SOON)


# -- fetch


def test_fetch_brings_every_instance_once(archive: Path, tmp_path: Path) -> None:
    make_series(archive, 2, series="1.2.4")
    out = tmp_path / "out"
    with Web(archive).running() as web:
        done = fetch(WebNode(web.url), ALL, out, options=QUICK)
        assert (done.done, done.known, done.complete) == (5, 0, True)
        web.seen.clear()
        again = fetch(WebNode(web.url), ALL, out, options=QUICK)
        assert (again.done, again.known) == (0, 5)
        assert not [path for _, path, _ in web.seen if "instances/" in path]
    for name, one in datasets(out).items():
        assert one == datasets(archive)[name]
    assert {p.read_bytes()[:132] for p in out.rglob("*.dcm")} == {bytes(128) + b"DICM"}


def test_only_what_is_missing_is_asked_for(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Web(archive).running() as web:
        fetch(WebNode(web.url), ALL, out, options=QUICK)
        (out / "1.2.3" / "1.2.3.2.dcm").unlink()
        web.seen.clear()
        assert fetch(WebNode(web.url), ALL, out, options=QUICK).done == 1
        asked = [path for _, path, _ in web.seen if path.endswith("/instances/1.2.3.2")]
        assert len(asked) == 1
        assert not [path for _, path, _ in web.seen if path.endswith("/series/1.2.3")]


def test_fetching_and_receiving_share_what_is_here(archive: Path, tmp_path: Path) -> None:
    from nodes import Pacs

    from vesalius.io.dicom import Node

    with Pacs(archive).running() as pacs, Web(archive).running() as web:
        fetch(Node("127.0.0.1", pacs.port, "PACS"), ALL, tmp_path / "out", options=QUICK)
        assert fetch(WebNode(web.url), ALL, tmp_path / "out", options=QUICK).known == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_answers_are_met_with_patience(
    archive: Path, tmp_path: Path, status: int
) -> None:
    with Web(archive, fail=[status, status]).running() as web:
        assert fetch(WebNode(web.url), ALL, tmp_path / "out", options=QUICK).done == 3


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"must let us in, it does not \(HTTP 401\): set VESALIUS_DICOM_USER"),
        (403, r"must let us in, it does not \(HTTP 403\)"),
        (404, r"must do what it is asked, it does not \(HTTP 404\): check the address"),
        (501, r"\(HTTP 501\)"),
    ],
)
def test_final_answers_are_told_at_once(archive: Path, status: int, said: str) -> None:
    with Web(archive, fail=[status]).running() as web, pytest.raises(NetworkError, match=said):
        find(WebNode(web.url), ALL, retry=Retry(tries=3, first_s=9))


def test_a_server_that_stays_busy_is_told(archive: Path) -> None:
    with (
        Web(archive, fail=[503] * 9).running() as web,
        pytest.raises(NetworkError, match=r"\(HTTP 503\) \(tried 3 times\)"),
    ):
        find(WebNode(web.url), ALL, retry=SOON)


def test_a_server_that_is_down_is_told_after_retries() -> None:
    node = WebNode(f"http://127.0.0.1:{free_port()}/dicom-web")
    with pytest.raises(
        NetworkError, match=r"server '127.0.0.1' must answer, it does not .* \(tried 3 times\)"
    ):
        echo(node, retry=SOON)


def test_an_endless_answer_is_cut_off(archive: Path, tmp_path: Path) -> None:
    options = Transfer(retry=SOON, budget=io.Budget(bytes=1 << 22))
    with (
        Web(archive, endless=True).running() as web,
        pytest.raises(FormatError, match=r"must send at most 0.00391 GiB, it sends more"),
    ):
        fetch(WebNode(web.url), ALL, tmp_path / "out", options=options)


def test_what_was_not_asked_for_is_not_kept(archive: Path, tmp_path: Path) -> None:
    with Web(archive, imposter="1.2.666").running() as web:
        done = fetch(WebNode(web.url), ALL, tmp_path / "out", options=QUICK)
    assert (done.done, len(done.failures)) == (0, 3)
    assert list((tmp_path / "out").rglob("*.dcm")) == []


# -- send


def test_what_is_sent_is_stored(archive: Path, tmp_path: Path) -> None:
    record = tmp_path / "sent.sqlite"
    with Web(archive).running() as web:
        done = send(WebNode(web.url), [archive], record=record, options=QUICK)
        assert (done.done, done.complete) == (3, True)
        assert send(WebNode(web.url), [archive], record=record, options=QUICK).known == 3
        assert web.stored == datasets(archive)
        assert {bytes(d.preamble) for d in web.stored.values()} == {bytes(128)}


def test_a_large_file_is_sent(archive: Path, tmp_path: Path) -> None:
    path = min(archive.iterdir())
    one = pydicom.dcmread(path)
    one.PixelData = bytes(3 << 20)
    one.save_as(path)
    with Web(archive).running() as web:
        assert send(WebNode(web.url), [path], options=QUICK).complete
        assert len(web.stored["1.2.3.1"].PixelData) == 3 << 20


@pytest.mark.parametrize(
    ("answer", "said"), [(b"", "does not take that kind"), (b"x", "the server refuses it")]
)
def test_what_a_server_refuses_is_a_failure(archive: Path, answer: bytes, said: str) -> None:
    with Web(archive, refuse=True, answer=answer).running() as web:
        done = send(WebNode(web.url), [archive], options=QUICK)
    assert (done.done, len(done.failures)) == (0, 3)
    assert said in done.failures[0].reason


def test_sending_goes_on_after_a_failure(archive: Path) -> None:
    with Web(archive, fail=[503]).running() as web:
        assert send(WebNode(web.url), [archive], options=QUICK).done == 3
        assert sorted(web.stored) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]


# -- secrets


def test_a_password_goes_to_the_server_and_nowhere_else(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("VESALIUS_DICOM_USER", "user")
    monkeypatch.setenv("VESALIUS_DICOM_PASSWORD", "pass-word")
    with Web(archive, authorization=BASIC).running() as web:
        assert fetch(WebNode(web.url), ALL, tmp_path / "out", options=QUICK).done == 3
        assert send(WebNode(web.url), [archive], options=QUICK).done == 3
    assert "pass-word" not in caplog.text
    assert BASIC not in caplog.text
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"pass-word" not in written


def test_a_token_goes_to_the_server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_TOKEN", "t0ken")
    with Web(archive, authorization="Bearer t0ken").running() as web:
        assert len(find(WebNode(web.url), Query())) == 1


def test_a_wrong_password_is_told_without_it(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_USER", "user")
    monkeypatch.setenv("VESALIUS_DICOM_PASSWORD", "not-this")
    with (
        Web(archive, authorization=BASIC).running() as web,
        pytest.raises(NetworkError, match=r"must let us in") as told,
    ):
        echo(WebNode(web.url))
    assert "not-this" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_redirect_to_another_server_does_not_get_the_password(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_TOKEN", "t0ken")
    with Web(archive).running() as thief, Web(archive).running() as web:
        web.redirect = f"http://localhost:{thief.port}"
        find(WebNode(web.url), Query())
        assert [h.get("Authorization") for _, _, h in web.seen] == ["Bearer t0ken"] * 2
        assert [h.get("Authorization") for _, _, h in thief.seen] == [None] * 2


def test_a_password_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_TOKEN", "t0ken")
    with pytest.raises(ConfigError, match=r"must begin with https:// when a password or token is"):
        echo(WebNode("http://pacs.example/dicom-web"))


def test_an_address_holds_no_password() -> None:
    with pytest.raises(ConfigError, match=r"must hold no user and password") as told:
        WebNode("https://user:hunter2@pacs.example/dicom-web")
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("url", ["pacs.example", "ftp://pacs.example/x", "https://", "file:///etc"])
def test_refuses_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"must have an address such as https://host/dicom-web"):
        WebNode(url)


def test_no_query_of_a_patient_is_told(archive: Path) -> None:
    with (
        Web(archive, fail=[404]).running() as web,
        pytest.raises(NetworkError) as told,
    ):
        find(WebNode(web.url), Query(patient="secret"))
    assert "secret" not in str(told.value)
    assert told.value.__cause__ is None
