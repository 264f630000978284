"""Outlines as people and programs draw them badly: crossing, touching, doubled, off their plane."""

import resource
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask
from structure_set import contour, structure_set, write_structure_set

from vesalius import io
from vesalius.core import Grid
from vesalius.errors import FormatError
from vesalius.io._contours import Contours, Outline, Roi
from vesalius.io._handle import Rules
from vesalius.io._rasterise import Drawn, rasterise
from vesalius.io.dicom._rtstruct import read_rtstruct

GRID = Grid.from_spacing((5, 24, 26), (2.5, 0.7, 0.7), origin_mm=(-8.0, 3.0, 100.0))
Ring = list[tuple[float, float]]


def outline(ring: Ring, z: float = 2.0) -> Outline:
    index = torch.tensor([(z, y, x) for y, x in ring], dtype=torch.float64)
    return Outline(GRID.to_world(index))


def draw(*outlines: Outline, policy: str = "centre", grid: Grid = GRID) -> Drawn:
    held = Contours("rs.dcm", (Roi("GTV", outlines, 1),), {})
    return rasterise(held, grid, policy=policy)


def square(low: float, high: float) -> Ring:
    return [(low, low), (low, high), (high, high), (high, low)]


def codes(drawn: Drawn) -> list[str]:
    return [finding.code for finding in drawn.findings]


def by_scikit(rings: list[Ring]) -> torch.Tensor:
    """Even-odd over all rings; each ring by scikit-image."""
    odd = np.zeros(GRID.shape[1:], bool)
    for ring in rings:
        odd ^= polygon2mask(GRID.shape[1:], np.array(ring))
    return torch.from_numpy(odd)


def star(generator: np.random.Generator, count: int) -> Ring:
    """A ring that does not cross itself, its vertices off the centres and edges of pixels."""
    angle = np.sort(generator.uniform(0, 2 * np.pi, count))
    radius = generator.uniform(1.5, 8.0, count)
    middle = generator.uniform(9.0, 14.0, 2)
    points = middle + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return [(float(y), float(x)) for y, x in points + 0.00137]


@settings(max_examples=40)
@given(seed=st.integers(0, 100_000), rings=st.integers(1, 4), count=st.integers(3, 40))
def test_agrees_with_scikit_image(seed: int, rings: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    drawn_rings = [star(generator, count) for _ in range(rings)]
    wanted = by_scikit(drawn_rings)
    drawn = draw(*map(outline, drawn_rings))
    assert torch.equal(drawn.labels.data[0, 2] != 0, wanted)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 100_000), by=st.integers(0, 30), policy=st.sampled_from(["centre", "area"])
)
def test_where_a_ring_begins_and_which_way_it_runs_does_not_matter(seed, by, policy):
    ring = star(np.random.default_rng(seed), 12)
    first = draw(outline(ring), policy=policy)
    turned = ring[by % 12 :] + ring[: by % 12]
    assert torch.equal(first.labels.data, draw(outline(turned), policy=policy).labels.data)
    assert torch.equal(first.labels.data, draw(outline(turned[::-1]), policy=policy).labels.data)


@settings(max_examples=40)
@given(seed=st.integers(0, 100_000), policy=st.sampled_from(["centre", "area"]))
def test_points_that_stand_twice_change_nothing(seed: int, policy: str) -> None:
    generator = np.random.default_rng(seed)
    ring = star(generator, 12)
    doubled = [p for p in ring for _ in range(generator.integers(1, 4))]
    first = draw(outline(ring), policy=policy)
    assert torch.equal(first.labels.data, draw(outline(doubled), policy=policy).labels.data)


@pytest.mark.parametrize("edge", [4.0, 4.5])
def test_neighbours_share_no_voxel_and_leave_no_gap(edge: float) -> None:
    """Four rings that share edges on centres or on edges of voxels."""
    far = 20.0
    quarters = [
        [(0.25, 0.25), (0.25, edge), (edge, edge), (edge, 0.25)],
        [(0.25, edge), (0.25, far), (edge, far), (edge, edge)],
        [(edge, 0.25), (edge, edge), (far, edge), (far, 0.25)],
        [(edge, edge), (edge, far), (far, far), (far, edge)],
    ]
    parts = [draw(outline(q)).labels.data != 0 for q in quarters]
    total = torch.stack(parts).sum(dim=0)
    whole = draw(outline([(0.25, 0.25), (0.25, far), (far, far), (far, 0.25)])).labels.data
    assert torch.equal(total, whole.to(total.dtype))


