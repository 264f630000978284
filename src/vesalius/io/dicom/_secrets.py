"""Secrets of the network: from the environment or a keyring; never arguments, logs or reprs."""
# SPDX-License-Identifier: Apache-2.0

import os
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, final

from vesalius.errors import ConfigError

USER, PASSWORD, TOKEN = (f"VESALIUS_DICOM_{word}" for word in ("USER", "PASSWORD", "TOKEN"))
KEY_PASSWORD = "VESALIUS_DICOM_KEY_PASSWORD"
SERVICE = "vesalius-dicom"
"""Name of the keyring's service; its user names are the hosts, its value USER:PASSWORD or a token
after 'Bearer '."""


@final
@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks; nothing of it is shown.

    Attributes:
        user: Name, or empty.
        password: Password of that name.
        token: Bearer token (RFC 6750), instead of a name.
    """

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def present(self) -> bool:
        """Whether there is anything to tell a server."""
        return bool(self.user or self.token)


def credentials(host: str) -> Credentials:
    """Take the secrets for a host from the environment, else from a keyring that is installed.

    Args:
        host: Name of the server, the user name under which a keyring holds its secret.

    Returns:
        The secrets, empty where there are none.

    Raises:
        ConfigError: Both a user and a token are set, or a user without a password.
    """
    found = Credentials(*(os.environ.get(name, "") for name in (USER, PASSWORD, TOKEN)))
    if not (found.present or found.password):
        found = _parse(_from_keyring(host))
    if found.token and found.user:
        raise ConfigError(
            f"one of {USER} and {TOKEN} must be set, both are: unset the one that is not meant"
        )
    if bool(found.user) != bool(found.password):
        raise ConfigError(f"{USER} and {PASSWORD} must be set together, one is absent: set both")
    if not (found.token + found.user + found.password).isprintable():
        raise ConfigError(
            f"{USER}, {PASSWORD} and {TOKEN} must be printable, one holds a control character: "
            "set it again without a line break"
        )
    return found


def key_password() -> str:
    """Give the password of an encrypted private key, empty where none is set."""
    return os.environ.get(KEY_PASSWORD, "")


def _from_keyring(host: str) -> str:
    try:
        keyring: Any = import_module("keyring")
    except ImportError:
        return ""
    try:
        return str(keyring.get_password(SERVICE, host) or "")
    except Exception as error:  # any backend may fail in a way of its own
        raise ConfigError(
            f"the keyring must be readable to ask {host!r}, it fails ({type(error).__name__}): "
            f"unlock it, or set {USER} and {PASSWORD}"
        ) from None


def _parse(secret: str) -> Credentials:
    if secret.startswith("Bearer "):
        return Credentials(token=secret.removeprefix("Bearer "))
    user, _, password = secret.partition(":")
    return Credentials(user, password)
