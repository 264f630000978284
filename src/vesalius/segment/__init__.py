"""From image to labels: thresholds, level sets and networks will live here.

Floor 5. Works today: the half-contrast threshold that the demo uses.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._half_contrast import half_contrast

__all__ = ["half_contrast"]
