"""Outlines on grids: in slices, between them, across them; holes, overlaps, names."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from phantoms_io import oblique_affine, sheared_affine

from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, GeometryError
from vesalius.io import Budget
from vesalius.io._contours import Contours, Outline, Roi
from vesalius.io._rasterise import rasterise
from vesalius.io._trace import trace

SHAPE = (4, 9, 11)
AFFINES = {
    "straight": Grid.from_spacing(SHAPE, (3.0, 0.8, 0.7), origin_mm=(-20.0, 5.0, 90.0)).affine,
    "oblique": oblique_affine(),
    "sheared": sheared_affine(),
}
grids = pytest.mark.parametrize("grid", [Grid(SHAPE, a) for a in AFFINES.values()], ids=AFFINES)
volumes = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 7]))


def box(z, y, x):
    """A rectangle in slice ``z`` from y to y and x to x, (4, 3) indices."""
    return torch.tensor(
        [[z, y[0], x[0]], [z, y[0], x[1]], [z, y[1], x[1]], [z, y[1], x[0]]], dtype=torch.float64
    )


def roi(name, boxes, value=1, grid=None, kind="closed"):
    at = [one if grid is None else grid.to_world(one) for one in boxes]
    return Roi(name, tuple(Outline(p, kind) for p in at), value)


def held(*rois, space="world"):
    return Contours("plan.dcm", rois, {}, space=space)


def codes(drawn):
    return [f.code for f in drawn.findings]


# ---- round trip


@grids
@settings(max_examples=30)
@given(volumes)
def test_drawing_the_trace_gives_the_labels_back(grid, data):
    labels = Labels(torch.from_numpy(data)[None], grid, {(0, 7): "liver"})
    if not data.any():
        return
    drawn = rasterise(trace(labels), grid)
    assert torch.equal(drawn.labels.data, labels.data)
    assert drawn.labels.names == {(0, v): labels.name(v) for _, v in labels.values}


@settings(max_examples=40)
@given(volumes)
def test_drawing_the_trace_in_pixels_gives_the_labels_back(data):
    grid = Grid(SHAPE, AFFINES["oblique"])
    labels = Labels(torch.from_numpy(data)[None], grid)
    elsewhere = Grid.from_spacing(SHAPE)
    drawn = rasterise(trace(labels, space="pixel"), elsewhere)
    assert torch.equal(drawn.labels.data, labels.data)


def test_overlapping_layers_come_back_with_values_of_their_own():
    grid = Grid(SHAPE, AFFINES["oblique"])
    data = torch.zeros((2, *SHAPE), dtype=torch.int16)
    data[0, 1:3, 2:6, 2:6] = 5
    data[1, 2:4, 4:8, 4:8] = 5
    labels = Labels(data, grid, {(0, 5): "lung", (1, 5): "lesion"})
    drawn = rasterise(trace(labels), grid).labels
    assert drawn.data.shape[0] == 2
    assert drawn.names == {(0, 5): "lung", (1, 6): "lesion"}
    assert torch.equal(drawn.mask(5, 0), labels.mask(5, 0))
    assert torch.equal(drawn.mask(6, 1), labels.mask(5, 1))


@pytest.mark.parametrize("values", [(-3, 70_000), (1, 1 << 40)])
def test_traces_negative_and_large_labels(values):
    grid = Grid(SHAPE, AFFINES["straight"])
    data = torch.zeros((1, *SHAPE), dtype=torch.int64)
    data[0, 0, :3], data[0, 1, 4:] = values
    traced = trace(Labels(data, grid))
    wanted = values if values[0] > 0 else (1, values[1])
    assert tuple(one.value for one in traced.rois) == wanted
    assert rasterise(traced, grid).labels.data.dtype in (torch.int32, torch.int64)


def test_traces_labels_without_any():
    grid = Grid(SHAPE, AFFINES["straight"])
    assert trace(Labels(torch.zeros((1, *SHAPE), dtype=torch.int64), grid)).rois == ()


# ---- in slices


@grids
def test_a_box_in_a_slice_takes_the_voxels_inside(grid):
    drawn = rasterise(held(roi("gtv", [box(2, (1.5, 4.5), (2.5, 7.5))], 3, grid)), grid)
    wanted = torch.zeros(SHAPE, dtype=torch.uint8)
    wanted[2, 2:5, 3:8] = 3
    assert torch.equal(drawn.labels.data[0], wanted)
    assert drawn.labels.names == {(0, 3): "gtv"}
    assert drawn.findings == ()


@grids
def test_an_inner_outline_is_a_hole_and_two_apart_are_one_region(grid):
    boxes = [box(1, (0.5, 7.5), (0.5, 7.5)), box(1, (2.5, 4.5), (2.5, 4.5))]
    boxes += [box(1, (1.5, 3.5), (8.5, 10.5))]
    drawn = rasterise(held(roi("a", boxes, 1, grid)), grid)
    wanted = torch.zeros(SHAPE, dtype=torch.uint8)
    wanted[1, 1:8, 1:8] = 1
    wanted[1, 3:5, 3:5] = 0
    wanted[1, 2:4, 9:11] = 1
    assert torch.equal(drawn.labels.data[0], wanted)


def test_area_and_centre_differ_where_a_sliver_crosses_a_centre():
    grid = Grid.from_spacing(SHAPE)
    sliver = held(roi("a", [box(0, (2.9, 3.1), (-0.5, 10.5))]))
    pixel = Contours("a", sliver.rois, {}, space="pixel")
    assert int(rasterise(pixel, grid).labels.data.sum()) == 11
    assert rasterise(pixel, grid, policy="area").labels.data.sum() == 0
    assert codes(rasterise(pixel, grid, policy="area")) == ["empty"]


def test_slices_without_an_outline_stay_empty_and_are_told():
    grid = Grid.from_spacing(SHAPE)
    boxes = [box(z, (0.5, 3.5), (0.5, 3.5)) for z in (0, 3)]
    drawn = rasterise(held(roi("a", boxes, grid=grid)), grid)
    assert drawn.labels.data[0].any(dim=2).any(dim=1).tolist() == [True, False, False, True]
    assert "2 slices between outlines of 'a' have none" in drawn.findings[0].message
    assert codes(drawn) == ["missing-slices"]


@pytest.mark.parametrize("shift", [-0.4, 0.3])
def test_outlines_between_slices_count_for_the_nearest_and_are_told(shift):
    grid = Grid.from_spacing(SHAPE)
    boxes = [box(z + shift, (0.5, 3.5), (0.5, 3.5)) for z in (1, 2)]
    drawn = rasterise(held(roi("a", boxes, grid=grid)), grid)
    assert drawn.labels.data[0].any(dim=2).any(dim=1).tolist() == [False, True, True, False]
    assert codes(drawn) == ["between-slices"]


def test_planes_denser_than_the_slices_do_not_cancel():
    """Two outlines nearest to one slice must not be taken for a body and its hole."""
    grid = Grid.from_spacing(SHAPE)
    boxes = [box(z / 3, (0.5, 3.5), (0.5, 3.5 + z)) for z in range(7)]
    drawn = rasterise(held(roi("a", boxes, grid=grid)), grid)
    assert drawn.labels.data[0].sum(dim=(1, 2)).tolist() == [9, 18, 27, 0]
    assert set(codes(drawn)) == {"between-slices", "planes-unused"}


def test_planes_of_a_coarser_stack_fill_the_slices_between():
    grid = Grid.from_spacing((12, 9, 11))
    boxes = [box(z, (0.5, 3.5), (0.5, 3.5)) for z in (2.3, 5.6, 8.9)]
    drawn = rasterise(held(roi("a", boxes, grid=grid)), grid)
    filled = drawn.labels.data[0].any(dim=2).any(dim=1).tolist()
    assert filled == [k in range(1, 11) for k in range(12)]
    assert codes(drawn) == ["between-slices"]


def test_planes_beyond_the_grid_are_told():
    grid = Grid.from_spacing(SHAPE)
    boxes = [box(z, (0.5, 3.5), (0.5, 3.5)) for z in range(7)]
    drawn = rasterise(held(roi("a", boxes, grid=grid)), grid)
    assert drawn.findings[0].message == "3 planes of 'a' lie beyond the grid"
    assert drawn.labels.data.sum() == 36


def test_one_region_off_the_grid_is_told_all_are_refused():
    grid = Grid.from_spacing(SHAPE)
    near, far = box(1, (0.5, 3.5), (0.5, 3.5)), box(900, (0.5, 3.5), (0.5, 3.5))
    side = box(1, (100.5, 103.5), (0.5, 3.5))
    drawn = rasterise(held(roi("near", [near]), roi("far", [far], 2), space="pixel"), grid)
    assert drawn.findings[0].message == "regions off the grid, left out: 'far'"
    assert drawn.labels.names == {(0, 1): "near"}
    for one in (far, side):
        with pytest.raises(GeometryError, match=r"must lie on the grid, none does \('far'\)"):
            rasterise(held(roi("far", [one]), space="pixel"), grid)


def test_open_outlines_and_points_enclose_nothing():
    grid = Grid.from_spacing(SHAPE)
    closed = roi("a", [box(1, (0.5, 3.5), (0.5, 3.5))])
    line = Roi(
        "a", (*closed.outlines, *roi("a", [box(2, (0, 3), (0, 3))], kind="open").outlines), 1
    )
    point = roi("p", [torch.zeros((1, 3), dtype=torch.float64)], 2, kind="point")
    drawn = rasterise(held(line, point, space="pixel"), grid)
    assert drawn.labels.data.sum() == 9
    assert codes(drawn) == ["empty", "not-closed", "not-closed"]


def angle_sum(polygon: np.ndarray, at: np.ndarray) -> float:
    """Turns of a polygon around a point, by adding up angles."""
    rays = polygon - at
    following = np.roll(rays, -1, axis=0)
    cross = rays[:, 0] * following[:, 1] - rays[:, 1] * following[:, 0]
    return float(np.arctan2(cross, (rays * following).sum(axis=1)).sum() / (2 * np.pi))


@grids
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12)
def test_agrees_with_turns_counted_in_the_world(grid, seed):
    """An oracle in another space with another rule: angles around voxel centres, in mm."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radius = rng.uniform(0.5, 5, 7)
    index = np.column_stack(
        [np.full(7, 2.0), 4 + 0.8 * radius * np.sin(angles), 5 + radius * np.cos(angles)]
    )
    drawn = rasterise(held(roi("a", [torch.from_numpy(index)], 1, grid), space="world"), grid)
    world = grid.to_world(torch.from_numpy(index)).numpy()
    axes = np.linalg.qr(grid.affine[:3, 1:3].numpy())[0]
    for y in range(SHAPE[1]):
        for x in range(SHAPE[2]):
            centre = grid.to_world(torch.tensor([2.0, y, x], dtype=torch.float64)).numpy()
            turns = round(angle_sum((world - world[0]) @ axes, (centre - world[0]) @ axes))
            assert bool(drawn.labels.data[0, 2, y, x]) == (turns % 2 == 1)


