"""Provenance: how a number came to be, so that one can walk back from it."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius._version import __version__


@dataclass(frozen=True, slots=True)
class Provenance:
    """One step: what was done, to what, with which parameters, by which version.

    No absolute path, user name or host name belongs in here; inputs are named by content.

    Attributes:
        step: What was done, such as ``"measure"``.
        parameters: Everything that decides the result, JSON types only.
        inputs: Content hash of each input, by role.
        version: Version of vesalius.
        parents: The steps before.
    """

    step: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__
    parents: tuple["Provenance", ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 (16 hex digits) of the whole record; equal records have equal digests."""
        return hash_json(self.to_json())

    def to_json(self) -> dict[str, object]:
        """Give the record as JSON types."""
        return {
            "step": self.step,
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
            "version": self.version,
            "parents": [parent.to_json() for parent in self.parents],
        }


def hash_json(value: object) -> str:
    """Hash JSON types: SHA-256 of the sorted, compact text, first 16 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_samples(data: Tensor, affine: Tensor) -> str:
    """Hash samples with their place: SHA-256 over shape, affine and values, 16 hex digits.

    Args:
        data: Any shape, any device.
        affine: (4, 4), rounded to 1e-6 mm before it is hashed.

    Returns:
        The same text for the same samples at the same place, whatever file they came from.
    """
    # hashed by value, not by type, so that int16 and float32 files of one scan agree
    digest = hashlib.sha256()
    digest.update(repr(tuple(data.shape)).encode())
    digest.update((np.round(affine.double().cpu().numpy(), 6) + 0.0).tobytes())
    flat = data.detach().reshape(-1)
    for start in range(0, flat.numel(), 1 << 22):
        digest.update(_canonical(flat[start : start + (1 << 22)].cpu()).data)
    return digest.hexdigest()[:16]


_EXACT = (torch.float32, torch.int16, torch.int8, torch.uint8, torch.float16, torch.bfloat16)
"""Types whose every value is a float32."""


def _canonical(block: Tensor) -> NDArray[np.generic]:
    """Give bytes that depend on the values alone: masks as uint8, else the least float there is."""
    if block.dtype == torch.bool:
        return block.to(torch.uint8).numpy()
    if block.dtype in _EXACT:
        return (block.to(torch.float32) + 0.0).numpy()
    wide = block.to(torch.float64) + 0.0
    narrow = wide.to(torch.float32)
    exact = bool(((narrow.to(torch.float64) == wide) | wide.isnan()).all())
    return (narrow if exact else wide).numpy()
