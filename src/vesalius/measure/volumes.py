"""Volumes of a segmentation, each with the interval that its calibrated model states.

Part of the room ``measure``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._volumes import Volume, volumes

__all__ = ["Volume", "volumes"]
