"""Budget: what a file may cost, checked before anything is allocated."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

from vesalius.errors import FormatError


@final
@dataclass(frozen=True, slots=True)
class Budget:
    """The most that reading one path may cost.

    Attributes:
        bytes: Largest array that one read may give, bytes.
        voxels: Largest number of samples in it.
        ratio: How many times its stored size a compressed stream may grow; streams that unpack to
            ``free_bytes`` or less may grow by any factor (masks are mostly zeros).
        free_bytes: See ``ratio``.
        files: Most files looked at below one path, members of archives counted.
        depth: Deepest nesting of folders, archives, and DICOM sequences.
    """

    bytes: int = 1 << 34
    voxels: int = 1 << 33
    ratio: int = 200
    free_bytes: int = 1 << 28
    files: int = 200_000
    depth: int = 32

    def check_size(self, name: str, shape: tuple[int, ...], itemsize: int) -> int:
        """Check what a header claims.

        Args:
            name: Name of the file, for the error.
            shape: Number of samples along each axis.
            itemsize: Bytes for one sample.

        Returns:
            Number of bytes that the samples take.

        Raises:
            FormatError: A size is not positive, or the whole exceeds ``bytes`` or ``voxels``.
        """
        if not shape or min(shape) < 1:
            raise FormatError(
                f"{name!r} must have positive sizes, its header says {shape}: the file is damaged"
            )
        count = 1
        for n in shape:
            count *= int(n)
        if count * itemsize > self.bytes or count > self.voxels:
            raise FormatError(
                f"{name!r} must fit in {self.bytes / 2**30:.3g} GiB and {self.voxels:.3g} samples, "
                f"its header claims {' x '.join(map(str, shape))} samples, "
                f"{count * itemsize / 2**30:.3g} GiB: the header is damaged, "
                "or raise the budget, or read a region"
            )
        return count * itemsize

    def check_stored(self, name: str, needed: int, stored: int, *, deflated: bool) -> None:
        """Check that a file can hold, and may unpack to, the bytes that its header promises.

        Args:
            name: Name of the file, for the error.
            needed: Bytes of samples that the header promises.
            stored: Bytes that are there.
            deflated: Whether they are compressed with zlib or gzip.

        Raises:
            FormatError: There are fewer, or they would grow by more than ``ratio``.
        """
        if stored * (DEFLATE_LIMIT if deflated else 1) < needed:
            raise FormatError(
                f"{name!r} must hold {needed} bytes of samples, it has {stored}"
                f"{' compressed' if deflated else ''} bytes: the file is truncated, copy it again"
            )
        if deflated:
            self.check_growth(name, needed, stored)

    def check_claim(
        self, name: str, shape: tuple[int, ...], itemsize: int, stored: int, *, packed: bool = False
    ) -> None:
        """Check what a header claims against what is there, when a file is opened.

        Samples that are all there, unpacked, may exceed ``bytes``: a region of them can be read,
        and that is checked then.

        Args:
            name: Name of the file, for the error.
            shape: Number of samples along each axis.
            itemsize: Bytes for one sample.
            stored: Bytes that are there.
            packed: Whether they are compressed with zlib or gzip.

        Raises:
            FormatError: Too much is claimed, or too little is there.
        """
        needed = itemsize * math.prod(shape)
        if packed or needed > stored or min(shape, default=0) < 1:
            self.check_size(name, shape, itemsize)
        self.check_stored(name, needed, stored, deflated=packed)

    def check_growth(self, name: str, unpacked: int, stored: int) -> None:
        """Check how far a compressed stream grows.

        Args:
            name: Name of the file, for the error.
            unpacked: Bytes after unpacking, told or counted so far.
            stored: Bytes before unpacking.

        Raises:
            FormatError: It grows by more than ``ratio`` and beyond ``free_bytes``.
        """
        if unpacked > self.free_bytes and unpacked > self.ratio * max(stored, 1):
            raise FormatError(
                f"{name!r} must not grow more than {self.ratio} times when it is unpacked, "
                f"{stored} bytes would become {unpacked}: a damaged or hostile file; "
                "raise the budget's ratio if you trust it"
            )


DEFLATE_LIMIT = 1032
"""No deflate stream grows by more than this factor when it is unpacked."""

DEFAULT = Budget()
"""The budget where none is given: 16 GiB for each read."""
