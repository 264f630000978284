"""Layout: which axis of a file's array is which, for formats that name their axes."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a file's axes, fastest first, and what each is.

    Attributes:
        sizes: Number of samples along each axis, fastest first.
        space: Positions of x, y and (where there is one) z among the axes.
        time: Position of the time axis, or -1.
        channel: Position of the channel axis, or -1.
        as_channels: Whether frames are to be taken as channels.
    """

    sizes: tuple[int, ...]
    space: tuple[int, ...]
    time: int = -1
    channel: int = -1
    as_channels: bool = False

    @property
    def shape_xyz(self) -> tuple[int, int, int]:
        """Number of samples along (x, y, z)."""
        x, y, z = (*(self.sizes[axis] for axis in self.space), 1)[:3]
        return x, y, z

    @property
    def frames(self) -> int:
        """Number of frames in time."""
        return self.sizes[self.time] if self.time >= 0 and not self.as_channels else 1

    @property
    def channels(self) -> int:
        """Number of channels, frames counted in where they are taken as channels."""
        own = self.sizes[self.channel] if self.channel >= 0 else 1
        return own * (self.sizes[self.time] if self.time >= 0 and self.as_channels else 1)

    def arrange(self, flat: Array) -> Array:
        """Bring the samples of a file, in file order, to (t, c, z, y, x)."""
        n = len(self.sizes)
        array = flat.reshape(self.sizes[::-1])
        wanted = [axis for axis in (self.time, self.channel) if axis >= 0]
        wanted += list(self.space[::-1])
        array = array.transpose([n - 1 - axis for axis in wanted])
        x, y, z = self.shape_xyz
        return np.asarray(array.reshape(self.frames, self.channels, z, y, x))


def interleaved(data: Tensor, samples: Array) -> Array:
    """Put the channels of (c, z, y, x) samples fastest, as NRRD and MetaImage hold vectors."""
    if data.shape[0] == 1:
        return np.asarray(samples[0])
    return np.ascontiguousarray(np.moveaxis(samples, 0, -1))
