"""PET images: activity from counts.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.pet._emission import Corrections, Emission, emission

__all__ = ["Corrections", "Emission", "emission"]
