"""The second visit: a known breath, a grown nodule, and how well both are found again."""

import json

import pytest
import torch

from vesalius.core import Grid, Image, Labels, resample
from vesalius.errors import RegionError
from vesalius.ops import gaussian
from vesalius.physics import Ellipsoid, insert_nodule
from vesalius.register import register
from vesalius.study import Heading, Report, render_html, render_json
from vesalius.study._follow_up import (
    CLEAR_MM,
    DEPTH_MM,
    GROWN_RADIUS_MM,
    NOISE_HU,
    TEXTURE_HU,
    Visit,
    _growth,
    _outside,
    breathing,
    follow_up,
    rescan,
    textured,
)
from vesalius.study._report import FollowUp, Recovered

GRID = Grid.from_spacing((38, 34, 36), (3.0, 3.0, 3.0), origin_mm=(-52.5, -49.5, -55.5))
CENTRE = (3.0, -3.0, -6.0)
RADIUS_MM = 9.0


def places():
    axes = [torch.arange(n, dtype=torch.float64) for n in GRID.shape]
    return GRID.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


def lung():
    """An ellipsoid of air that ends 42 mm above and below the middle."""
    inside = (places() / torch.tensor([36.0, 34.0, 42.0]).double()).norm(dim=-1) < 1
    return Labels(inside.to(torch.uint8)[None], GRID)


def patient(*, flat=False):
    """One lung in soft tissue, with vessels unless it is flat, and a nodule of 18 mm."""
    generator = torch.Generator().manual_seed(3)
    vessels = gaussian(torch.randn((1, *GRID.shape), generator=generator), (1.2, 1.2, 1.2))
    hu = torch.where(lung().data > 0, -850.0, 30.0)
    clear = _outside(GRID, CENTRE, RADIUS_MM + CLEAR_MM).data
    image = Image(hu + (0 if flat else 90 / vessels.std()) * vessels * clear, GRID, "HU")
    ball = Ellipsoid.sphere(CENTRE, 2 * RADIUS_MM, value=40.0, name="nodule")
    return Visit(insert_nodule(image, ball, psf_mm=0.8).image, CENTRE, RADIUS_MM, lung(), flat)


@pytest.fixture(scope="module")
def found() -> FollowUp:
    return follow_up(patient())


def row(found, name):
    return next(r for r in found.rows if r.name == name)


def test_a_breath_lowers_the_floor_of_the_lung_and_moves_it_forward():
    breath = breathing(lung())
    floor = torch.tensor([[0.0, 0.0, -40.0]], dtype=torch.float64)
    left, posterior, superior = (breath(floor) - floor)[0].tolist()
    assert superior == pytest.approx(-DEPTH_MM, rel=0.1)
    assert posterior == pytest.approx(-DEPTH_MM / 3, rel=0.1)
    assert left == pytest.approx(0.0, abs=1e-6)


def test_a_breath_fades_upwards_and_away_from_the_middle():
    breath = breathing(lung())
    line = torch.tensor([[0.0, 0, -40], [0, 0, 0], [0, 0, 40]], dtype=torch.float64)
    low, middle, top = (breath(line) - line).norm(dim=-1).tolist()
    assert low > middle > top
    assert top < 0.5 * low
    aside = torch.tensor([[50.0, 0.0, -40.0]], dtype=torch.float64)
    assert (breath(aside) - aside).norm() < low


def test_a_breath_folds_nothing_and_can_be_taken_back():
    breath = breathing(lung())
    inner = places()[4:-4:5, 4:-4:5, 4:-4:5].reshape(-1, 3)
    assert torch.linalg.det(breath.jacobian(inner)).min() > 0.5
    assert (breath.inverse()(breath(inner)) - inner).norm(dim=-1).max() < 0.1


