"""Image quality: MTF, noise power, task transfer, detectability, HU and mu.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.quality._detectability import DiscTask, Viewing, detectability, eye_filter
from vesalius.physics.quality._hounsfield import drift_hu, mu_water, to_hu, to_mu
from vesalius.physics.quality._mtf import (
    Mtf,
    disc_mtf,
    edge_mtf,
    optical_transfer,
    point_spread,
    wire_mtf,
)
from vesalius.physics.quality._noise_power import NoisePower, noise_power

__all__ = [
    "DiscTask",
    "Mtf",
    "NoisePower",
    "Viewing",
    "detectability",
    "disc_mtf",
    "drift_hu",
    "edge_mtf",
    "eye_filter",
    "mu_water",
    "noise_power",
    "optical_transfer",
    "point_spread",
    "to_hu",
    "to_mu",
    "wire_mtf",
]
