"""nnU-Net's plan: against figures of its own default planner (version 2.8.1, 8 GB)."""

import pytest

from vesalius.segment._nnunet_plan import median_shape, nnunet_plan, target_spacing, topology

TWO, Z1 = (2, 2, 2), (1, 2, 2)
FLAT = (1, 3, 3)

REFERENCE = [
    # name, spacing, median shape, cases, outputs -> patch, batch, strides, levels with flat kernels
    ("hippocampus", (1.0, 1.0, 1.0), (36, 50, 35), 260, 3, (40, 56, 40), 9, [TWO] * 3, 0),
    ("CT", (1.0, 0.767578, 0.767578), (482, 512, 512), 131, 3, (128, 128, 128), 2, [TWO] * 5, 0),
    ("coarse CT", (3.0, 3.0, 3.0), (101, 122, 30), 40, 42, (112, 128, 32), 2,
     [TWO, TWO, TWO, (2, 2, 1)], 0),
    ("heart", (5.0, 1.5625, 1.5625), (18, 237, 208), 200, 4, (20, 256, 224), 4,
     [Z1, TWO, TWO, Z1, Z1], 1),
    ("prostate", (3.6, 0.625, 0.625), (20, 320, 319), 32, 3, (20, 320, 256), 2,
     [Z1, Z1, TWO, TWO, Z1, Z1], 2),
    ("vessels", (1.0, 1.0), (584, 565), 20, 2, (640, 640), 2, [(2, 2)] * 7, 0),
    ("slices", (0.625, 0.625), (320, 319), 32, 3, (320, 320), 2, [(2, 2)] * 6, 0),
]  # fmt: skip


@pytest.mark.parametrize("row", REFERENCE, ids=[row[0] for row in REFERENCE])
def test_agrees_with_the_planner_of_nnunet(row):
    _, spacing, shape, cases, outputs, patch, batch, strides, flat = row
    found = nnunet_plan(spacing, tuple(map(float, shape)), cases=cases, outputs=outputs)
    assert found.topology.patch == patch
    assert found.batch == batch
    assert list(found.topology.strides) == strides
    assert [k == FLAT for k in found.topology.kernels] == [
        i < flat for i in range(len(strides) + 1)
    ]
    most = 512 if len(patch) == 2 else 320
    assert found.widths == tuple(min(32 << i, most) for i in range(len(strides) + 1))


def test_a_thick_axis_takes_its_tenth_percentile():
    spacings = [(10.0, 1.5, 1.5)] * 8 + [(5.0, 1.5, 1.5)] * 2
    assert target_spacing(spacings, [(10, 200, 200)] * 10) == (5.0, 1.5, 1.5)


def test_a_thick_axis_is_not_made_finer_than_the_others():
    spacings = [(10.0, 1.5, 1.5)] * 8 + [(1.0, 1.5, 1.5)] * 2
    z, _, _ = target_spacing(spacings, [(10, 200, 200)] * 10)
    assert z == pytest.approx(1.5 + 1e-5, abs=1e-9)


def test_a_long_axis_keeps_its_median():
    assert target_spacing([(5.0, 1.0, 1.0)] * 3, [(100, 200, 200)] * 3) == (5.0, 1.0, 1.0)


def test_the_median_shape_is_that_on_the_lattice():
    shapes = [(10, 10, 10), (20, 10, 10), (30, 10, 10)]
    assert median_shape([(2.0, 1.0, 1.0)] * 3, shapes, (1.0, 1.0, 2.0)) == (40, 10, 5)


def test_levels_can_be_limited():
    found = topology((1.0, 1.0), (500, 500), most_levels=3)
    assert found.levels == 3
    assert found.patch == (500, 500)
    assert found.divisor == (4, 4)