def test_the_second_scan_shows_at_the_moved_place_what_the_first_showed():
    visit = patient()
    breath = breathing(lung())
    second = rescan(visit.image, visit, breath)
    back = resample(second, GRID, transform=breath)
    clear = _outside(GRID, CENTRE, GROWN_RADIUS_MM + CLEAR_MM).data > 0
    flat = clear & (gaussian(visit.image.data, (1.0, 1.0, 1.0)) < -600)
    inner = (slice(None), slice(8, -8), slice(8, -8), slice(8, -8))
    apart = (back.data - visit.image.data)[inner][flat[inner]]
    assert apart.mean().abs() < 6.0
    # noise is averaged and texture blurred by two interpolations
    assert apart.std() < 2 * NOISE_HU
    still = (second.data - visit.image.data)[inner][flat[inner]]
    assert apart.std() < 0.6 * still.std()


def test_breath_and_growth_are_found_again(found):
    assert row(found, "Error, mean, in voxels").found < 0.3
    assert row(found, "Error, 95th percentile").found < 3.0
    large = row(found, "Displacement where it is large, mean")
    assert large.found == pytest.approx(large.truth, rel=0.1)
    growth = row(found, "Nodule growth")
    assert growth.truth == pytest.approx(100 * ((GROWN_RADIUS_MM / RADIUS_MM) ** 3 - 1))
    assert growth.found == pytest.approx(growth.truth, abs=8.0)


def test_each_picture_is_one_plane_of_one_visit(found):
    assert [view.title for view in found.views] == [
        "first visit",
        "second visit, as scanned",
        "second visit, registered",
        "difference, registered",
    ]
    assert {view.plane.name for view in found.views} == {"coronal"}


def test_without_the_nodule_masked_out_the_deformation_eats_its_growth(found):
    visit = patient()
    second = rescan(visit.image, visit, breathing(lung()))
    blind = register(visit.image, second, plan="smooth").transform
    eaten = _growth(visit, visit.image, second, blind)
    assert eaten.found < 0.6 * eaten.truth
    assert row(found, "Nodule growth").found > 0.85 * eaten.truth


def test_flat_organs_get_a_texture_and_the_note_says_so(found):
    shown = follow_up(patient(flat=True))
    assert row(shown, "Error, mean, in voxels").found < 0.3
    assert "given a texture of 60 HU" in shown.note
    assert "texture" not in found.note


def test_texture_stays_out_of_the_air_and_of_the_nodule():
    tissue = torch.full((1, *GRID.shape), 30.0)
    tissue[:, :, :, :10] = -1000.0
    clear = _outside(GRID, CENTRE, 20.0)
    image = Image(tissue, GRID, "HU")
    once, again = textured(image, clear), textured(image, clear)
    added = once.data - tissue
    assert torch.equal(once.data, again.data)
    assert added[:, :, :, :5].abs().max() == 0
    assert added[clear.data == 0].abs().max() == 0
    assert added[:, :, :, 16:][clear.data[:, :, :, 16:] > 0].std() == pytest.approx(
        TEXTURE_HU, rel=0.1
    )


def test_refuses_a_visit_without_a_nodule():
    flat = Image(torch.full((1, *GRID.shape), -850.0), GRID, "HU")
    visit = Visit(flat, CENTRE, RADIUS_MM, lung())
    with pytest.raises(RegionError, match="stand out"):
        _growth(visit, flat, flat, breathing(lung()))


def test_the_report_and_its_json_hold_the_second_visit(found):
    report = Report(Heading("t", "l"), follow_up=found)
    page = render_html(report)
    assert "A second visit" in page
    assert "Nodule growth" in page
    assert "second visit, registered" in page
    said = json.loads(render_json(report))["follow_up"]
    assert said["note"] == found.note
    assert {q["name"]: q["found"] for q in said["quantities"]} == {
        r.name: r.found for r in found.rows
    }


def test_a_report_without_a_second_visit_says_nothing_of_it():
    report = Report(Heading("t", "l"))
    assert "A second visit" not in render_html(report)
    assert json.loads(render_json(report))["follow_up"] is None


def test_texts_of_a_second_visit_are_escaped():
    rows = (Recovered("<b>growth</b>", 1.0, 2.0, "%"),)
    page = render_html(Report(Heading("t", "l"), follow_up=FollowUp(rows, (), "<i>note</i>")))
    assert "&lt;b&gt;growth" in page
    assert "<i>note" not in page
