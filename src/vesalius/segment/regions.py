"""Regions grown from seeds, and the edges between regions."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._canny import Canny
from vesalius.segment._region_growing import RegionGrowing

__all__ = ["Canny", "RegionGrowing"]
