"""PET physics: the system of normalisation, attenuation and projection.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.pet._system import System, attenuation_factors

__all__ = ["System", "attenuation_factors"]
