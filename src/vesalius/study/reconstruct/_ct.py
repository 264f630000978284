"""CT: corrected line integrals to an image in the unit that was asked for."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import replace

from vesalius.core import Step
from vesalius.reconstruct import Reconstruction
from vesalius.reconstruct.ct import Iterative, fbp, fdk, gridding, iterate
from vesalius.study.reconstruct._job import ANALYTIC, LEARNED, Job
from vesalius.study.reconstruct._measured import Measured

OnStep = Callable[[Step], None]


def reconstruct_ct(measured: Measured, job: Job, *, on_step: OnStep | None) -> Reconstruction:
    """Reconstruct a CT.

    Args:
        measured: Line integrals and the grid.
        job: Method, its options and the unit.
        on_step: Told of each step.

    Returns:
        The image in the job's unit.
    """
    if job.method in ANALYTIC:
        found = _analytic(measured, job)
        if on_step is not None:
            on_step(Step(f"reconstruct: {job.method}", 1, 1))
    elif job.method in LEARNED:
        found = _learned(measured, job, on_step)
    else:
        found = _iterated(measured, job, on_step)
    if job.unit == "HU":
        from vesalius.physics.quality import to_hu

        found = replace(found, image=to_hu(found.image, kev=job.kev))
    return found


def _analytic(measured: Measured, job: Job) -> Reconstruction:
    views, grid = measured.projections, measured.grid
    if job.method == "gridding":
        return gridding(views, like=grid, window=job.window)
    recipe = fdk if job.method == "fdk" else fbp
    return recipe(views, like=grid, window=job.window, scan=job.scan, truncation=job.truncation)


def _learned(measured: Measured, job: Job, on_step: OnStep | None) -> Reconstruction:
    from vesalius.reconstruct.learned import Denoiser, PlugAndPlay, plug_and_play_ct

    method = PlugAndPlay(photons=measured.photons)
    method = replace(
        method,
        steps=job.steps or method.steps,
        weight=method.weight if job.weight == "auto" else job.weight,
    )
    return plug_and_play_ct(
        measured.projections,
        like=measured.grid,
        denoiser=Denoiser.pretrained(),
        method=method,
        on_step=None if on_step is None else _named(job.method, on_step),
    )


STEPS = {"sart": 5, "os-sart": 10, "osem": 10, "cgls": 15, "lsqr": 15, "tikhonov": 30}
"""Steps where the user gives none; the other methods take 100."""


def _iterated(measured: Measured, job: Job, on_step: OnStep | None) -> Reconstruction:
    method = Iterative(
        job.iterated,
        steps=job.steps or STEPS.get(job.method, 100),
        photons=measured.photons,
    )
    if method.has_prior:
        chosen = job.weight == "auto"
        method = replace(
            method,
            strength=job.rule if chosen else "fixed",
            weight=0.0 if job.weight == "auto" else job.weight,
        )
    told = None if on_step is None else _named(job.method, on_step)
    return iterate(measured.projections, like=measured.grid, method=method, on_step=told)


def _named(method: str, on_step: OnStep) -> OnStep:
    """Tell of a solver's steps under the name of the method that was asked for."""

    def tell(step: Step) -> None:
        on_step(Step(f"reconstruct: {method}", step.done, step.total))

    return tell
