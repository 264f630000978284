"""Pixel classifier: from scribbles to classes, by local features and boosted trees."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._pixels import PixelClassifier, Pixels, load_pixels

__all__ = ["PixelClassifier", "Pixels", "load_pixels"]
