"""IBSI-2: response maps of the filter phantoms, and intensity statistics of the filtered CT."""
# SPDX-License-Identifier: Apache-2.0

import csv
from collections.abc import Iterator
from pathlib import Path

from vesalius.enhance import (
    GaborFilter,
    LawsFilter,
    LogFilter,
    MeanFilter,
    NonseparableFilter,
    WaveletFilter,
    apply_filter,
)
from vesalius.io import as_labels, open
from vesalius.measure import Config, extract

LAWS = {"kernels": "E5L5S5", "boundary": "zero"}
GABOR = {"sigma_mm": 10, "wavelength_mm": 4, "gamma": 0.5, "angle_deg": 60, "boundary": "zero"}
DB2 = {"family": "db2", "band": "LHL", "boundary": "zero"}
MAPS = {
    "1_a_1": ("checkerboard", MeanFilter(size=15, boundary="zero")),
    "1_a_2": ("checkerboard", MeanFilter(size=15, boundary="nearest")),
    "1_a_3": ("checkerboard", MeanFilter(size=15, boundary="periodic")),
    "1_a_4": ("checkerboard", MeanFilter(size=15, boundary="mirror")),
    "2_a": ("impulse", LogFilter(sigma_mm=3, truncate=4, boundary="zero")),
    "3_a_1": ("impulse", LawsFilter(**LAWS)),
    "3_a_2": ("impulse", LawsFilter(**LAWS, rotation="max")),
    "3_a_3": ("impulse", LawsFilter(**LAWS, rotation="max", energy_distance=7)),
    "4_a_1": ("impulse", GaborFilter(**GABOR)),
    "4_a_2": (
        "impulse",
        GaborFilter(**GABOR, rotation="mean", step_deg=45, planes="orthogonal"),
    ),
    "5_a_1": ("impulse", WaveletFilter(**DB2)),
    "5_a_2": ("impulse", WaveletFilter(**DB2, rotation="mean")),
    "7_a_1": (
        "checkerboard",
        WaveletFilter(family="haar", band="LLL", level=2, rotation="mean", boundary="mirror"),
    ),
    "8_a_1": ("checkerboard", NonseparableFilter(level=1, boundary="periodic")),
}

TWO = {"profile": "ibsi", "modality": "CT", "resegment": {"range": (-1000, 400)}}
THREE = {**TWO, "resample": {"spacing_mm": (1, 1, 1), "image": "cubic", "rounding": "integer"}}
RINGS = {"sigma_mm": 5, "wavelength_mm": 2, "gamma": 1.5, "rotation": "mean", "step_deg": 22.5}
VALUES = {
    "1.A": (TWO, None),
    "1.B": (THREE, None),
    "2.A": (TWO, {"kind": "mean", "size": 5, "dimension": "2D"}),
    "2.B": (THREE, {"kind": "mean", "size": 5}),
    "3.A": (TWO, {"kind": "log", "sigma_mm": 1.5, "dimension": "2D"}),
    "3.B": (THREE, {"kind": "log", "sigma_mm": 1.5}),
    "4.A": (TWO, {"kind": "laws", "kernels": "L5E5", "rotation": "max", "energy_distance": 7}),
    "4.B": (THREE, {"kind": "laws", "kernels": "L5E5E5", "rotation": "max", "energy_distance": 7}),
    "5.A": (TWO, {"kind": "gabor", **RINGS}),
    "5.B": (THREE, {"kind": "gabor", **RINGS, "planes": "orthogonal"}),
    "6.A": (TWO, {"kind": "wavelet", "family": "db3", "band": "LH", "rotation": "mean"}),
    "6.B": (THREE, {"kind": "wavelet", "family": "db3", "band": "LLH", "rotation": "mean"}),
    "7.A": (
        TWO,
        {"kind": "wavelet", "family": "db3", "band": "HH", "level": 2, "rotation": "mean"},
    ),
    "7.B": (
        THREE,
        {"kind": "wavelet", "family": "db3", "band": "HHH", "level": 2, "rotation": "mean"},
    ),
    "8.A": (TWO, {"kind": "nonseparable", "level": 1, "dimension": "2D", "boundary": "mirror"}),
    "8.B": (THREE, {"kind": "nonseparable", "level": 1, "boundary": "mirror"}),
    "9.A": (TWO, {"kind": "nonseparable", "level": 2, "dimension": "2D", "boundary": "mirror"}),
    "9.B": (THREE, {"kind": "nonseparable", "level": 2, "boundary": "mirror"}),
}


def map_rows(root: Path) -> Iterator[tuple[str, float]]:
    """Give the largest difference of each response map, as a fraction of the reference's range."""
    for name, (phantom, spec) in MAPS.items():
        path = root / "ibsi" / "ibsi2_digital_phantoms" / f"{phantom}.nii.gz"
        image = open(path).read().map(lambda x: x.double())
        reference = open(root / "ibsi" / "ibsi2_reference" / f"{name}-ValidCRM.nii.gz").read()
        wanted = reference.data.double()
        found = apply_filter(image, spec).data
        span = float(wanted.max() - wanted.min())
        yield name, float((found - wanted).abs().max()) / span


def value_rows(root: Path) -> Iterator[tuple[str, float, float, float]]:
    """Give name, value, reference and tolerance of each statistic of the filtered CT."""
    path = root / "ibsi" / "ibsi2_reference" / "reference_feature_values.csv"
    with path.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    folder = root / "ibsi" / "ibsi1_ct_phantom"
    image = open(folder / "image.nii.gz").read()
    labels = as_labels(open(folder / "mask.nii.gz").read())
    given = {row["filter_id"] for row in rows}
    for name, (base, spec) in VALUES.items():
        if name not in given:
            continue
        filters = [] if spec is None else [spec]
        config = Config.model_validate(
            {**base, "filters": filters, "features": {"families": ["statistics"]}}
        )
        table = extract(image, labels, config=config).table
        part = table[table["filter"].ne("original") == bool(filters)]
        values = dict(zip(part.feature, part.value, strict=True))
        for row in rows:
            if row["filter_id"] == name and row["tolerance"].strip():
                tag = row["feature_tag"].strip()
                numbers = float(row["consensus_value"]), float(row["tolerance"])
                yield f"{name} {tag}", values[tag], *numbers
