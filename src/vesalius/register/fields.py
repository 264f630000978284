"""Families of deformation with few parameters, for ``Stage.model``; flows that change with time."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._basis import Basis
from vesalius.register._cosine_basis import CosineBasis
from vesalius.register._free_form import FreeForm
from vesalius.register._laplacian_basis import LaplacianBasis
from vesalius.register._time_velocity import TimeForm, TimeVelocity

__all__ = ["Basis", "CosineBasis", "FreeForm", "LaplacianBasis", "TimeForm", "TimeVelocity"]
