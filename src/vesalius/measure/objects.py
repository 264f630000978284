"""Objects of a label image: one row for each, with size, form, place, intensity, neighbours.

Part of the room ``measure``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._objects import Objects, measure_objects

__all__ = ["Objects", "measure_objects"]
