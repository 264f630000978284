"""From raw measurements to images: analytic, iterative and learned, for CT, MR, PET, microscopy.

Floor 5. The recipes stand here; ``reconstruct.solve`` holds solvers and priors for any operator,
``reconstruct.mri`` and ``reconstruct.optics`` what belongs to one kind of acquisition.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct._result import Reconstruction

__all__ = ["Reconstruction"]
