"""Solvers and priors for any linear operator: 1/2 |A x - y|^2 + weight R(x).

Part of the room ``reconstruct``. Strengths are chosen in ``reconstruct.strength``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.solve._counts import map_em, mlem, osem
from vesalius.reconstruct.solve._descent import gradient_descent, landweber, os_sart, sirt
from vesalius.reconstruct.solve._dictionary import Dictionary
from vesalius.reconstruct.solve._krylov import cgls, lsqr, tikhonov
from vesalius.reconstruct.solve._plug import plug_and_play, red
from vesalius.reconstruct.solve._prox import L0, L1, Box, Prox
from vesalius.reconstruct.solve._proximal import admm, fista, pdhg
from vesalius.reconstruct.solve._solution import Run, Solution
from vesalius.reconstruct.solve._variation import TGV, TV, Huber

__all__ = [
    "L0",
    "L1",
    "TGV",
    "TV",
    "Box",
    "Dictionary",
    "Huber",
    "Prox",
    "Run",
    "Solution",
    "admm",
    "cgls",
    "fista",
    "gradient_descent",
    "landweber",
    "lsqr",
    "map_em",
    "mlem",
    "os_sart",
    "osem",
    "pdhg",
    "plug_and_play",
    "red",
    "sirt",
    "tikhonov",
]
