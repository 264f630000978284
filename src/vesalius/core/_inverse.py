"""Inverse: the inverse of a smooth transform that has none in closed form, by Newton's method."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._transform import PointsMm, Transform
from vesalius.errors import ConvergenceError

HALVINGS = 6  # of a Newton step that leads away


@final
@dataclass(frozen=True, slots=True, eq=False)
class Inverse(Transform):
    """The inverse of a smooth transform, solved anew at the points that it is asked for.

    Attributes:
        forward: The transform to be inverted; its Jacobian must be invertible on the way.
        tol_mm: How far a solution may miss once it is mapped forward, mm; it is refined beyond,
            for as long as that brings it nearer.
        steps: Most Newton steps.

    Raises:
        ConvergenceError: (when called) Some points could not be solved.
    """

    forward: Transform
    tol_mm: float = 1e-4
    steps: int = 50

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm; differentiable by the points and the forward parameters."""
        with torch.no_grad():
            found = self._solve(points_mm.detach().double())
        if not torch.is_grad_enabled():
            return found.to(points_mm.dtype)
        # one more Newton step, with derivatives: it moves nothing, and implies the right ones
        slope = self.forward.jacobian(found).detach()
        missed = self.forward(found) - points_mm.double()
        return (found - _solved(slope, missed)).to(points_mm.dtype)

    def inverse(self) -> Transform:
        """Give the transform that this one inverts."""
        return self.forward

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the inverse of the forward derivative, at the solution."""
        at = self(points_mm)
        slope: Tensor = torch.linalg.inv(self.forward.jacobian(at))
        return slope

    def __repr__(self) -> str:
        return f"Inverse(fixed -> moving, mm, LPS, of {self.forward!r})"

    def _solve(self, target: Tensor) -> Tensor:
        wanted = target.reshape(-1, 3)
        found = wanted.clone()
        missed = self.forward(found) - wanted
        length = missed.norm(dim=1)
        before = torch.full_like(length, float("inf"))
        rounding = 8 * torch.finfo(torch.float64).eps * (1 + wanted.abs().amax(dim=1))
        for _ in range(self.steps):
            settled = (length <= rounding) | ((length <= self.tol_mm) & (length > before / 2))
            rows = (~settled).nonzero()[:, 0]
            if not len(rows):
                break
            before = length
            self._step(found, missed, wanted, rows)
            length = missed.norm(dim=1)
        self._require(length)
        return found.reshape(target.shape)

    def _require(self, length: Tensor) -> None:
        lost = ~(length <= self.tol_mm)
        if bool(lost.any()):
            worst = float(length.nan_to_num(float("inf")).max())
            raise ConvergenceError(
                f"the inverse must be found within {self.tol_mm:g} mm at every point, but "
                f"{int(lost.sum())} of {len(length)} points miss by up to {worst:.3g} mm after "
                f"{self.steps} steps: the transform folds there, or does not reach them"
            )

    def _step(self, found: Tensor, missed: Tensor, wanted: Tensor, rows: Tensor) -> None:
        """Move the named rows by one Newton step, halved where it would lead away."""
        here, error = found[rows], missed[rows]
        step = _solved(self.forward.jacobian(here), error)
        size = error.norm(dim=1)
        factor = torch.ones_like(size)
        best, best_error = here, error
        for _ in range(HALVINGS):
            trial = here - factor[:, None] * step
            trial_error = self.forward(trial) - wanted[rows]
            better = trial_error.norm(dim=1) < best_error.norm(dim=1)
            best = torch.where(better[:, None], trial, best)
            best_error = torch.where(better[:, None], trial_error, best_error)
            if bool((best_error.norm(dim=1) < size).all()):
                break
            factor = factor / 2
        found[rows], missed[rows] = best, best_error


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve 3 x 3 systems; a singular one gives a step of the error itself."""
    out, info = torch.linalg.solve_ex(matrix, right[..., None])
    return torch.where((info == 0)[..., None], out[..., 0], right)
