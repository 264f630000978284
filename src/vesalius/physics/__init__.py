"""Forward models: phantoms with exact truth, and how scanners and microscopes see them.

Floor 3. The phantoms stand here; CT, MR, PET, optics, noise and image quality in rooms of their
own: ``physics.ct``, ``physics.mri``, ``physics.pet``, ``physics.optics``, ``physics.noise``,
``physics.quality``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics._bars import resolution_bars, water_cylinder
from vesalius.physics._cells import beads, cells, filaments
from vesalius.physics._chest import chest_grid, chest_phantom
from vesalius.physics._coils import bias_field, coil_maps
from vesalius.physics._dead_leaves import dead_leaves
from vesalius.physics._phantom import (
    Insertion,
    Phantom,
    Truth,
    add_noise,
    insert_nodule,
    phantom_labels,
    rasterise,
    to_attenuation,
    truth,
)
from vesalius.physics._shepp_logan import shepp_logan, shepp_logan_3d
from vesalius.physics._solids import Box, Cylinder, Ellipsoid

__all__ = [
    "Box",
    "Cylinder",
    "Ellipsoid",
    "Insertion",
    "Phantom",
    "Truth",
    "add_noise",
    "beads",
    "bias_field",
    "cells",
    "chest_grid",
    "chest_phantom",
    "coil_maps",
    "dead_leaves",
    "filaments",
    "insert_nodule",
    "phantom_labels",
    "rasterise",
    "resolution_bars",
    "shepp_logan",
    "shepp_logan_3d",
    "to_attenuation",
    "truth",
    "water_cylinder",
]
