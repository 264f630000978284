"""Phantoms, reference maps and reference values of IBSI chapter 2, read from the test data."""
# SPDX-License-Identifier: Apache-2.0

import csv

import nibabel
import numpy as np
import torch

from vesalius.core import Grid, Image


def read(path):
    """A NIfTI file as an image; x, y, z of the file become x, y, z of the array."""
    volume = nibabel.load(path)
    data = np.asarray(volume.dataobj).astype(np.float64).transpose(2, 1, 0)
    dx, dy, dz = (float(s) for s in volume.header.get_zooms()[:3])
    grid = Grid.from_spacing(data.shape, (dz, dy, dx))
    return Image(torch.from_numpy(data.copy())[None], grid)


def phantom(data_dir, name):
    return read(data_dir / "ibsi" / "ibsi2_digital_phantoms" / f"{name}.nii.gz")


def reference_map(data_dir, test):
    return read(data_dir / "ibsi" / "ibsi2_reference" / f"{test}-ValidCRM.nii.gz").data


def reference_values(data_dir, config):
    """Consensus value and tolerance of each of 18 statistics."""
    path = data_dir / "ibsi" / "ibsi2_reference" / "reference_feature_values.csv"
    with path.open() as file:
        rows = [r for r in csv.DictReader(file, delimiter=";") if r["filter_id"] == config]
    return {r["feature_tag"]: (float(r["consensus_value"]), float(r["tolerance"])) for r in rows}


def statistics(values):
    """The 18 intensity statistics of IBSI chapter 1, written out as their definitions."""
    v = np.asarray(values, dtype=np.float64)
    mean, sd = v.mean(), v.std()
    p10, p25, median, p75, p90 = np.percentile(v, [10, 25, 50, 75, 90])
    inner = v[(v >= p10) & (v <= p90)]
    return {
        "stat_mean": mean,
        "stat_var": sd**2,
        "stat_skew": ((v - mean) ** 3).mean() / sd**3,
        "stat_kurt": ((v - mean) ** 4).mean() / sd**4 - 3,
        "stat_median": median,
        "stat_min": v.min(),
        "stat_p10": p10,
        "stat_p90": p90,
        "stat_max": v.max(),
        "stat_iqr": p75 - p25,
        "stat_range": v.max() - v.min(),
        "stat_mad": np.abs(v - mean).mean(),
        "stat_rmad": np.abs(inner - inner.mean()).mean(),
        "stat_medad": np.abs(v - median).mean(),
        "stat_cov": sd / mean,
        "stat_qcod": (p75 - p25) / (p75 + p25),
        "stat_energy": (v**2).sum(),
        "stat_rms": np.sqrt((v**2).mean()),
    }
