"""Method: what turns an image and a person's hints into labels."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from collections.abc import Callable

from vesalius.core import Image, Step
from vesalius.segment._hints import Hints
from vesalius.segment._segmentation import Segmentation

OnStep = Callable[[Step], None]


class Method(ABC):
    """A way to segment: a frozen dataclass whose fields are its settings.

    Implementations are final frozen dataclasses that can be built without arguments, with numbers
    in the user's units (mm, the image's own unit) and choices as ``Literal``. They find the same
    labels again for the same input, leave the input as it is, work in 2-D (``Z == 1``) and 3-D,
    with anisotropic spacing, and keep 16-bit integers exact.
    """

    __slots__ = ()

    @abstractmethod
    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; :func:`segment` has checked that it is finite and the hints fit.

        Args:
            image: Any number of channels; a method for one channel refuses more by name.
            hints: What a person knows; unused hints are not an error.
            on_step: Told of each finished piece.

        Returns:
            Labels on the image's grid, and what they were decided by.

        Raises:
            RegionError: A hint that the method needs is absent, or nothing was found.
            ConfigError: A setting does not fit the image.
        """
