"""Maps from landmarks and point sets: closed-form linear fits, splines, ICP and coherent drift.

A pair is one place seen in both worlds: row i of ``fixed`` and row i of ``moving``. All maps go
from fixed to moving, mm. A spline saves through ``to_field``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._cpd import Drift, drift, drift_linear
from vesalius.register._elastic_spline import ElasticSpline, elastic_body, elastic_green
from vesalius.register._icp import PointFit, PointSearch, icp
from vesalius.register._landmark_fit import fit_linear
from vesalius.register._radial import (
    GaussianKernel,
    RadialKernel,
    RadialSpline,
    WendlandKernel,
    radial_spline,
)
from vesalius.register._thin_plate import Plate, thin_plate

__all__ = [
    "Drift",
    "ElasticSpline",
    "GaussianKernel",
    "Plate",
    "PointFit",
    "PointSearch",
    "RadialKernel",
    "RadialSpline",
    "WendlandKernel",
    "drift",
    "drift_linear",
    "elastic_body",
    "elastic_green",
    "fit_linear",
    "icp",
    "radial_spline",
    "thin_plate",
]
