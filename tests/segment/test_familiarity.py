"""Familiarity: a CT is told from the MR scans that a model learned from, a held-out scan is not."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vesalius
from vesalius.errors import FormatError, RegionError
from vesalius.segment._familiarity import appearance, familiarity, reference, reference_or_none
from vesalius.segment._plan import Normalisation
from vesalius.segment._prepare import normalised

STANDARD = Normalisation("standardise")
ONE = (1.0, 1.0, 1.0)


def scan(seed: int, *, size: int = 20, noise: float = 0.3) -> Tensor:
    """Blobs on a slope, of many sizes; another gain and offset for every seed."""
    rng = np.random.default_rng(seed)
    n = size + rng.integers(-2, 3)
    z, y, x = np.mgrid[:n, :n, :n] / n
    data = 1.5 * y + noise * rng.normal(size=(n, n, n))
    for _ in range(4):
        c = rng.uniform(0.2, 0.8, 3)
        away = (z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2
        data += 2 * np.exp(-away / 0.02)
    gain = rng.uniform(50, 400)
    return normalised(torch.from_numpy(gain * data + gain).float()[None], STANDARD)


def usual(cases: int = 40) -> dict[str, object]:
    return reference([appearance(scan(s), ONE) for s in range(cases)])


def test_new_scans_of_the_same_kind_are_not_flagged():
    known = usual()
    told = [familiarity(known, appearance(scan(100 + s), ONE)) for s in range(30)]
    assert sum(bool(t.remarks) for t in told) <= 1
    assert all(math.isfinite(t.distance) for t in told)


@pytest.mark.parametrize("kind", ["binary", "noisy", "upside down", "large", "blurred"])
def test_other_kinds_of_images_are_flagged(kind):
    x = scan(100)
    changed = {
        "binary": (x > 1.5).float(),
        "noisy": x + 2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)),
        "upside down": -x,
        "large": x,
        "blurred": torch.nn.functional.avg_pool3d(x, 5, 1, 2),
    }[kind]
    data = normalised(changed, STANDARD)
    told = familiarity(usual(), appearance(data, (9.0, 9.0, 9.0) if kind == "large" else ONE))
    assert told.distance > told.limit
    assert told.remarks[0].startswith("the image is unlike the training data, the labels may be")


def test_says_what_is_unlike():
    told = familiarity(usual(), appearance(scan(100), (1.0, 1.0, 6.0)))
    assert "extent along x, mm is" in told.remarks[0]


def test_the_reference_survives_json():
    known = usual(12)
    found = appearance(scan(50), ONE)
    assert familiarity(json.loads(json.dumps(known)), found) == familiarity(known, found)


def test_training_cases_that_are_all_alike_allow_small_changes():
    known = reference([appearance(scan(0), ONE)] * 10)
    nearly = scan(0) + 0.01 * torch.randn(scan(0).shape, generator=torch.Generator().manual_seed(0))
    assert familiarity(known, appearance(nearly, ONE)).distance < 1


def test_large_images_are_looked_at_in_part():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 64, 200, 200, generator=g)
    found = appearance(x, ONE)
    assert found["percentile 50 of channel 0"] == pytest.approx(0.0, abs=0.01)
    # |difference| of two standard normal samples: 2 / sqrt(pi); the spread is 2 * 1.6449
    for axis in "zyx":
        rough = found[f"roughness along {axis} of channel 0"]
        assert rough == pytest.approx(2 / math.sqrt(math.pi) / 3.2897, rel=0.02)


def test_a_flat_image_has_no_third_axis():
    found = appearance(torch.rand(3, 1, 9, 9), ONE)
    assert not any("along z" in name for name in found)
    assert sum("percentile" in name for name in found) == 21


def test_an_image_with_other_axes_is_unlike():
    told = familiarity(usual(10), appearance(torch.rand(1, 1, 9, 9), ONE))
    assert told.distance == math.inf
    assert "wrong: it has no log extent along z" in told.remarks[0]


def test_an_image_with_more_axes_than_the_training_images_is_told_so():
    known = reference([appearance(torch.rand(1, 1, 9, 9 + i), ONE) for i in range(8)])
    told = familiarity(known, appearance(torch.rand(1, 9, 9, 9), ONE))
    assert "it has a log extent along z, which none of them has" in told.remarks[0]


def test_a_ct_is_unlike_hippocampus_scans_and_scans_that_were_held_out_are_not(data_dir: Path):
    folder = data_dir / "segmentation" / "hippocampus" / "images"
    rows = []
    for path in sorted(folder.glob("*.nii.gz"))[:60]:
        image = vesalius.open(path).read()
        rows.append(appearance(normalised(image.data, STANDARD), image.grid.spacing_mm))
    known = reference(rows[:40])
    assert [familiarity(known, row).remarks for row in rows[40:]] == [()] * 20
    ct = vesalius.open(data_dir / "segmentation" / "ct_totalseg" / "example_ct.nii.gz").read()
    part = ct.crop((40, 25, 43), (36, 50, 36))  # as many samples as the scans have, soft tissue
    for image in (ct, part):
        data = normalised(image.data, STANDARD)
        told = familiarity(known, appearance(data, ct.grid.spacing_mm))
        assert told.distance > 3 * told.limit


def test_the_commonest_kind_of_case_is_learned_where_kinds_are_mixed():
    volumes = [appearance(scan(s), ONE) for s in range(10)]
    pictures = [appearance(torch.rand(1, 1, 9, 9), ONE)] * 9
    assert reference_or_none([*pictures, *volumes]) == reference(volumes)
    assert reference_or_none(volumes[:7]) == {}
    assert reference_or_none([]) == {}


def test_refuses_too_few_cases():
    with pytest.raises(RegionError, match="what is usual is learned from at least 8 cases"):
        reference([appearance(scan(0), ONE)] * 7)


def test_refuses_cases_of_different_features():
    rows = [appearance(scan(s), ONE) for s in range(9)] + [appearance(torch.rand(1, 1, 4, 4), ONE)]
    with pytest.raises(RegionError, match="with the same axes and channels"):
        reference(rows)


@pytest.mark.parametrize("wrong", [{"precision": [[1.0]]}, {"farthest": "far"}, {"mean": None}])
def test_refuses_a_reference_that_does_not_fit_together(wrong):
    with pytest.raises(FormatError, match="the appearance of the training data must have features"):
        familiarity({**usual(8), **wrong}, appearance(scan(0), ONE))
