"""Peers: who is talked to, what is asked for, and what they answer."""
# SPDX-License-Identifier: Apache-2.0

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final
from urllib.parse import urlsplit

from vesalius.errors import ConfigError, FormatError
from vesalius.io.dicom._secrets import key_password

Level = Literal["study", "series", "image"]
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_uid(text: str) -> bool:
    """Say whether a text is a UID: numbers with dots between, at most 64 characters (PS3.5 9.1).

    Leading zeros, which the standard forbids and real devices write, are let through.
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def check_uid(text: str, what: str) -> str:
    """Give a UID that came from outside, and so can be part of a path.

    Args:
        text: The UID.
        what: What it is, for the error.

    Raises:
        FormatError: It is no UID.
    """
    if not is_uid(text):
        raise FormatError(
            f"{what} must be numbers with dots between, at most 64 characters, got {text[:80]!r}: "
            "the other side or its data are wrong"
        )
    return text


def check_title(title: str) -> str:
    """Give an AE title (PS3.5 6.2): 1 to 16 characters of ASCII, no backslash, no outer spaces.

    Args:
        title: The title.

    Raises:
        ConfigError: It is none.
    """
    if not _TITLE.fullmatch(title):
        raise ConfigError(
            "an AE title must be 1 to 16 ASCII characters without backslash or outer spaces, "
            f"got {title!r}: ask the node's administrator for it"
        )
    return title


@final
@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted and who must prove what.

    Attributes:
        ca: PEM file of the authorities that are trusted; empty takes the system's. On the side
            that listens, callers must show a certificate of one of them.
        certificate: PEM file of the own certificate; empty has none.
        key: PEM file of its private key; empty where the certificate's file holds it. A password
            is taken from VESALIUS_DICOM_KEY_PASSWORD.
        verify: Whether the other side must prove its name. False is for tests on loopback.
    """

    ca: str | Path = ""
    certificate: str | Path = ""
    key: str | Path = field(default="", repr=False)
    verify: bool = True

    def client(self) -> ssl.SSLContext:
        """Make the context of the side that calls.

        Raises:
            ConfigError: A file is absent or holds no such thing.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            self._show(context)
        except (OSError, ValueError) as error:
            raise _no_certificates(error) from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def server(self) -> ssl.SSLContext:
        """Make the context of the side that listens.

        Raises:
            ConfigError: There is no certificate, or a file is absent or holds no such thing.
        """
        if not self.certificate:
            raise ConfigError(
                "a receiver with TLS must have a certificate, none is given: name its PEM file"
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._show(context)
            if self.ca:
                context.load_verify_locations(self.ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:
            raise _no_certificates(error) from None
        return context

    def _show(self, context: ssl.SSLContext) -> None:
        if self.certificate:
            # a password is always given, or OpenSSL would ask for it on the terminal
            context.load_cert_chain(self.certificate, self.key or None, key_password)


def _no_certificates(error: Exception) -> ConfigError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
    return ConfigError(
        f"certificates must be readable PEM files with their keys, the system says: {reason}: "
        "check the files, and VESALIUS_DICOM_KEY_PASSWORD where the key is encrypted"
    )


@final
@dataclass(frozen=True, slots=True)
class Node:
    """A DICOM node (PS3.8), such as a PACS.

    Attributes:
        host: Name or address.
        port: TCP port; 104 and 11112 are usual, 2762 with TLS.
        title: Its AE title.
        own_title: The AE title that we call with; the node must know it.
        tls: How the connection is encrypted; None does not encrypt.
        timeout_s: Longest wait for an answer, s.
    """

    host: str
    port: int
    title: str
    own_title: str = "VESALIUS"
    tls: Tls | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        check_title(self.title)
        check_title(self.own_title)
        if not self.host or not 0 < self.port < 65536:
            raise ConfigError(
                f"a node must have a host and a port from 1 to 65535, got {self.host!r} and "
                f"{self.port}: ask its administrator"
            )

    @property
    def label(self) -> str:
        """What it is called in messages and journals."""
        return f"{self.title}@{self.host}:{self.port}"


@final
@dataclass(frozen=True, slots=True)
class WebNode:
    """A DICOMweb server (PS3.18).

    A user and password, or a token, are taken from VESALIUS_DICOM_USER and VESALIUS_DICOM_PASSWORD,
    or VESALIUS_DICOM_TOKEN, or from the keyring.

    Attributes:
        url: Address of its services, such as ``https://pacs.example/dicom-web``.
        tls: Who must prove what.
        timeout_s: Longest wait for an answer, s.
    """

    url: str
    tls: Tls = Tls()
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise ConfigError(
                "an address must hold no user and password, this one does: set "
                "VESALIUS_DICOM_USER and VESALIUS_DICOM_PASSWORD instead"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"a DICOMweb server must have an address such as https://host/dicom-web, its "
                f"scheme is {parts.scheme!r}: give its whole address"
            )

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return urlsplit(self.url).hostname or ""

    @property
    def label(self) -> str:
        """What it is called in messages and journals."""
        return self.host

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return urlsplit(self.url).scheme == "https" or self.host in LOOPBACK


Peer = Node | WebNode


@final
@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; an empty entry asks for nothing. ``*`` and ``?`` stand for any letters.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        patient: PatientID; not shown.
        date: StudyDate, YYYYMMDD, or a range YYYYMMDD-YYYYMMDD.
        modality: Such as ``"CT"``.
        accession: AccessionNumber; not shown.
    """

    study: str = ""
    series: str = ""
    patient: str = field(default="", repr=False)
    date: str = ""
    modality: str = ""
    accession: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for text, what in ((self.study, "study"), (self.series, "series")):
            if text and not is_uid(text):
                raise ConfigError(
                    f"{what} must be a UID, numbers with dots between, got {text[:80]!r}: "
                    "list the UIDs with find"
                )

    @property
    def is_empty(self) -> bool:
        """Whether it asks for everything."""
        return not any((self.study, self.series, self.patient, self.date, self.accession))


@final
@dataclass(frozen=True, slots=True)
class Match:
    """One answer.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID, or empty above that level.
        instance: SOPInstanceUID, or empty above that level.
        sop_class: SOPClassUID, or empty above that level.
        modality: Modality, or the modalities of a study with commas between.
        instances: Number of instances, 0 where the node does not tell.
        entries: All that was answered, by keyword; identifies a patient, so it is not shown.
    """

    study: str
    series: str = ""
    instance: str = ""
    sop_class: str = ""
    modality: str = ""
    instances: int = 0
    entries: Mapping[str, str] = field(default_factory=dict, repr=False)


@final
@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiving node of our own.

    An AE title is a name, no proof: on a network that others use, give ``tls`` with a ``ca``.

    Attributes:
        allowed: AE titles that may call.
        port: TCP port to listen at; 0 takes a free one.
        title: Our AE title; who calls another is refused.
        host: Address to listen at; ``"0.0.0.0"`` is every one.
        tls: How connections are encrypted; None does not encrypt.
    """

    allowed: tuple[str, ...]
    port: int = 11112
    title: str = "VESALIUS"
    host: str = "127.0.0.1"
    tls: Tls | None = None

    def __post_init__(self) -> None:
        for title in (self.title, *self.allowed):
            check_title(title)
        if not self.allowed:
            raise ConfigError(
                "a receiver must name the AE titles that may call, none is named: name at least one"
            )
        if not 0 <= self.port < 65536:
            raise ConfigError(f"a port must be from 0 to 65535, got {self.port}: choose another")
