"""The lattice of a DICOM series: positions alone decide, a lean stays, unevenness is told."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import oblique_affine, slice_values, write_slice

from vesalius import io


def findings(handle: io.Handle) -> dict[str, str]:
    return {finding.code: finding.severity for finding in handle.findings}


def write_row(folder: Path, places: np.ndarray, axes: np.ndarray | None = None) -> io.Handle:
    """Slices at the given world points, rows and columns along the axes (3, 2)."""
    across = np.eye(3)[:, :2] if axes is None else axes
    for k, place in enumerate(places):
        told = {"ImageOrientationPatient": [round(float(v), 12) for v in across.T.ravel()]}
        told["ImagePositionPatient"] = [round(float(v), 9) for v in place]
        write_slice(folder, k, **told)
    return io.open(folder)


@pytest.mark.parametrize("angle_deg", [-30.0, -12.5, -0.2, 0.2, 5.0, 18.5, 30.0])
def test_a_series_tilted_by_a_known_angle_keeps_its_sheared_affine(
    tmp_path: Path, angle_deg: float
) -> None:
    """The table runs along z while the gantry leans about x, as a CT of the head is taken."""
    a, step = math.radians(angle_deg), 3.0
    axes = np.array([[1, 0, 0], [0, math.cos(a), math.sin(a)]]).T
    places = np.array([[-120, -90, 12 + step * k] for k in range(5)])
    handle = write_row(tmp_path, places, axes)
    assert findings(handle) == {"tilted": "warning"}
    assert f"leans {abs(angle_deg):.2f} deg" in handle.findings[0].message
    affine = handle.grid.affine.numpy()
    np.testing.assert_allclose(affine[:3, 0], [0, 0, step], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 1], 0.75 * axes[:, 1], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 2], 0.5 * axes[:, 0], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 3], places[0], atol=1e-9)
    assert not handle.grid.is_orthogonal
    assert handle.read().data.shape == (1, 5, 3, 4)


def test_a_lean_below_a_tenth_of_a_degree_is_none(tmp_path: Path) -> None:
    handle = write_row(tmp_path, np.array([[0, 0.002 * k, 2 * k] for k in range(4)]))
    assert handle.findings == ()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_even_row_in_any_order_gives_its_affine(tmp_path: Path, data: st.DataObject) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    count = data.draw(st.integers(2, 6))
    turned = oblique_affine().numpy()[:3, :3]
    unit = turned / np.linalg.norm(turned, axis=0)
    axes = unit[:, [2, 1]]
    normal = np.cross(axes[:, 0], axes[:, 1])
    gap = data.draw(st.floats(0.3, 9))
    lean = data.draw(st.floats(-0.5, 0.5)) * gap * axes[:, 1]
    start = np.array(data.draw(st.tuples(*[st.floats(-500, 500)] * 3)))
    order = data.draw(st.permutations(range(count)))
    numbers = data.draw(st.permutations(range(count)))
    for k, name, number in zip(range(count), order, numbers, strict=True):
        told = {
            "ImageOrientationPatient": [round(float(v), 12) for v in axes.T.ravel()],
            "ImagePositionPatient": [round(float(v), 9) for v in start + k * (gap * normal + lean)],
            "InstanceNumber": number,
            "SliceThickness": 77,
        }
        write_slice(tmp_path, k, name=f"{name}.dcm", **told)
    handle = io.open(tmp_path)
    affine = handle.grid.affine.numpy()
    np.testing.assert_allclose(affine[:3, 0], gap * normal + lean, atol=1e-6)
    np.testing.assert_allclose(affine[:3, 3], start, atol=1e-6)
    wanted = np.stack([slice_values(k) for k in range(count)]).astype(np.int32) - 1024
    assert np.array_equal(handle.read().data[0].int().numpy(), wanted)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.floats(0.5, 6), min_size=2, max_size=7).filter(
        lambda g: max(g) > 1.05 * float(np.median(g)) or min(g) < 0.95 * float(np.median(g))
    ),
    lean=st.floats(0.02, 0.4),
)
def test_an_uneven_row_is_interpolated_between_its_slices(
    tmp_path: Path, gaps: list[float], lean: float
) -> None:
    """Samples grow linearly along the row, so linear interpolation must meet them everywhere."""
    for old in tmp_path.iterdir():
        old.unlink()
    along = np.concatenate([[0], np.cumsum(gaps)])
    for k, z in enumerate(along):
        samples = np.full((3, 4), round(100 * z), np.uint16)
        place = [0, round(lean * z, 9), round(float(z), 9)]
        write_slice(tmp_path, k, values=samples, ImagePositionPatient=place)
    refused = io.open(tmp_path)
    assert {f.allow for f in refused.findings if f.severity == "error"} == {"gaps", "tilt"}
    image = io.open(tmp_path, allow=("gaps", "tilt")).read()
    depth = image.grid.shape[0]
    index = torch.tensor([[k, 0.0, 0.0] for k in range(depth)], dtype=torch.float64)
    places = image.grid.to_world(index)
    torch.testing.assert_close(places[-1, 2].item(), float(along[-1]), rtol=0, atol=1e-6)
    torch.testing.assert_close(places[:, 1], lean * places[:, 2], rtol=0, atol=1e-6)
    wanted = 100 * places[:, 2] - 1024
    # half a unit of rounding, and 1% of a step where a slice near a node is taken as it is
    slack = 0.6 + 100 * 0.01 * float(along[-1]) / (depth - 1)
    torch.testing.assert_close(image.data[0, :, 1, 1].double(), wanted, rtol=0, atol=slack)
    assert image.grid.spacing_mm[0] <= max(min(gaps), sum(gaps) / (8 * len(gaps))) * 1.1 + 1e-6


def test_a_tiny_gap_does_not_blow_the_volume_up(tmp_path: Path) -> None:
    places = np.array([[0, 0, z] for z in (0, 0.05, 3, 6, 9)])
    write_row(tmp_path, places)
    assert io.open(tmp_path, allow=("gaps",)).grid.shape[0] == 4 * 8 + 1


def test_slices_that_coincide_with_nodes_are_exact(tmp_path: Path) -> None:
    write_row(tmp_path, np.array([[0, 0, z] for z in (0, 2, 4, 10, 12)]))
    image = io.open(tmp_path, allow=("gaps",)).read()
    assert image.grid.shape[0] == 7
    for node, k in ((0, 0), (1, 1), (2, 2), (5, 3), (6, 4)):
        wanted = torch.from_numpy(slice_values(k).astype(np.float32)) - 1024
        assert torch.equal(image.data[0, node], wanted)


def test_a_row_that_runs_against_its_normal_is_turned(tmp_path: Path) -> None:
    handle = write_row(tmp_path, np.array([[0, 0, -2.0 * k] for k in range(4)]))
    assert handle.grid.origin_mm == (0, 0, -6)
    assert handle.grid.affine[2, 0].item() == 2
    wanted = np.stack([slice_values(k) for k in (3, 2, 1, 0)]).astype(np.int32) - 1024
    assert np.array_equal(handle.read().data[0].int().numpy(), wanted)
