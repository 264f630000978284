"""Regularisers (energies of a field) and smoothers (Green's operators) for registration.

An energy is added to the loss that ``Adam`` and ``Lbfgs`` minimise; a smoother makes the updates
(``Greedy.update``, ``Demons.update``: fluid-like) or the whole field (``total``: elastic-like)
gentle. All speak mm, on lattices with orthogonal axes.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._bending import Bending
from vesalius.register._consistency import InverseConsistency
from vesalius.register._curvature import Curvature, CurvatureSolver
from vesalius.register._diffusion import Diffusion, DiffusionSolver
from vesalius.register._elastic import Elastic, ElasticSolver
from vesalius.register._elastic_step import ElasticStep
from vesalius.register._fluid import FluidSolver, advance
from vesalius.register._gaussian import Gaussian
from vesalius.register._local import LocalRegulariser, Varying
from vesalius.register._regulariser import Regulariser, Smoother
from vesalius.register._rigidity import Rigidity
from vesalius.register._sobolev import Sobolev
from vesalius.register._volume import FoldingBarrier, LogJacobian, VolumeChange, VolumePreserving

__all__ = [
    "Bending",
    "Curvature",
    "CurvatureSolver",
    "Diffusion",
    "DiffusionSolver",
    "Elastic",
    "ElasticSolver",
    "ElasticStep",
    "FluidSolver",
    "FoldingBarrier",
    "Gaussian",
    "InverseConsistency",
    "LocalRegulariser",
    "LogJacobian",
    "Regulariser",
    "Rigidity",
    "Smoother",
    "Sobolev",
    "Varying",
    "VolumeChange",
    "VolumePreserving",
    "advance",
]
