"""Secure sum: what clients send looks random alone, and adds up to the exact sum."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import IntensityError, NetworkError
from vesalius.predict._table import Floats

Limbs = NDArray[np.uint64]
"""(..., 2): fixed-point numbers modulo 2^128: 64 bits after the point, then 64 before it."""

LARGEST = 2.0**52
"""Magnitude that is refused: the sum over up to 2048 clients stays within 2^63."""

PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404"
    "DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406"
    "B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD"
    "24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E46"
    "2E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D226"
    "1898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
"""Safe prime of 2048 bits, group 14 of RFC 3526, section 3."""


@final
class Masks:
    """The secrets of one client: a key, and a shared stream of masks with each other client.

    Two clients agree on a key by Diffie and Hellman, through the server. For each sum both draw
    the same mask from it; one adds it and the other takes it away, so that all masks cancel.

    The server is taken to be curious and honest: it passes public keys on unchanged. One that
    swaps them, or that colludes with all clients but one, is not held off; with two clients each
    of them can take its own number from the sum. A client that does not answer makes the sum
    unreadable: it is refused, not recovered.

    Args:
        name: Of the client.

    References:
        Bonawitz et al. (2017), doi:10.1145/3133956.3133982, sections 4.0.1 and 3.2. Differs from
        it in: no secret shares, so that a dropout ends the sum; no second mask; Diffie-Hellman in
        the group of RFC 3526; numbers modulo 2^128.
    """

    __slots__ = ("_keys", "_name", "_secret", "_used")

    def __init__(self, name: str) -> None:
        self._name = name
        self._secret = secrets.randbits(512)
        self._keys: dict[str, bytes] = {}
        self._used: set[str] = set()

    @property
    def public(self) -> str:
        """The public key, as hexadecimal text."""
        return f"{pow(2, self._secret, PRIME):x}"

    def meet(self, keys: Mapping[str, str]) -> None:
        """Agree on a key with each other client.

        Args:
            keys: Public key by name of client, its own among them.

        Raises:
            NetworkError: Its own key came back changed, a key is no key, or it is alone.
        """
        if keys.get(self._name) != self.public or len(keys) < 2:
            raise NetworkError(
                f"a secure sum must have two clients or more and the key of {self._name!r} as it "
                f"sent it, got keys of {sorted(keys)}: start the clients anew"
            )
        self._keys = {}
        for name, text in keys.items():
            if name != self._name:
                shared = pow(_checked(name, text), self._secret, PRIME).to_bytes(256, "big")
                pair = "|".join(sorted(f"{len(n)}:{n}" for n in (self._name, name)))
                self._keys[name] = hashlib.sha256(shared + pair.encode()).digest()

    def cover(self, values: Floats, label: str) -> Limbs:
        """Hide numbers so that only the sum over all clients tells something.

        Args:
            values: (...), below 2^52 in magnitude.
            label: Of the sum; no two have the same.

        Returns:
            (..., 2), each limb uniformly spread.

        Raises:
            NetworkError: No keys were exchanged, or the label was used before.
        """
        if not self._keys or label in self._used:
            raise NetworkError(
                "a secure sum must have keys and a label of its own, got "
                f"{len(self._keys)} keys and {label!r}, which was "
                f"{'' if label in self._used else 'not '}used before: begin a new training"
            )
        self._used.add(label)
        total = to_limbs(values)
        for name, key in self._keys.items():
            mask = _stream(key, label, total.shape)
            total = add(total, mask if self._name < name else negative(mask))
        return total


def to_limbs(values: Floats) -> Limbs:
    """Turn numbers into fixed point: exact from 2^-12 to 2^52, within 2^-64 below.

    Args:
        values: (...), finite.

    Returns:
        (..., 2).

    Raises:
        IntensityError: A number is not finite or too large.
    """
    if not (np.abs(values) < LARGEST).all():
        # which number came is what the masks are to hide
        raise IntensityError(
            f"numbers of a secure sum must be below 2^52 = {LARGEST:.3g}, one is not: rescale the "
            "feature, or leave it out"
        )
    size = np.abs(values)  # one below zero would lose its digits next to its floor
    whole = np.floor(size)
    part = np.rint((size - whole) * 2.0**64).astype(np.uint64)
    limbs = np.stack((part, whole.astype(np.uint64)), axis=-1)
    return np.where((values < 0)[..., None], negative(limbs), limbs)


def from_limbs(limbs: Limbs) -> Floats:
    """Turn fixed point into numbers, signed.

    Args:
        limbs: (..., 2).

    Returns:
        (...).
    """
    down = limbs[..., 1].astype(np.int64) < 0
    size = np.where(down[..., None], negative(limbs), limbs)
    value = size[..., 1].astype(np.float64) + size[..., 0].astype(np.float64) * 2.0**-64
    return np.where(down, -value, value)


def add(a: Limbs, b: Limbs) -> Limbs:
    """Add modulo 2^128."""
    with np.errstate(over="ignore"):  # wrapping around is what is meant
        low = a[..., 0] + b[..., 0]
        high = a[..., 1] + b[..., 1] + (low < a[..., 0])
    return np.stack((low, high), axis=-1)


def negative(a: Limbs) -> Limbs:
    """Take from 2^128."""
    with np.errstate(over="ignore"):
        low = ~a[..., 0] + np.uint64(1)
        high = ~a[..., 1] + (low == 0)
    return np.stack((low, high), axis=-1)


def total(covered: Sequence[Limbs], *, clients: int) -> Floats:
    """Add what all clients sent; the masks cancel.

    Args:
        covered: One for each client, equal shapes (..., 2).
        clients: How many met.

    Returns:
        (...), the exact sum.

    Raises:
        NetworkError: One is missing: what is left tells nothing.
    """
    if len(covered) != clients:
        raise NetworkError(
            f"a secure sum must have an answer of each of {clients} clients, got {len(covered)}: "
            "masks of the missing one do not cancel; train anew without it"
        )
    result = covered[0]
    for one in covered[1:]:
        result = add(result, one)
    found = from_limbs(result)
    if not (np.abs(found) < LARGEST * clients).all():
        raise NetworkError(
            f"masks of a secure sum must cancel, those of {clients} clients do not: a client was "
            "asked by another training meanwhile, or answered something else; train anew"
        )
    return found


def _checked(name: str, text: str) -> int:
    try:
        key = int(text, 16)
    except ValueError:
        key = 0
    if not 1 < key < PRIME - 1:
        raise NetworkError(
            f"a public key must be a number between 1 and the prime of the group, that of {name!r} "
            "is not: start the clients anew"
        )
    return key


def _stream(key: bytes, label: str, shape: tuple[int, ...]) -> Limbs:
    length = 8 * int(np.prod(shape))
    data = hashlib.shake_256(key + label.encode()).digest(length)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(shape)
