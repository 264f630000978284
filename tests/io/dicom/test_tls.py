"""TLS: on both protocols, verified by default, with certificates on both sides."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from nodes import STUDY, Authority, Pacs, Web, datasets, make_authority, make_series

from vesalius.errors import ConfigError, NetworkError
from vesalius.io.dicom import (
    Node,
    Query,
    Receiver,
    Retry,
    Tls,
    Transfer,
    WebNode,
    echo,
    fetch,
    listen,
    send,
)

SOON = Retry(tries=2, first_s=0.01)
QUICK = Transfer(retry=SOON)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_series(tmp_path / "archive")


def server(files: Authority) -> ssl.SSLContext:
    return Tls(certificate=files.server, key=files.server_key).server()


def test_dicom_over_tls(files: Authority, archive: Path, tmp_path: Path) -> None:
    with Pacs(archive).running(server(files)) as pacs:
        node = Node("127.0.0.1", pacs.port, "PACS", tls=Tls(ca=files.ca))
        assert fetch(node, Query(study=STUDY), tmp_path / "out", options=QUICK).done == 3
    assert datasets(tmp_path / "out") == datasets(archive)


def test_dicom_refuses_a_stranger(files: Authority, archive: Path) -> None:
    with Pacs(archive).running(server(files)) as pacs:
        node = Node("127.0.0.1", pacs.port, "PACS", tls=Tls(), timeout_s=5)
        with pytest.raises(NetworkError, match=r"must prove its name with a certificate that is"):
            echo(node, retry=SOON)
        echo(replace(node, tls=Tls(verify=False)), retry=SOON)


def test_dicom_refuses_another_name(files: Authority, archive: Path) -> None:
    with Pacs(archive).running(server(files)) as pacs:
        node = Node("127.0.0.2", pacs.port, "PACS", tls=Tls(ca=files.ca), timeout_s=5)
        with pytest.raises(NetworkError, match=r"must (prove its name|answer)"):
            echo(node, retry=SOON)


def test_plain_callers_do_not_get_through_to_tls(files: Authority, archive: Path) -> None:
    with Pacs(archive).running(server(files)) as pacs:
        node = Node("127.0.0.1", pacs.port, "PACS", timeout_s=2)
        with pytest.raises(NetworkError, match=r"must answer, it does not"):
            echo(node, retry=Retry(tries=1))


def test_a_receiver_asks_for_certificates(files: Authority, archive: Path, tmp_path: Path) -> None:
    receiver = Receiver(("VESALIUS",), 0, "HERE", tls=Tls(files.ca, files.server, files.server_key))
    known = Tls(files.ca, files.client, files.client_key)
    with listen(receiver, tmp_path / "in") as here:
        node = Node("127.0.0.1", here.port, "HERE", tls=known, timeout_s=5)
        assert send(node, [archive], options=QUICK).done == 3
        with pytest.raises(NetworkError, match=r"must (answer|stay connected)"):
            send(replace(node, tls=Tls(files.ca)), [archive], options=QUICK)
        assert here.outcome.done == 3


def test_dicomweb_over_tls(files: Authority, archive: Path, tmp_path: Path) -> None:
    context = Tls(files.ca, files.server, files.server_key).server()
    with Web(archive).running(context) as web:
        url = web.url.replace("http:", "https:")
        known = Tls(files.ca, files.client, files.client_key)
        node = WebNode(url, known)
        assert fetch(node, Query(study=STUDY), tmp_path / "out", options=QUICK).done == 3
        assert send(node, [archive], options=QUICK).done == 3


def test_dicomweb_refuses_a_stranger(files: Authority, archive: Path) -> None:
    with Web(archive).running(server(files)) as web:
        url = web.url.replace("http:", "https:")
        with pytest.raises(NetworkError, match=r"certificate that is trusted, it does not: give"):
            echo(WebNode(url), retry=SOON)


def test_dicomweb_trusts_the_own_authority_whatever_the_environment_says(
    files: Authority, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files.client))
    with Web(archive).running(server(files)) as web:
        echo(WebNode(web.url.replace("http:", "https:"), Tls(ca=files.ca)))


def test_a_locked_key_takes_its_password_from_the_environment(
    files: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = Tls(files.ca, files.client, files.locked_key)
    monkeypatch.setenv("VESALIUS_DICOM_KEY_PASSWORD", "opensesame")
    assert locked.client().verify_mode is ssl.CERT_REQUIRED
    monkeypatch.delenv("VESALIUS_DICOM_KEY_PASSWORD")
    with pytest.raises(ConfigError, match=r"certificates must be readable PEM files"):
        locked.client()


def test_refuses_files_that_are_no_certificates(files: Authority, tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("garbage")
    for wrong in (Tls(ca=tmp_path / "a.pem"), Tls(ca="absent.pem"), Tls(certificate=files.ca)):
        with pytest.raises(ConfigError, match=r"certificates must be readable PEM files") as told:
            wrong.client()
        assert str(tmp_path) not in str(told.value)
    with pytest.raises(ConfigError, match=r"certificates must be readable PEM files"):
        Tls(ca=tmp_path / "a.pem", certificate=files.server, key=files.server_key).server()


def test_a_receiver_needs_a_certificate() -> None:
    with pytest.raises(ConfigError, match=r"a receiver with TLS must have a certificate"):
        Tls().server()


def test_verification_is_on_by_default(files: Authority) -> None:
    context = Tls(ca=files.ca).client()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_place_of_a_key_is_not_shown(files: Authority) -> None:
    assert "client.key" not in repr(Tls(files.ca, files.client, files.client_key))