def test_a_bow_tie_is_two_triangles() -> None:
    tie = [(4.3, 4.1), (14.3, 14.1), (4.3, 14.1), (14.3, 4.1)]
    drawn = draw(outline(tie))
    assert torch.equal(drawn.labels.data[0, 2] != 0, by_scikit([tie]))


def test_rings_that_touch_in_a_vertex_are_both_there() -> None:
    rings = [square(2.25, 8.25), square(8.25, 14.25)]
    drawn = draw(*map(outline, rings))
    assert int(drawn.labels.data.sum()) == 2 * 36
    assert "crossing" not in codes(drawn)


def test_rings_in_rings_in_rings_alternate() -> None:
    rings = [square(1.25, 21.25), square(4.25, 18.25), square(7.25, 15.25), square(10.25, 12.25)]
    drawn = draw(*map(outline, rings))
    assert int(drawn.labels.data.sum()) == 20**2 - 14**2 + 8**2 - 2**2
    assert codes(drawn) == []


@pytest.mark.parametrize("bridge", [7.0, 7.5, 7.3])
def test_a_bridge_without_width_encloses_nothing(bridge: float) -> None:
    """The outer ring, in along a level bridge, round the hole, and back."""
    outer, inner = square(2.25, 17.25), square(6.25, 11.25)
    key = [*outer[:3], (17.25, 2.25), (bridge, 2.25), (bridge, 6.25)]
    key += [(11.25, 6.25), (11.25, 11.25), (6.25, 11.25), (6.25, 6.25), (bridge, 6.25)]
    key += [(bridge, 2.25)]
    alone = draw(outline(outer), outline(inner))
    for policy in ("centre", "area"):
        assert torch.equal(draw(outline(key), policy=policy).labels.data, alone.labels.data)


def test_a_ring_that_stands_twice_is_drawn_once_and_told() -> None:
    """By the even-odd rule alone it would enclose nothing."""
    ring = square(2.25, 8.25)
    again = ring[2:] + ring[:2]
    drawn = draw(outline(ring), outline(again[::-1]), outline(square(10.25, 12.25)))
    assert int(drawn.labels.data.sum()) == 36 + 4
    (told,) = drawn.findings
    assert (told.severity, told.code) == ("warning", "twice")
    assert told.message == "1 outlines of 'GTV' stand in the file twice or more: each is drawn once"


def test_rings_that_cross_are_told() -> None:
    drawn = draw(outline(square(2.25, 8.25)), outline(square(6.25, 12.25)))
    assert int(drawn.labels.data.sum()) == 2 * (36 - 4)
    (told,) = drawn.findings
    assert (told.severity, told.code) == ("warning", "crossing")
    assert "cross each other in 1 planes" in told.message


@pytest.mark.parametrize("off", [1e-5, -1e-4 / 2.5, 0.01 / 2.5, 0.009])
def test_a_hole_a_little_off_its_plane_stays_a_hole(off: float) -> None:
    drawn = draw(outline(square(2.25, 12.25)), outline(square(5.25, 8.25), z=2.0 + off))
    assert int(drawn.labels.data.sum()) == 100 - 9
    assert "planes-unused" not in codes(drawn)


def test_a_hole_of_thin_slices_is_in_the_plane_to_a_hundredth_of_a_millimetre() -> None:
    thin = Grid.from_spacing((5, 24, 26), (0.5, 0.7, 0.7))

    def ring(low: float, high: float, z_mm: float) -> Outline:
        points = [(x * 0.7, y * 0.7, z_mm) for y, x in square(low, high)]
        return Outline(torch.tensor(points, dtype=torch.float64))

    drawn = draw(ring(2.25, 12.25, 1.0), ring(5.25, 8.25, 1.009), grid=thin)
    assert int(drawn.labels.data.sum()) == 100 - 9


def test_planes_that_no_slice_takes_are_a_warning() -> None:
    drawn = draw(outline(square(2.25, 12.25)), outline(square(5.25, 8.25), z=2.3))
    assert int(drawn.labels.data[0, 2].sum()) == 100
    assert ("warning", "planes-unused") in [(f.severity, f.code) for f in drawn.findings]


