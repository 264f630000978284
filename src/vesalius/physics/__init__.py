"""Forward models: phantoms with exact truth; later projectors, noise models, coils, PSFs.

Floor 3. Works today: ellipsoid phantoms, among them a chest with nodules.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics._chest import chest_grid, chest_phantom
from vesalius.physics._phantom import (
    Ellipsoid,
    Insertion,
    Phantom,
    Truth,
    add_noise,
    insert_nodule,
    phantom_labels,
    rasterise,
    truth,
)

__all__ = [
    "Ellipsoid",
    "Insertion",
    "Phantom",
    "Truth",
    "add_noise",
    "chest_grid",
    "chest_phantom",
    "insert_nodule",
    "phantom_labels",
    "rasterise",
    "truth",
]
