"""Labels laid on the lattice of an image: turned, cut, shifted by voxels; else refused by name."""

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from written import write_source

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, GeometryError
from vesalius.io import Budget
from vesalius.io._onto import onto

BUDGET = Budget()


def oblique(shape: tuple[int, int, int]) -> Grid:
    """Turned about two axes, with planes that lean."""
    c, s = math.cos(0.4), math.sin(0.4)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ np.array(
        [[1, 0, 0], [0, c, -s], [0, s, c]]
    )
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(turn) @ torch.diag(torch.tensor([2.5, 0.7, 0.9]).double())
    affine[:3, 0] += 0.3 * affine[:3, 1]
    affine[:3, 3] = torch.tensor([-31.0, 12.0, 400.0])
    return Grid(shape, affine)


def moved(grid: Grid, shape: tuple[int, ...], index: np.ndarray) -> Grid:
    """A grid whose index (4, 4) steps through that of another."""
    z, y, x = shape
    return Grid((z, y, x), grid.affine @ torch.from_numpy(index.astype(float)))


def by_world(labels: Labels, like: Grid) -> np.ndarray:
    """Slow: ask each voxel of the grid where it is, and which voxel of the labels is there."""
    out = np.zeros((labels.data.shape[0], *like.shape), np.int64)
    back = np.linalg.inv(labels.grid.affine.numpy())
    for index in np.ndindex(like.shape):
        at = back @ like.affine.numpy() @ np.array([*index, 1.0])
        z, y, x = (round(v) for v in at[:3])
        if all(0 <= v < n for v, n in zip((z, y, x), labels.grid.shape, strict=True)):
            out[(slice(None), *index)] = labels.data[:, z, y, x]
    return out


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(*[st.integers(2, 4)] * 3),
    order=st.sampled_from(list(permutations(range(3)))),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    first=st.tuples(*[st.integers(-1, 4)] * 3),
)
def test_agrees_with_asking_each_voxel_where_it_is(seed, shape, order, signs, first):
    like = oblique((5, 4, 6))
    index = np.eye(4)
    index[:3, :3] = np.eye(3)[:, list(order)] * signs
    index[:3, 3] = first
    data = torch.randint(0, 3, (2, *shape), generator=torch.Generator().manual_seed(seed))
    labels = Labels(data, moved(like, shape, index), {(0, 1): "a", (1, 2): "b"})
    wanted = by_world(labels, like)
    if not wanted.any():
        return
    laid = onto(labels, like, "a.dcm", BUDGET)
    assert laid.labels.data.tolist() == wanted.tolist()
    assert laid.labels.grid is like
    assert laid.labels.names == labels.names
    lost = int((data != 0).sum()) - int((wanted != 0).sum())
    assert ("off-grid" in [f.code for f in laid.findings]) == (lost > 0)


def test_equal_grids_keep_the_data_and_say_nothing():
    like = oblique((3, 4, 5))
    labels = Labels(torch.ones((1, 3, 4, 5), dtype=torch.uint8), Grid(like.shape, like.affine))
    laid = onto(labels, like, "a", BUDGET)
    assert laid.findings == ()
    assert laid.labels.data.data_ptr() == labels.data.data_ptr()


@pytest.mark.parametrize("thickness", [0.1, 2.5, 40.0, -7.0])
def test_a_single_plane_has_no_step_of_its_own(thickness):
    like = oblique((5, 4, 6))
    affine = like.affine.clone()
    affine[:3, 3] += 3 * affine[:3, 0]
    affine[:3, 0] *= thickness / 2.5
    labels = Labels(torch.ones((1, 1, 4, 6), dtype=torch.uint8), Grid((1, 4, 6), affine))
    laid = onto(labels, like, "a", BUDGET).labels
    assert laid.data[0].flatten(1).sum(dim=1).tolist() == [0, 0, 0, 24, 0]


def test_what_lies_beyond_the_image_is_counted():
    like = oblique((5, 4, 6))
    index = np.eye(4)
    index[0, 3] = 3
    labels = Labels(torch.ones((1, 4, 4, 6), dtype=torch.uint8), moved(like, (4, 4, 6), index))
    (lost, told) = onto(labels, like, "a.dcm", BUDGET).findings
    assert lost.message == "48 labelled voxels of 'a.dcm' lie beyond the image and are left out"
    assert told.message.endswith("4 x 4 x 6 voxels, were laid on the image's 5 x 4 x 6 (z, y, x)")


def test_labels_of_another_image_are_refused():
    like = oblique((5, 4, 6))
    index = np.eye(4)
    index[0, 3] = 9
    labels = Labels(torch.ones((1, 4, 4, 6), dtype=torch.uint8), moved(like, (4, 4, 6), index))
    with pytest.raises(GeometryError, match=r"must lie on the image, none of their 96 voxels does"):
        onto(labels, like, "a.dcm", BUDGET)
    nothing = Labels(torch.zeros_like(labels.data), labels.grid)
    assert not onto(nothing, like, "a.dcm", BUDGET).labels.data.any()


def test_the_budget_counts_the_image():
    like = oblique((5, 4, 6))
    labels = Labels(torch.ones((1, 1, 4, 6), dtype=torch.uint8), moved(like, (1, 4, 6), np.eye(4)))
    with pytest.raises(FormatError, match=r"must fit in .* 1 x 5 x 4 x 6 samples"):
        onto(labels, like, "a.dcm", Budget(bytes=100))


