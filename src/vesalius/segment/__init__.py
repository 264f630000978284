"""From image to labels: thresholds, regions, contours, graphs and self-configured networks.

Floor 5. ``segment`` is the front; a ``Method`` says how. Sub-rooms: ``threshold``, ``morphology``,
``regions``, ``contours``, ``graphs``, ``pixels``, ``networks``, ``instances``, ``uncertainty``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._half_contrast import half_contrast
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method
from vesalius.segment._segment import segment
from vesalius.segment._segmentation import Curve, Quantity, Segmentation

__all__ = [
    "Curve",
    "Hints",
    "Method",
    "Quantity",
    "Segmentation",
    "half_contrast",
    "segment",
]
