"""A NIfTI file's slope and intercept are applied once, in float."""

import nibabel
import numpy as np
import pytest
import torch

from vesalius import io
from vesalius.errors import FormatError


@pytest.mark.parametrize(("slope", "inter"), [(1.0, -1024.0), (0.5, 3.0), (2.0, 0.0)])
def test_applies_slope_and_intercept(tmp_path, slope, inter):
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = nibabel.Nifti1Image(stored, np.eye(4))
    volume.header.set_slope_inter(slope, inter)
    nibabel.save(volume, tmp_path / "scaled.nii.gz")
    oracle = np.asarray(nibabel.load(tmp_path / "scaled.nii.gz").dataobj)
    handle = io.open(tmp_path / "scaled.nii.gz", unit="HU")
    read = handle.read().data[0].permute(2, 1, 0)
    torch.testing.assert_close(read.double(), torch.from_numpy(oracle.astype(np.float64)))
    assert (handle.meta["scl_slope"], handle.meta["scl_inter"]) == (slope, inter)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_budget_counts_what_scaling_makes(tmp_path, suffix):
    volume = nibabel.Nifti1Image(np.zeros((10, 10, 10), np.uint8), np.eye(4))
    volume.header.set_slope_inter(0.5, 3.0)
    nibabel.save(volume, tmp_path / f"a{suffix}")
    handle = io.open(tmp_path / f"a{suffix}", budget=io.Budget(bytes=3000))
    with pytest.raises(FormatError, match=r"its header claims 10 x 10 x 10 x 1 x 1 samples"):
        handle.read()
    assert handle.read((slice(0, 5), slice(0, 10), slice(0, 10))).data.shape == (1, 5, 10, 10)
