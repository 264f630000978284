"""Regions for the tests of the shape families."""

import csv
from pathlib import Path

import numpy as np
import torch

from vesalius.core import Grid
from vesalius.measure._region import Region


def region(mask, intensity=None, spacing=(1.0, 1.0, 1.0), *, inside=None):
    """Make a region from arrays (z, y, x)."""
    mask = torch.as_tensor(np.ascontiguousarray(mask))
    values = torch.zeros(mask.shape) if intensity is None else torch.as_tensor(intensity.copy())
    kept = mask if inside is None else torch.as_tensor(np.ascontiguousarray(inside))
    return Region(Grid.from_spacing(tuple(mask.shape), spacing), values.double(), mask, kept, "HU")


def blob(seed, shape=(7, 9, 8)):
    """Make a mask with ears and holes, and intensities."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(-n / 2, n / 2, n * 1j) for n in shape)]
    mask = (z / 3) ** 2 + (y / 4) ** 2 + (x / 3.5) ** 2 + 0.6 * rng.random(shape) < 1
    return mask, rng.normal(40, 15, shape)


def turned(mask, intensity, spacing, order, flips):
    """Turn and flip a region; the spacing goes with its axes."""
    axes = [a for a in range(3) if flips[a]]
    arrays = [np.flip(a.transpose(order), axes) for a in (mask, intensity)]
    return region(arrays[0], arrays[1], tuple(spacing[a] for a in order))


def by_tag(values):
    """Key values by tag."""
    return {v.tag: v.value for v in values}


def open_ibsi(folder: Path):
    """Read an IBSI phantom: intensities and mask (z, y, x), spacing along (z, y, x) in mm."""
    import nibabel

    image, mask = nibabel.load(folder / "image.nii.gz"), nibabel.load(folder / "mask.nii.gz")
    spacing = tuple(float(s) for s in image.header.get_zooms()[:3][::-1])
    values = np.asarray(image.dataobj).T.astype(float)
    return np.ascontiguousarray(values), np.ascontiguousarray(mask.get_fdata().T > 0), spacing


def references(path: Path):
    """Read reference values and tolerances that have both, by tag."""
    with path.open() as lines:
        rows = list(csv.reader(lines, delimiter=";"))[1:]
    return {tag: (float(value), float(tol)) for value, tol, tag in rows if value and tol}


def failures(values, expected):
    """List the values that miss their reference by the IBSI's rule, and count those that have one.

    The value is rounded to three significant digits and must lie within the tolerance.
    """
    found = [v for v in values if v.tag in expected]
    missed = [
        (v.tag, v.value, expected[v.tag])
        for v in found
        if abs(float(f"{v.value:.3g}") - expected[v.tag][0]) > expected[v.tag][1] + 1e-9
    ]
    return missed, len(found)
