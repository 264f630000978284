"""From image to labels: thresholds, level sets and networks will live here.

Floor 5. Works today: the half-contrast threshold that the demo uses.
"""
# SPDX-License-Identifier: Apache-2.0