@grids
@given(shift=st.integers(-2, 2))
def test_a_shift_of_the_grid_by_whole_voxels_shifts_the_labels(grid, shift):
    plan = held(roi("a", [box(k, (2.2, 6.1), (3.3, 7.4)) for k in (1, 2)], 1, grid))
    moved = grid.crop((0, shift, shift), SHAPE)
    first, second = (rasterise(plan, g).labels.data[0] for g in (grid, moved))
    assert torch.equal(torch.roll(first, (-shift, -shift), (1, 2)), second)


# ---- across slices


@pytest.mark.parametrize("axis", [0, 1])
@grids
def test_outlines_across_the_slices_are_slabs(grid, axis):
    """Coronal and sagittal rectangles of every second plane; the grid cannot tell them apart."""
    boxes = []
    for k in (2.0, 3.0, 4.0):
        flat = box(k, (0.6, 2.4), (1.5, 6.5))
        boxes.append(flat[:, [1, 0, 2]] if axis == 0 else flat[:, [1, 2, 0]])
    drawn = rasterise(held(roi("a", boxes, 1, grid)), grid)
    wanted = torch.zeros(SHAPE, dtype=torch.uint8)
    if axis == 0:
        wanted[1:3, 2:5, 2:7] = 1
    else:
        wanted[1:3, 2:7, 2:5] = 1
    assert torch.equal(drawn.labels.data[0], wanted)
    assert codes(drawn) == ["across-slices"]


