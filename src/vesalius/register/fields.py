"""Families of deformation with few parameters, for ``Stage.model``."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._basis import Basis
from vesalius.register._cosine_basis import CosineBasis
from vesalius.register._free_form import FreeForm

__all__ = ["Basis", "CosineBasis", "FreeForm"]
