"""Regions grown or flooded from seeds and marks, and the edges between regions."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._canny import Canny
from vesalius.segment._random_walker import RandomWalker
from vesalius.segment._region_growing import RegionGrowing
from vesalius.segment._watershed import Watershed

__all__ = ["Canny", "RandomWalker", "RegionGrowing", "Watershed"]