def test_a_ball_of_sagittal_outlines_has_its_volume_on_an_axial_grid():
    grid = Grid.from_spacing((40, 50, 60), (1.5, 1.0, 1.0), origin_mm=(-30.0, -25.0, -30.0))
    t = torch.linspace(0, 2 * math.pi, 120, dtype=torch.float64)[:-1]
    lines = []
    for left in np.arange(-19.5, 20, 1.0):
        r = math.sqrt(20**2 - left**2)
        lines.append(Outline(torch.stack([torch.full_like(t, left), r * t.cos(), r * t.sin()], 1)))
    drawn = rasterise(held(Roi("ball", tuple(lines), 1)), grid)
    volume = float(drawn.labels.data.sum()) * grid.voxel_volume_mm3
    assert volume == pytest.approx(4 / 3 * math.pi * 20**3, rel=0.02)
    assert codes(drawn) == ["across-slices"]


def test_refuses_areas_across_slices_and_outlines_that_are_not_plane():
    grid = Grid.from_spacing(SHAPE)
    across = box(2.0, (0.6, 2.4), (1.5, 6.5))[:, [1, 0, 2]]
    with pytest.raises(GeometryError, match=r"must lie in slices of the grid for policy='area'"):
        rasterise(held(roi("a", [across], 1, grid)), grid, policy="area")
    bent = across.clone()
    bent[0, 1] += 1.5
    with pytest.raises(GeometryError, match=r"must each lie in a plane, all of them parallel"):
        rasterise(held(roi("a", [bent], 1, grid)), grid)


