"""Learned reconstruction, on the same projectors.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.learned._denoiser import Denoiser, DenoiserPlan
from vesalius.reconstruct.learned._field import HashGrid, Siren
from vesalius.reconstruct.learned._implicit import Implicit, implicit_ct
from vesalius.reconstruct.learned._plug_and_play import PlugAndPlay, plug_and_play_ct

__all__ = [
    "Denoiser",
    "DenoiserPlan",
    "HashGrid",
    "Implicit",
    "PlugAndPlay",
    "Siren",
    "implicit_ct",
    "plug_and_play_ct",
]
