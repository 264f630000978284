"""PyRadiomics' own baseline values, reproduced."""

import ast
import csv
from functools import cache
from pathlib import Path

import pytest

from vesalius import io
from vesalius.core import Image, Labels
from vesalius.measure.compat._settings import read_parameters
from vesalius.measure.compat._values import pyradiomics_values

CLASSES = ("firstorder", "shape", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
MESH = {"MeshVolume", "SurfaceArea", "SurfaceVolumeRatio", "Sphericity"}
"""Features of the mesh: ambiguous cubes are cut differently, which shows more on coarse voxels."""


@cache
def case(root: Path, name: str) -> tuple[Image, Labels]:
    folder = root / "radiomics_cases"
    return (
        io.open(folder / f"{name}_image.nrrd").read(),
        io.open_labels(folder / f"{name}_label.nrrd"),
    )


def columns(root: Path, feature_class: str, name: str) -> dict[str, tuple[dict, dict[str, float]]]:
    """Read the settings and the values of every baseline of one case."""
    path = root / "radiomics_cases" / "baseline" / f"baseline_{feature_class}.csv"
    with path.open() as file:
        rows = list(csv.reader(file))
    settings_row = next(row for row in rows if row[0] == "diagnostics_Configuration_Settings")
    found = {}
    for k, head in enumerate(rows[0]):
        if head == name or head.startswith(f"{name}_"):
            given = ast.literal_eval(settings_row[k])
            settings = {key: value for key, value in given.items() if value is not None}
            values = {
                row[0].split("_")[-1]: float(row[k])
                for row in rows
                if row[0].startswith("original_") and row[k]
            }
            found[head] = (settings, values)
    return found


@pytest.mark.parametrize("feature_class", CLASSES)
@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_every_baseline_is_reproduced(data_dir, name, feature_class):
    image, labels = case(data_dir, name)
    mask = labels.mask(1)
    for head, (settings, expected) in columns(data_dir, feature_class, name).items():
        parameters = read_parameters(
            {"setting": settings, "featureClass": {feature_class: list(expected)}}
        )
        found = pyradiomics_values(image, mask, parameters)
        for feature, value in expected.items():
            mesh = 5e-3 if head.endswith("resampling") else 1e-3
            rel = mesh if feature in MESH else 1e-6
            message = f"{head} {feature_class} {feature}"
            assert found[f"{feature_class}_{feature}"] == pytest.approx(
                value, rel=rel, abs=1e-12
            ), message
