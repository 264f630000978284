"""Layout: which axis of a file's array is which; the loader that follows from it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vesalius.io._body import Body, Box, read_body, read_box
from vesalius.io._budget import Budget
from vesalius.io._handle import Load, Window, whole

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

    def box(self, window: Window) -> Box:
        """Give the part of each axis, fastest first, that holds a window."""
        parts = [slice(0, n) for n in self.sizes]
        for axis, part in zip(self.space, window.slices[::-1], strict=False):
            parts[axis] = part
        return tuple(parts)

    def arrange(self, array: Array) -> Array:
        """Bring a box of the file, slowest axis first, to (t, c, z, y, x)."""
        n = len(self.sizes)
        wanted = [axis for axis in (self.time, self.channel) if axis >= 0]
        wanted += list(self.space[::-1])
        array = array.transpose([n - 1 - axis for axis in wanted])
        zyx = array.shape[-len(self.space) :]
        zyx = zyx if len(zyx) == 3 else (1, *zyx)
        return np.asarray(array.reshape(self.frames, self.channels, *zyx))


def loader(bodies: tuple[Body, ...], layout: Layout, budget: Budget) -> Load:
    """Make the loader of a file: one body that is not packed is read by window, others whole.

    Args:
        bodies: Files with the samples; several share the slowest axes between them.
        layout: What their axes are.
        budget: What a read may cost.

    Returns:
        The loader.
    """
    shape = layout.sizes[::-1]
    if len(bodies) > 1 or bodies[0].codec != "raw":

        def load_all() -> Array:
            parts = [read_body(body) for body in bodies]
            samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return layout.arrange(samples.reshape(shape))

        return whole(load_all)

    def load(window: Window) -> Array:
        box, body = layout.box(window), bodies[0]
        lengths = tuple(part.stop - part.start for part in box)
        budget.check_size(body.path.name, lengths, body.stored.itemsize)
        return layout.arrange(read_box(body, layout.sizes, box))

    return load


def interleaved(data: Tensor, samples: Array) -> Array:
    """Put the channels of (c, z, y, x) samples fastest, as NRRD and MetaImage hold vectors."""
    if data.shape[0] == 1:
        return np.asarray(samples[0])
    return np.ascontiguousarray(np.moveaxis(samples, 0, -1))
