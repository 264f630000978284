"""Secrets: where they come from, and that they are not shown."""

import sys
from types import SimpleNamespace

import pytest

from vesalius.errors import ConfigError, ExtraError
from vesalius.io.dicom._secrets import Credentials, credentials, key_password
from vesalius.io.dicom._transfer import library

NAMES = [f"VESALIUS_DICOM_{word}" for word in ("USER", "PASSWORD", "TOKEN", "KEY_PASSWORD")]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)  # as if it were not installed


def test_none_are_there_by_default() -> None:
    assert not credentials("host").present
    assert key_password() == ""


def test_the_environment_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_USER", "ann")
    monkeypatch.setenv("VESALIUS_DICOM_PASSWORD", "hunter2")
    assert credentials("host") == Credentials("ann", "hunter2")
    monkeypatch.setenv("VESALIUS_DICOM_KEY_PASSWORD", "sesame")
    assert key_password() == "sesame"


def test_they_are_not_shown() -> None:
    assert repr(Credentials("ann", "hunter2", "t0ken")) == "Credentials()"


def test_a_user_needs_a_password_and_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_USER", "ann")
    with pytest.raises(ConfigError, match=r"VESALIUS_DICOM_PASSWORD must be set together"):
        credentials("host")
    monkeypatch.setenv("VESALIUS_DICOM_PASSWORD", "hunter2")
    monkeypatch.setenv("VESALIUS_DICOM_TOKEN", "t0ken")
    with pytest.raises(ConfigError, match=r"one of VESALIUS_DICOM_USER and VESALIUS_DICOM_TOKEN"):
        credentials("host")


def test_no_header_can_be_smuggled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESALIUS_DICOM_TOKEN", "t0ken\r\nX-Evil: 1")
    with pytest.raises(ConfigError, match=r"must be printable, one holds a control") as told:
        credentials("host")
    assert "t0ken" not in str(told.value)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("ann:hun:ter2", Credentials("ann", "hun:ter2")),
        ("Bearer t0ken", Credentials(token="t0ken")),
        (None, Credentials()),
    ],
)
def test_a_keyring_gives_them(
    monkeypatch: pytest.MonkeyPatch, kept: str | None, expected: Credentials
) -> None:
    """A stand-in for the library, which is not a dependency."""
    asked = []

    def get_password(service: str, name: str) -> str | None:
        asked.append((service, name))
        return kept

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password))
    assert credentials("pacs.example") == expected
    assert asked == [("vesalius-dicom", "pacs.example")]


def test_a_keyring_that_is_locked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_password(service: str, name: str) -> str:
        raise RuntimeError("locked hunter2")

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password))
    with pytest.raises(ConfigError, match=r"the keyring must be readable to ask") as told:
        credentials("pacs.example")
    assert "hunter2" not in str(told.value)


def test_the_environment_comes_before_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SimpleNamespace(get_password=lambda service, name: "other:secret")
    monkeypatch.setitem(sys.modules, "keyring", kept)
    monkeypatch.setenv("VESALIUS_DICOM_TOKEN", "t0ken")
    assert credentials("host") == Credentials(token="t0ken")


@pytest.mark.parametrize("name", ["pynetdicom", "dicomweb_client"])
def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraError, match=r"must be installed to use the network.* vesalius\[dicom"):
        library(name)