def test_slabs_off_the_grid_are_refused():
    grid = Grid.from_spacing(SHAPE)
    across = box(200.0, (0.6, 2.4), (1.5, 6.5))[:, [1, 0, 2]]
    with pytest.raises(GeometryError, match=r"must lie on the grid, none does"):
        rasterise(held(roi("a", [across], 1, grid)), grid)


# ---- overlaps, names, cost


def test_regions_that_overlap_go_to_further_layers_and_none_is_lost():
    grid = Grid.from_spacing(SHAPE)
    boxes = [(0.5, 3.5), (2.5, 5.5), (5.5, 8.5)]
    rois = [roi(f"r{k}", [box(1, b, (0.5, 3.5))], k + 1) for k, b in enumerate(boxes)]
    labels = rasterise(held(*rois, space="pixel"), grid).labels
    assert labels.names == {(0, 1): "r0", (1, 2): "r1", (0, 3): "r2"}
    assert [int(labels.mask(v, k).sum()) for k, v in labels.names] == [9, 9, 9]


def test_picks_regions_by_a_pattern_that_matches_the_whole_name():
    grid = Grid.from_spacing(SHAPE)
    names = ["GTV-1", "GTV-2", "PTV"]
    rois = [roi(n, [box(k, (0.5, 3.5), (0.5, 3.5))], k + 1) for k, n in enumerate(names)]
    plan = held(*rois, space="pixel")
    assert set(rasterise(plan, grid, roi="GTV.*").labels.names.values()) == {"GTV-1", "GTV-2"}
    with pytest.raises(
        FormatError, match=r"must have a region named 'TV'; its regions are: 'GTV-1"
    ):
        rasterise(plan, grid, roi="TV")
    with pytest.raises(FormatError, match=r"roi must be a regular expression, '\(' is not"):
        rasterise(plan, grid, roi="(")


def test_a_grid_beyond_the_budget_is_refused_before_anything_is_allocated():
    huge = Grid.from_spacing((30_000, 30_000, 30_000))
    start = time.process_time()
    with pytest.raises(FormatError, match="must fit in"):
        rasterise(held(roi("a", [box(1, (0, 3), (0, 3))]), space="pixel"), huge)
    assert time.process_time() - start < 2
    grid = Grid.from_spacing(SHAPE)
    rois = [roi(f"r{k}", [box(1, (0.5, 3.5), (0.5, 3.5))], k + 1) for k in range(3)]
    small = Budget(voxels=2 * 4 * 9 * 11)
    with pytest.raises(FormatError, match="must fit in"):
        rasterise(held(*rois, space="pixel"), grid, budget=small)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2e9])
def test_refuses_points_that_are_nowhere(bad):
    with pytest.raises(FormatError, match="points of an outline must be finite and within"):
        Outline(torch.tensor([[0.0, 0.0, bad]], dtype=torch.float64))


def test_many_regions_take_little_time():
    grid = Grid.from_spacing((1, 600, 600))
    rois = [
        roi(f"cell {k}", [box(0, (y + 0.5, y + 4.5), (x + 0.5, x + 4.5))], k + 1)
        for k, (y, x) in enumerate((y, x) for y in range(0, 590, 12) for x in range(0, 590, 12))
    ]
    start = time.process_time()
    labels = rasterise(held(*rois, space="pixel"), grid).labels
    assert len(labels.names) == len(rois) == 2500
    assert time.process_time() - start < 10
