"""Key, and what is made from it: replaced UIDs, pseudonyms, and the days that dates are moved."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from vesalius.errors import ConfigError, OutputError

LENGTH = 32
CHECK = 32
BODY = 122 - CHECK
MOST_DAYS = 365


@final
@dataclass(frozen=True, slots=True)
class Key:
    """The secret of a de-identification; what is made from it is equal in every run.

    Every value is a keyed hash (HMAC-SHA256, RFC 2104), so that nobody without the key can try out
    names, numbers or UIDs. UIDs and pseudonyms hold a check made with the key: what was replaced
    once is known again and left alone.

    Attributes:
        secret: At least 32 random bytes.
    """

    secret: bytes = field(repr=False)

    def number(self, what: str, value: str, bits: int) -> int:
        """Give a number made from a value.

        Args:
            what: What the value is; the same value of another kind gives another number.
            value: Any text.
            bits: Size of the number, up to 256.

        Returns:
            A whole number of at most ``bits`` bits.
        """
        message = f"{what}\0{value}".encode("utf-8", "surrogateescape")
        digest = hmac.new(self.secret, message, hashlib.sha256).digest()
        return int.from_bytes(digest, "big") >> (256 - bits)

    def uid(self, uid: str) -> str:
        """Replace a UID by one under 2.25 (a UUID of version 8: PS3.5 B.2, RFC 9562).

        Args:
            uid: What stood there; one that came from here already stays.

        Returns:
            The replacement.
        """
        if self._is_own_uid(uid):
            return uid
        return f"2.25.{self._uuid(self.number('uid', uid, BODY))}"

    def pseudonym(self, patient: str) -> str:
        """Give the pseudonym of a patient.

        Args:
            patient: The patient ID; a pseudonym of this key stays.

        Returns:
            ``P`` and 16 letters or digits.
        """
        if self.is_pseudonym(patient):
            return patient
        body = f"{self.number('patient', patient, 40):010X}"
        return f"P{body}{self.number('pseudonym', body, 24):06X}"

    def is_pseudonym(self, text: str) -> bool:
        """Say whether a text is a pseudonym made with this key."""
        body = text[1:11]
        return len(text) == 17 and text == f"P{body}{self.number('pseudonym', body, 24):06X}"

    def days(self, patient: str) -> int:
        """Give how many whole days the dates of a patient go back.

        Args:
            patient: The pseudonym of the patient.

        Returns:
            1 to 365.
        """
        return 1 + self.number("days", patient, 64) % MOST_DAYS

    def short(self, what: str, value: str, digits: int = 12) -> str:
        """Give a short name in hexadecimal digits.

        Args:
            what: See ``number``.
            value: See ``number``.
            digits: Length of the name.

        Returns:
            The name.
        """
        return f"{self.number(what, value, 4 * digits):0{digits}x}"

    def _uuid(self, body: int) -> int:
        check = self.number("check", str(body), CHECK)
        bits = body << CHECK | check
        high, middle, low = bits >> 74, bits >> 62 & 0xFFF, bits & (1 << 62) - 1
        return high << 80 | 8 << 76 | middle << 64 | 2 << 62 | low

    def _is_own_uid(self, uid: str) -> bool:
        digits = uid.removeprefix("2.25.")
        if digits == uid or not (digits.isascii() and digits.isdigit()) or len(digits) > 39:
            return False
        whole = int(digits)
        bits = whole >> 80 << 74 | (whole >> 64 & 0xFFF) << 62 | whole & (1 << 62) - 1
        return whole == self._uuid(bits >> CHECK)


def read_key(path: Path) -> Key:
    """Read the key from its file; where there is none, make one that only its owner can read.

    Args:
        path: The file; 64 hexadecimal digits.

    Returns:
        The key.

    Raises:
        ConfigError: Others than its owner may read the file, or it holds no key.
        OutputError: It cannot be written.
    """
    _make(path)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip() if stat.S_ISREG(mode) else ""
    except (OSError, UnicodeDecodeError):
        text, mode = "", 0
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            f"the key file must be readable by its owner only, its mode is "
            f"{stat.S_IMODE(mode):o}: chmod 600 it, or make a new key if others have seen it"
        )
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) < LENGTH:
        raise ConfigError(
            f"the key file must hold at least {2 * LENGTH} hexadecimal digits, it does not: name "
            "a file that does not exist to have a key made"
        )
    return Key(secret)


def _make(path: Path) -> None:
    """Write a new key; complete or not at all, and never over another."""
    if path.exists():
        return
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(LENGTH) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # a link fails where another process was first: its key is taken then
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as error:
        raise OutputError(
            f"the key file must be writable, the system says: {error.strerror}: choose another "
            "folder for it"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_pseudonyms(path: Path) -> Mapping[str, str]:
    """Read a table of pseudonyms: lines ``patient ID,pseudonym``, without a heading.

    Args:
        path: A CSV file, UTF-8.

    Returns:
        Pseudonym of each patient ID.

    Raises:
        ConfigError: It cannot be read, a line is no pair, a pseudonym is used twice or unfit.
    """
    import csv

    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error):
        lines = [[]]
    for number, line in enumerate(lines, 1):
        pair = [word.strip() for word in line]
        if len(pair) != 2 or not all(pair) or pair[0] in found or pair[1] in found.values():
            raise ConfigError(
                f"the table of pseudonyms must be lines 'patient ID,pseudonym', each used once; "
                f"line {number} is not: mend that line"
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", pair[1]):
            raise ConfigError(
                "a pseudonym must be up to 32 letters, digits, '-' and '_', it becomes a folder; "
                f"line {number} is not: mend that line"
            )
        found[pair[0]] = pair[1]
    return found
