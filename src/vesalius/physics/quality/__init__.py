"""Image quality: MTF, noise power, task transfer, detectability, HU and mu.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.quality._hounsfield import drift_hu, mu_water, to_hu, to_mu

__all__ = ["drift_hu", "mu_water", "to_hu", "to_mu"]
