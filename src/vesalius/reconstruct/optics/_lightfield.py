"""Volumes from one light-field frame, by Richardson-Lucy through the wave-optics PSF."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError, IntensityError, ShapeError
from vesalius.physics.optics import LightField, MicrolensArray, Objective, lightfield_psf
from vesalius.physics.optics._lightfield_psf import Kernel
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.optics._richardson_lucy import RichardsonLucy, likeliest


def lightfield_volume(
    frame: Float[Tensor, "y x"],
    objective: Objective,
    array: MicrolensArray,
    *,
    depths_mm: Tensor,
    voxels: int = 3,
    white: Float[Tensor, "white_y white_x"] | None = None,
    options: RichardsonLucy = RichardsonLucy(),  # noqa: B008 - frozen
) -> Reconstruction:
    """Reconstruct a volume from one rectified light-field frame.

    Args:
        frame: (y, x) floating point, rectified to ``array.pixels`` a lenslet, counts at least 0.
        objective: The microscope, with its magnification.
        array: The lenslets.
        depths_mm: (depth,) evenly spaced, increasing, mm from the focal plane; positive is away
            from the objective.
        voxels: Voxels across a lenslet; more than the light resolves near the focal plane makes
            the known grid artefact there.
        white: (y, x) frame of even light, less the dark frame, rectified in the same way: the light
            that the real pupil loses is then put into the PSF (:func:`pupil_gain`). ``None`` takes
            the ideal pupil.
        options: Steps, prior and background of Richardson-Lucy; beyond the frame it is dark.

    Returns:
        The volume in photons per voxel on a grid in the specimen, mm, whose origin of the world is
        the middle of the frame in the focal plane; ``residual`` after each step.

    Raises:
        ShapeError: The frame is not a whole number of lenslets.
        GeometryError: The depths are not evenly spaced and increasing.
        IntensityError: The frame is negative or not finite.

    References:
        Broxton et al. (2013), doi:10.1364/OE.21.025418, section 3.
    """
    n = array.pixels
    if frame.ndim != 2 or frame.shape[0] % n or frame.shape[1] % n or not frame.numel():
        raise ShapeError(
            f"frame must be (y, x) of whole lenslets of {n} pixels, got {tuple(frame.shape)}: "
            "rectify it first"
        )
    gaps = depths_mm.double().diff()
    step = float(gaps.mean()) if len(gaps) else 1e-3
    if not step > 0 or (len(gaps) and float((gaps - step).abs().max()) > 1e-6 * step):
        raise GeometryError(
            f"depths_mm must be evenly spaced and increasing, got {depths_mm.tolist()}"
        )
    psf = lightfield_psf(objective, array, depths_mm, voxels=voxels)
    lenslets = (frame.shape[0] // n, frame.shape[1] // n)
    if white is not None:
        gain = pupil_gain(psf, white, pixels=n)
        psf = psf * gain.to(psf.device).repeat(psf.shape[-2] // n, psf.shape[-1] // n)
    op = LightField(psf.to(frame.device), n, lenslets)
    pitch = array.pitch_mm / objective.magnification / voxels
    solution = likeliest(op, frame, spacing=(step, pitch, pitch), options=options)
    depth, height, width = op.domain
    origin = (-(width - 1) / 2 * pitch, -(height - 1) / 2 * pitch, float(depths_mm[0]))
    grid = Grid.from_spacing((depth, height, width), (step, pitch, pitch), origin_mm=origin)
    fewer = frame.numel() < solution.x.numel()
    return Reconstruction(
        Image(solution.x[None].contiguous(), grid, "photon"),
        "light-field richardson-lucy",
        residual=solution.residual,
        identifiable=options.weight > 0 or not fewer,
        weight=options.weight,
        remarks=(
            f"{n} pixels and {voxels} voxels across a lenslet",
            f"background: {options.background:g} photons",
            "pupil: ideal" if white is None else "pupil: measured from the white frame",
        ),
    )


def pupil_gain(
    psf: Kernel, white: Float[Tensor, "y x"], *, pixels: int
) -> Float[Tensor, "pixel pixel"]:
    """Measure how the pupil of the microscope differs from the ideal one of a PSF.

    Every lenslet shows an image of the pupil. The mean one of a frame of even light, over what the
    PSF shows of an evenly bright volume, is the gain of each pixel behind a lenslet.

    Args:
        psf: (depth, voxel y, voxel x, sensor y, sensor x), see ``physics.optics.lightfield_psf``.
        white: (y, x) frame of even light, less the dark frame, rectified.
        pixels: Pixels across a lenslet.

    Returns:
        (pixel, pixel) float32, its largest value 1.

    Raises:
        ShapeError: The frame is not a whole number of lenslets.
        IntensityError: The frame is not finite, or its mean pupil not positive.
    """
    rows, columns = (size // pixels for size in white.shape)
    if not white.numel() or (rows * pixels, columns * pixels) != tuple(white.shape):
        raise ShapeError(
            f"white must be (y, x) of whole lenslets of {pixels} pixels, got "
            f"{tuple(white.shape)}: rectify it first"
        )
    mean = white.double().reshape(rows, pixels, columns, pixels).mean(dim=(0, 2))
    if not bool((mean > 0).all()) or not bool(torch.isfinite(mean).all()):
        raise IntensityError(
            f"white must be finite and light every pixel behind a lenslet, got a mean pupil from "
            f"{float(mean.min()):g} to {float(mean.max()):g}: subtract the dark frame once"
        )
    across = psf.shape[-1] // pixels
    seen = psf.double().sum(dim=(0, 1, 2)).reshape(across, pixels, across, pixels).sum(dim=(0, 2))
    gain = mean / seen.to(mean.device)
    return (gain / gain.max()).float()
