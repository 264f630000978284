"""Contours that move: without edges, held by edges, pulled as an elastic line.

All start from a first region or contour in the hints, or without one where that is said. The
energy by which they moved is in ``Segmentation.curves``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._chan_vese import ChanVese
from vesalius.segment._edge_contours import DistanceRegularised, GeodesicContour
from vesalius.segment._multi_phase import MultiPhase
from vesalius.segment._snake import Snake

__all__ = [
    "ChanVese",
    "DistanceRegularised",
    "GeodesicContour",
    "MultiPhase",
    "Snake",
]
