"""The demo: the nodule is found without being told, and the truth lies within its error bar."""

import json

import pytest
import torch

from vesalius.study._demo import NODULE_RADIUS_MM, insert, measure_sample, quiet_place
from vesalius.study._run import open_folder
from vesalius.study._sample import ORGANS, phantom_sample


@pytest.fixture(scope="module")
def sample():
    return phantom_sample(spacing_mm=(3.0, 2.0, 2.0))


def test_a_quiet_place_is_deep_in_the_right_lung(sample):
    point = quiet_place(sample.image, sample.labels, reach_mm=17.0)
    index = sample.image.grid.to_index(torch.tensor(point, dtype=torch.float64)).round().long()
    z, y, x = index.tolist()
    block = sample.labels.data[0, z - 4 : z + 5, y - 6 : y + 7, x - 6 : x + 7]
    assert (block == 1).all()


def test_the_nodule_is_found_without_being_told(sample):
    nodule = insert(sample)
    counted = int((nodule.labels.data == 1).sum()) * nodule.labels.grid.voxel_volume_mm3
    assert nodule.volume_mm3 == pytest.approx(4 / 3 * torch.pi * NODULE_RADIUS_MM**3)
    assert counted == pytest.approx(nodule.volume_mm3, rel=0.02)


@pytest.mark.slow
def test_the_whole_demo_on_the_phantom(sample, tmp_path, monkeypatch):
    monkeypatch.setattr("vesalius.study._demo.ORGAN_SPACING_MM", 4.0)
    outcome = measure_sample(sample, tmp_path, journal=open_folder(tmp_path))
    assert outcome.complete, outcome.report.errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["label"] for row in report["key_numbers"]] == ["nodule", *ORGANS]
    volumes = {row["label"]: row for row in report["truth"] if row["title"] == "Volume"}
    assert set(volumes) == {"nodule", *ORGANS}
    assert volumes["nodule"]["measured"]["value"] == pytest.approx(3.054, rel=0.05)
    assert volumes["liver"]["inside"] is True
    assert {"figures/overview.png", "figures/nodule.png", "features.parquet"} <= set(outcome.files)
    assert str(tmp_path) not in (tmp_path / "report.html").read_text()
