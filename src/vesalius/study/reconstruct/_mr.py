"""MR: k-space of several coils, whitened and compressed, to a magnitude image."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vesalius.core import Grid, Image, Step
from vesalius.errors import FormatError
from vesalius.io.raw import open_kspace
from vesalius.physics.mri import KSpace
from vesalius.reconstruct import Reconstruction
from vesalius.study.reconstruct._job import Job

OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True, eq=False)
class Coils:
    """K-space ready to be reconstructed.

    Attributes:
        slices: One for each slice.
        remarks: What was assumed or done on the way.
    """

    slices: tuple[KSpace, ...]
    remarks: tuple[str, ...]


def open_coils(raw: Path, *, noise: Path | None, coils: int) -> Coils:
    """Read k-space; whiten it where noise was measured; compress its coils where asked.

    Args:
        raw: The measurements.
        noise: .npy of complex noise samples (coil, n); ``None`` takes those of the raw file.
        coils: Coils to keep; 0 keeps all.

    Returns:
        K-space and remarks.

    Raises:
        FormatError: A file cannot be read.
    """
    from vesalius.reconstruct.mri import compress, noise_covariance, prewhiten

    found = open_kspace(raw)
    remarks = list(found.remarks)
    samples = found.noise if noise is None else _noise(noise)
    slices = found.slices
    if samples is not None:
        covariance = noise_covariance(samples)
        slices = tuple(replace(s, data=prewhiten(s.data, covariance=covariance)) for s in slices)
        remarks.append("The coils were whitened by their measured noise.")
    else:
        remarks.append("No noise was measured: the coils were not whitened.")
    if coils:
        together = torch.cat([s.data.flatten(1) for s in slices], dim=1)
        sizes = [s.data[0].numel() for s in slices]
        mixed = torch.split(compress(together, coils=coils), sizes, dim=1)
        slices = tuple(
            replace(s, data=part.reshape(coils, *s.data.shape[1:]))
            for s, part in zip(slices, mixed, strict=True)
        )
        remarks.append(f"The coils were compressed to {coils} virtual ones.")
    return Coils(slices, tuple(remarks))


def _noise(path: Path) -> torch.Tensor:
    import numpy as np

    try:
        samples = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FormatError(
            f"noise must be a .npy file of complex samples (coil, n), {path.name!r} is not"
        ) from error
    return torch.from_numpy(np.ascontiguousarray(samples))


def reconstruct_mr(coils: Coils, job: Job, *, on_step: OnStep | None) -> Reconstruction:
    """Reconstruct every slice and put them on top of each other.

    Args:
        coils: The measurements.
        job: Method, steps and strength.
        on_step: Told of each step.

    Returns:
        Magnitude image; the residual is the mean over the slices.
    """
    parts = []
    for k, part in enumerate(coils.slices):
        parts.append(_slice(part, job))
        if on_step is not None:
            on_step(Step(f"reconstruct: {job.method}", k + 1, len(coils.slices)))
    first = parts[0]
    residual = tuple(
        float(torch.tensor(step).mean()) for step in zip(*(p.residual for p in parts), strict=False)
    )
    image = Image(
        torch.cat([p.image.data[:1] for p in parts], dim=1), _piled(coils), first.image.unit
    )
    return replace(
        first,
        image=image,
        method=job.method,
        residual=residual,
        identifiable=all(p.identifiable for p in parts),
    )


def _slice(kspace: KSpace, job: Job) -> Reconstruction:
    from vesalius.physics.mri import Fourier
    from vesalius.reconstruct.mri import Sense, espirit, root_sum_of_squares, sense

    if job.method == "rss":
        images = Fourier(tuple(kspace.data.shape), (-3, -2, -1)).H(kspace.data)
        return Reconstruction(
            Image(root_sum_of_squares(images)[None], kspace.grid),
            "rss",
            remarks=("Samples that were not measured count as zero.",),
        )
    options = Sense() if job.method == "cs" else Sense(prior="tikhonov", weight=1e-2)
    if job.weight != "auto":
        options = replace(options, weight=job.weight)
    if job.steps:
        options = replace(options, steps=job.steps)
    return sense(kspace, maps=espirit(kspace.data, mask=kspace.mask).maps, options=options)


def _piled(coils: Coils) -> Grid:
    """Grid of all slices, the first one's continued along z."""
    grid = coils.slices[0].grid
    return Grid((sum(s.grid.shape[0] for s in coils.slices), *grid.shape[1:]), grid.affine)
