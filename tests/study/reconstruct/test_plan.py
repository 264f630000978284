"""Plans: what goes with what is decided before anything is computed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.errors import ConfigError, FormatError
from vesalius.io.raw import RawProjections, save_projections
from vesalius.physics.ct import cone, fan, parallel
from vesalius.study._report import Heading
from vesalius.study.reconstruct import Camera, Exposure, Job, Page, open_plan, render_page, run_drr
from vesalius.study.reconstruct._measured import check_memory, natural_grid, needed_bytes, open_beam
from vesalius.study.reconstruct._run import beside


def scan(tmp_path: Path) -> Path:
    rays = parallel(torch.arange(0, 180, 10.0), shape=(1, 32))
    save_projections(
        RawProjections(torch.ones(rays.codomain), geometry=rays, quantity="line integral"),
        tmp_path / "scan.h5",
    )
    return tmp_path / "scan.h5"


def coils(tmp_path: Path) -> Path:
    np.save(tmp_path / "k.npy", np.ones((2, 32, 32), np.complex64))
    return tmp_path / "k.npy"


def test_auto_takes_the_method_that_fits_the_rays(tmp_path: Path) -> None:
    assert open_plan(scan(tmp_path), Job()).job.method == "fbp"
    assert open_plan(coils(tmp_path), Job()).job.method == "cs"
    rays = cone(
        torch.arange(0, 360, 30.0), shape=(4, 16), pitch_mm=(2, 2), source_mm=90, detector_mm=150
    )
    raw = RawProjections(torch.ones(rays.codomain), geometry=rays, quantity="line integral")
    save_projections(raw, tmp_path / "cone.h5")
    assert open_plan(tmp_path / "cone.h5", Job()).job.method == "fdk"


def test_options_of_a_ct_are_refused_with_k_space(tmp_path: Path) -> None:
    k = coils(tmp_path)
    with pytest.raises(ConfigError, match="--geometry and --like belong to a CT"):
        open_plan(k, Job(), like=tmp_path / "other.nii")
    with pytest.raises(ConfigError, match="--unit, --centre and --stripes belong to a CT"):
        open_plan(k, Job(unit="HU"))


def test_options_of_mr_are_refused_with_projections(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--noise and --coils belong to k-space"):
        open_plan(scan(tmp_path), Job(), noise=tmp_path / "noise.npy")


def test_a_noise_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.npy").write_text("noise")
    with pytest.raises(FormatError, match=r"noise must be a \.npy file of complex samples"):
        open_plan(coils(tmp_path), Job(), noise=tmp_path / "noise.npy")


def test_the_grid_is_that_of_the_file_or_of_an_image_or_of_the_detector(tmp_path: Path) -> None:
    path = scan(tmp_path)
    assert any("No grid was given" in text for text in open_plan(path, Job()).remarks)
    grid = Grid.from_spacing((1, 20, 24), (1.0, 2.0, 2.0), origin_mm=(-23, -19, 0))
    io.save(Image(torch.zeros(1, 1, 20, 24), grid), tmp_path / "like.nii.gz")
    plan = open_plan(path, Job(), like=tmp_path / "like.nii.gz")
    assert plan.remarks == ()
    assert plan.run(None).image.grid.shape == (1, 20, 24)


def test_the_natural_grid_has_one_voxel_per_element_at_the_axis() -> None:
    rays = fan(
        torch.zeros(1), shape=(3, 10), pitch_mm=(2, 1), source_mm=500, detector_mm=1000
    ).moved(_shifted(5.0, -7.0, 30.0))
    grid = natural_grid(rays)
    assert grid.shape == (3, 10, 10)
    assert grid.spacing_mm == pytest.approx((1.0, 0.5, 0.5))
    middle = grid.to_world(torch.tensor([1.0, 4.5, 4.5], dtype=torch.float64))
    torch.testing.assert_close(middle, torch.tensor([5.0, -7.0, 30.0], dtype=torch.float64))


def _shifted(*shift: float):
    from vesalius.core import Linear

    return Linear.translation(shift)


def test_memory_is_counted_and_too_much_of_it_refused() -> None:
    rays = parallel(torch.arange(0, 180, 1.0), shape=(10, 100))
    grid = Grid.from_spacing((10, 100, 100))
    assert needed_bytes(rays, grid, "fbp") == 4 * (3 * 180 * 1000 + 3 * 100_000)
    assert needed_bytes(rays, grid, "tv") > needed_bytes(rays, grid, "sirt")
    check_memory(1 << 20)
    with pytest.raises(ConfigError, match="the reconstruction must fit into memory: it needs"):
        check_memory(1 << 60)


def test_the_open_beam_is_known_from_counted_flats_alone() -> None:
    counts = torch.ones(2, 1, 4)
    flats, darks = torch.full((3, 1, 4), 100.0), torch.full((1, 1, 4), 10.0)
    raw = RawProjections(counts, flats=flats, darks=darks)
    assert open_beam(raw) == pytest.approx(90.0)
    assert open_beam(replace(raw, flats=None)) == 0.0
    assert open_beam(RawProjections(counts, quantity="line integral")) == 0.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "fpb"}, "did you mean fbp"),
        ({"steps": -1}, "steps and coils must not be negative"),
        ({"kev": 0.0}, "kev must be positive"),
        ({"weight": -0.5}, "weight must be 'auto' or at least 0"),
    ],
)
def test_jobs_out_of_range_are_refused(fields, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Job(**fields)


def test_only_iterations_have_a_name_among_them() -> None:
    assert Job(method="tv").iterated == "tv"
    with pytest.raises(ConfigError, match="method must iterate, 'fbp' does not"):
        Job(method="fbp").iterated  # noqa: B018


def test_exposures_and_cameras_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="photons and electronic noise must not be negative"):
        Exposure(photons=-1.0)
    with pytest.raises(ConfigError, match="a detector must have at least one element"):
        Camera(shape=(0, 4))
    with pytest.raises(ConfigError, match=r"a radiograph must be written to a \.png file"):
        run_drr(tmp_path / "ct.nii", tmp_path / "x.jpg", camera=Camera(), pose=(0.0,) * 6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.nii.gz", "a.report.html"), ("b.c.mha", "b.c.report.html"), ("d", "d.report.html")],
)
def test_the_report_lies_beside_the_image(name, expected) -> None:
    assert beside(Path("out") / name) == Path("out") / expected


def test_a_page_escapes_what_it_is_given() -> None:
    page = Page(Heading("A & <b>", "lead"), findings=("<script>alert(1)</script>",))
    text = render_page(page)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