@pytest.mark.parametrize("off", [0.0, 0.009, 0.02, 0.08])
def test_every_second_slice_stays_every_second_slice_however_it_was_rounded(off: float) -> None:
    drawn = draw(*[outline(square(2.25, 8.25), z=z + off) for z in (0, 2, 4)])
    assert drawn.labels.data[0].flatten(1).sum(dim=1).tolist() == [36, 0, 36, 0, 36]
    assert "missing-slices" in codes(drawn)
    assert ("between-slices" in codes(drawn)) == (off > 0.01)


def test_an_outline_that_leans_is_told() -> None:
    ring = square(2.25, 12.25)
    index = torch.tensor([(2 + 0.04 * (y - 7.25), y, x) for y, x in ring], dtype=torch.float64)
    drawn = draw(Outline(GRID.to_world(index)))
    (told,) = drawn.findings
    assert told.message.startswith("outlines of 'GTV' lie up to 0.20 slices off")


@pytest.mark.parametrize("ring", [[(3.0, 3.0)], [(3.0, 3.0), (5.0, 9.0)], []])
def test_outlines_of_too_few_points_enclose_nothing(ring: Ring) -> None:
    drawn = draw(
        Outline(torch.tensor(ring, dtype=torch.float64).reshape(-1, 2).new_zeros(len(ring), 3))
    )
    assert not drawn.labels.data.any()
    assert {"not-closed", "empty"} <= set(codes(drawn))


def test_a_ring_on_a_line_encloses_nothing() -> None:
    for policy in ("centre", "area"):
        drawn = draw(outline([(3.0, 3.0), (9.0, 9.0), (6.0, 6.0), (4.0, 4.0)]), policy=policy)
        assert not drawn.labels.data.any()
        assert codes(drawn) == ["empty"]


# ---- names


NAMES = ["", " ", "GTV\n1", "GTV-\u00e9\u4e2d", "a/b\\c", "<b>x</b>", "GTV", "GTV", "../../etc"]


def test_regions_of_any_name_are_read_picked_and_kept_apart(tmp_path: Path) -> None:
    """Empty ones get their number; equal ones stay two regions."""
    rois = {}
    for k, name in enumerate(NAMES, start=1):
        low = 2.25 * k
        world = GRID.to_world(
            torch.tensor([(2.0, y, x) for y, x in square(low, low + 2)], dtype=torch.float64)
        )
        rois[k] = (name, [contour(world.reshape(-1).tolist())])
    file = structure_set(rois)
    file.SpecificCharacterSet = "ISO_IR 192"
    path = write_structure_set(tmp_path, file)
    labels = io.open_labels(path, like=GRID)
    assert len(labels.values) == len(NAMES)
    assert labels.names[0, 1] == "ROI 1"
    assert labels.names[0, 4] == "GTV-\u00e9\u4e2d"
    both = io.open_labels(path, like=GRID, roi="GTV")
    assert both.values == ((0, 7), (0, 8))


# ---- size


def written(folder: Path, texts: list[bytes]) -> Path:
    """A structure set whose contours hold these bytes, whatever they are."""
    file = structure_set({1: ("body", [contour([0.0] * 9) for _ in texts])})
    file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    for item, raw in zip(file.ROIContourSequence[0].ContourSequence, texts, strict=True):
        item[0x30060050] = pydicom.DataElement(0x30060050, "OB", raw + b" " * (len(raw) % 2))
    return write_structure_set(folder, file)


def test_a_million_points_take_seconds(tmp_path: Path) -> None:
    angle = np.linspace(0, 2 * np.pi, 250_000, endpoint=False)
    texts = []
    for z in range(4):
        at = np.stack([np.full_like(angle, z), 12 + 9 * np.sin(angle), 12 + 9 * np.cos(angle)], 1)
        world = GRID.to_world(torch.from_numpy(at)).reshape(-1).tolist()
        texts.append("\\".join(f"{v:.6f}" for v in world).encode())
    path = written(tmp_path, texts)
    start = time.process_time()
    labels = io.open_labels(path, like=GRID)
    assert time.process_time() - start < 10
    assert float(labels.data[0, 1].sum()) == pytest.approx(np.pi * 81, rel=0.02)


def test_one_long_number_among_many_does_not_make_a_huge_array(tmp_path: Path) -> None:
    """An array of text is as wide as its longest word: here 30 000 words of 300 000 letters."""
    path = written(tmp_path, [b"1" + b"0" * 300_000 + b"\\0" * 29_999])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=r"must be triples of finite numbers .* 30000 entries"):
        read_rtstruct(path, Rules())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