def lean(affine: torch.Tensor) -> None:
    affine[:3, 0] += 0.05 * affine[:3, 2]


def stretch(affine: torch.Tensor) -> None:
    affine[:3, 1] *= 1.01


def halve(affine: torch.Tensor) -> None:
    affine[:3, 0] *= 2


def shift(affine: torch.Tensor) -> None:
    affine[:3, 3] += 0.4 * affine[:3, 2]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lean, "direction differs by up to"),
        (stretch, r"spacing differs by up to 0.007 mm"),
        (halve, r"spacing differs by up to 2.5"),
        (shift, "its voxels lie up to 0.4 voxels off: resample them on purpose"),
    ],
)
def test_another_lattice_is_named_and_nothing_is_resampled(tmp_path: Path, change, text):
    like = Grid.from_spacing((4, 12, 10), (2.5, 0.7, 0.9))
    affine = like.affine.clone()
    change(affine)
    labels = Labels(torch.ones((1, *like.shape), dtype=torch.uint8), Grid(like.shape, affine))
    io.save(labels, tmp_path / "a.nrrd")
    with pytest.raises(GeometryError, match=r"must lie on the lattice of the image .*" + text):
        io.open_labels(tmp_path / "a.nrrd", like=like)
    kept = onto(labels, like, "a.nrrd", BUDGET)
    assert [f.severity for f in kept.findings if f.code == "other-lattice"] == ["error"]
    assert kept.labels is labels
    # label maps other than SEG say where they are; who measures them refuses that
    torch.testing.assert_close(
        io.open_regions(tmp_path / "a.nrrd", like=like).labels.grid.affine, affine
    )


@pytest.mark.parametrize("apart_mm", [0.0, 1e-4, 5e-3])
def test_rounded_positions_are_the_same_lattice(apart_mm):
    like = Grid.from_spacing((4, 12, 10), (2.5, 0.7, 0.9))
    affine = like.affine.clone()
    affine[:3, 3] += apart_mm
    labels = Labels(torch.ones((1, *like.shape), dtype=torch.uint8), Grid(like.shape, affine))
    assert torch.equal(onto(labels, like, "a", BUDGET).labels.grid.affine, like.affine)


# ---- a segmentation beside its series


def sparse(folder: Path, grid: Grid, planes: list[int], **options: object) -> tuple[Path, Path]:
    """A series, and a segmentation by highdicom alone that leaves its empty planes out."""
    import highdicom
    import pydicom

    like = write_source(folder / "ct", grid)
    images = [pydicom.dcmread(p) for p in sorted(like.iterdir())]
    for image in images:
        image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
        image.PatientBirthDate = image.PatientSex = ""
    axes = np.array(images[0].ImageOrientationPatient, float).reshape(2, 3)
    images.sort(key=lambda i: float(np.cross(*axes) @ np.array(i.ImagePositionPatient, float)))
    masks = np.zeros(grid.shape, np.uint8)
    masks[planes, 1:3, 2:5] = 1
    code = highdicom.sr.CodedConcept("10200004", "SCT", "Liver")
    one = highdicom.seg.SegmentDescription(1, "liver", code, code, "MANUAL")
    seg = highdicom.seg.Segmentation(
        images, masks, "BINARY", [one], "1.7", 3, "1.8", 1, "m", "n", "1", "2", **options
    )
    seg.save_as(folder / "seg.dcm")
    return like, folder / "seg.dcm"


@pytest.mark.parametrize("planes", [[3], [2, 3, 4], [0, 5], [1, 4]])
def test_a_segmentation_without_its_empty_planes_fits_its_series(tmp_path: Path, planes):
    series, path = sparse(tmp_path, Grid.from_spacing((6, 4, 7), (2.5, 0.7, 0.9)), planes)
    image = io.open(series)
    alone = io.open_labels(path)
    assert alone.grid.shape[0] == planes[-1] - planes[0] + 1
    laid = io.open_labels(path, like=image.grid)
    wanted = torch.zeros((6, 4, 7), dtype=torch.uint8)
    wanted[planes, 1:3, 2:5] = 1
    assert torch.equal(laid.data[0], wanted)
    assert laid.names == {(0, 1): "liver"}


def test_a_folder_with_series_and_segmentation_gives_the_segmentation(tmp_path: Path):
    series, path = sparse(tmp_path, Grid.from_spacing((6, 4, 7), (2.5, 0.7, 0.9)), [2, 3])
    image = io.open(series)
    assert torch.equal(
        io.open_labels(tmp_path, like=image.grid).data, io.open_labels(path, like=image.grid).data
    )


def test_a_folder_with_outlines_and_a_segmentation_is_ambiguous(tmp_path: Path):
    from vesalius.io.dicom import save_rtstruct

    series, path = sparse(tmp_path, Grid.from_spacing((6, 4, 7), (2.5, 0.7, 0.9)), [2, 3])
    labels = io.open_labels(path, like=io.open(series).grid)
    save_rtstruct(labels, tmp_path / "rs.dcm", like=series)
    with pytest.raises(FormatError, match=r"it holds 1 and 1 \('.*', 'rs.dcm'\): open one by its"):
        io.open_labels(tmp_path, like=labels.grid)
    path.unlink()
    assert torch.equal(io.open_labels(tmp_path, like=labels.grid).data, labels.data)
