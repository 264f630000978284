"""MR physics: centred Fourier transforms, sampling, coils, non-uniform FFT.

Part of the room ``physics``. Conventions: k-space and image have their origin at index ``n // 2``,
transforms are unitary, arrays are (coil, z, y, x) and trajectories are in cycles per voxel in the
order of the array axes.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.mri._coils import Coils, Each, encode, simulated_maps
from vesalius.physics.mri._crop import Crop
from vesalius.physics.mri._ellipse import ellipse_spectrum
from vesalius.physics.mri._fourier import Fourier, Sampling, fourier, inverse_fourier
from vesalius.physics.mri._kspace import KSpace, measured
from vesalius.physics.mri._masks import poisson_disk, variable_density
from vesalius.physics.mri._nufft import NonUniformFourier, density
from vesalius.physics.mri._trajectory import radial, spiral

__all__ = [
    "Coils",
    "Crop",
    "Each",
    "Fourier",
    "KSpace",
    "NonUniformFourier",
    "Sampling",
    "density",
    "ellipse_spectrum",
    "encode",
    "fourier",
    "inverse_fourier",
    "measured",
    "poisson_disk",
    "radial",
    "simulated_maps",
    "spiral",
    "variable_density",
]
