"""The regions that measure/ is timed on: two real ones where the data are, one seeded."""
# SPDX-License-Identifier: Apache-2.0

import os
from pathlib import Path

import numpy as np
from _cases import SEED
from _rivals import Case

ROOT = Path(__file__).parent.parent


def data_root() -> Path | None:
    """Give the folder of real test data, or None where it is absent."""
    root = Path(os.environ.get("VESALIUS_TEST_DATA", ROOT.parent / "shared" / "data"))
    return root if root.is_dir() else None


def brain1(root: Path) -> Case:
    """Give the MR brain lesion of PyRadiomics' own tests (about 4,000 voxels)."""
    import nrrd

    intensity, header = nrrd.read(str(root / "radiomics_cases" / "brain1_image.nrrd"))
    mask, _ = nrrd.read(str(root / "radiomics_cases" / "brain1_label.nrrd"))
    spacing = [float(np.linalg.norm(v)) for v in header["space directions"]]
    return Case(
        "brain1 (MR)",
        np.ascontiguousarray(intensity.T, dtype=np.float64),
        np.ascontiguousarray(mask.T == 1),
        (spacing[2], spacing[1], spacing[0]),
        "1",
    )


def sarcoma_ct(root: Path) -> Case:
    """Give the CT of the soft-tissue sarcoma patient (hundreds of thousands of voxels)."""
    import nibabel

    folder = root / "samples" / "sts" / "STS_050"
    image = nibabel.load(folder / "ct.nii.gz")
    mask = nibabel.load(folder / "ct_gtv.nii.gz")
    dx, dy, dz = (float(s) for s in image.header.get_zooms()[:3])
    return Case(
        "sarcoma CT",
        np.ascontiguousarray(image.get_fdata().T),
        np.ascontiguousarray(np.asarray(mask.dataobj).T > 0),
        (dz, dy, dx),
        "HU",
    )


def seeded(voxels: int = 2_000_000) -> Case:
    """Give a bumpy ball of about ``voxels`` voxels with correlated noise, about 20 levels."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(SEED)
    radius = (3 * voxels / (4 * np.pi)) ** (1 / 3)
    size = int(np.ceil(2 * radius * 1.25)) + 4
    smooth = gaussian_filter(rng.standard_normal((size, size, size)), 2.5)
    bumps = gaussian_filter(rng.standard_normal((size, size, size)), radius / 6)
    smooth /= smooth.std()
    bumps /= bumps.std()
    axis = np.arange(size) - (size - 1) / 2
    distance = np.sqrt(
        axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    )
    score = distance * (1 + 0.08 * bumps)
    mask = score <= np.partition(score.ravel(), voxels)[voxels]
    noise = rng.standard_normal((size, size, size))
    intensity = np.rint(40 + 60 * smooth + 25 * noise)
    return Case(f"seeded, {mask.sum():,} voxels", intensity, mask, (1.5, 0.8, 0.8), "HU")


def all_cases() -> list[Case]:
    """Give every case that this machine has."""
    root = data_root()
    real = [] if root is None else [brain1(root), sarcoma_ct(root)]
    return [*real, seeded()]
