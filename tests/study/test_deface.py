"""Deface: the face goes, nothing else does, and in doubt nothing is written."""

import math

import numpy as np
import pytest
import torch
from deface_heads import GRID, TURN, brain_of, drawn, face_of, head, places

from vesalius import io
from vesalius.core import Grid, Image, Labels, Linear, centred_grid, resample, resample_labels
from vesalius.errors import (
    ConfigError,
    ConvergenceError,
    GeometryError,
    IntensityError,
    OutputError,
    RegionError,
    UnitError,
)
from vesalius.study.deface import Files, Rules, Template, deface, figures, run_deface
from vesalius.study.deface._carry import carry
from vesalius.study.deface._gate import Fit, fit, pass_gate
from vesalius.study.deface._head import head_of

FAST = Rules(init="header")
IDENTITY = Linear.identity()


@pytest.fixture(scope="module")
def template():
    return Template(head(), drawn(face_of))


@pytest.fixture(scope="module")
def done(template):
    return deface(head(TURN), template, keep=drawn(brain_of, TURN), rules=FAST)


def test_the_face_of_a_turned_head_is_removed_and_its_brain_is_not(done):
    removed = done.removed.data[0] > 0
    face = drawn(face_of, TURN).data[0] > 0
    tissue = head(TURN).data[0] > 200
    assert (removed & face & tissue).sum() >= 0.95 * (face & tissue).sum()
    assert not (removed & (drawn(brain_of, TURN).data[0] > 0)).any()
    assert (removed & ~face & tissue).sum() < 0.05 * tissue.sum()


def test_the_figures_say_how_it_went(done):
    tissue = head_of(head(TURN))
    share = (tissue & (done.removed.data[0] > 0)).sum() / tissue.sum()
    assert done.head_share == pytest.approx(float(share))
    assert done.fit.alike > 0.9
    assert done.fit.apart_mm < 1.0
    at = places(GRID)[::4, ::4, ::4].reshape(-1, 3)
    assert (done.fit.transform(at) - TURN.inverse()(at)).norm(dim=-1).max() < 3.0
    assert [name for name, _ in figures(done)][-1] == "distance to what was kept"


def test_the_distance_to_the_brain_is_that_of_a_slow_search(done):
    brain = places(GRID)[drawn(brain_of, TURN).data[0] > 0]
    gone = places(GRID)[done.removed.data[0] > 0]
    slow = torch.cdist(gone[::1], brain).min()
    assert done.kept_mm == pytest.approx(float(slow), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.uint8, torch.float64])
def test_every_voxel_outside_is_bit_identical_and_the_type_stays(template, dtype):
    scale = 255 / 1500 if dtype == torch.uint8 else 1.0
    image = head(TURN).map(lambda x: (x * scale + 3).to(dtype))
    before = image.data.clone()
    done = deface(image, template, rules=FAST)
    gone = done.removed.data > 0
    assert done.image.dtype == dtype
    assert done.image.grid is image.grid
    # torch cannot index uint16, numpy can
    a, b = done.image.data.numpy(), image.data.numpy()
    assert np.array_equal(a[~gone.numpy()], b[~gone.numpy()])
    assert (a[gone.numpy()] == b.min()).all()
    assert torch.equal(before.to(torch.float64), image.data.to(torch.float64))
    assert math.isnan(done.kept_mm)


def test_hounsfield_units_become_air(template):
    image = Image((head(TURN).data - 1010).to(torch.int16), GRID, "HU")
    done = deface(image, template, rules=FAST)
    assert done.fill == (-1000.0,)
    assert (done.image.data[done.removed.data > 0] == -1000).all()
    assert done.image.unit == "HU"


def test_each_channel_gets_its_own_low_value(template):
    data = torch.cat([head(TURN).data, 50 + 2 * head(TURN).data])
    done = deface(Image(data, GRID, channels=("a", "b")), template, rules=FAST)
    gone = done.removed.data[0] > 0
    assert done.fill == (float(data[0].min()), float(data[1].min()))
    assert (done.image.data[1][gone] == done.fill[1]).all()
    assert done.image.channels == ("a", "b")


def test_what_is_kept_wins_over_the_mask_and_that_is_said(template):
    keep = drawn(
        lambda at: brain_of(at) | ((at[..., 1] < -58) & (at[..., 2] > -16) & (at[..., 2] < 10)),
        TURN,
    )
    done = deface(head(TURN), template, keep=keep, rules=FAST)
    assert not ((done.removed.data > 0) & (keep.data > 0)).any()
    assert any("lay in what is to be kept" in text for text in done.findings)


def test_a_margin_removes_more(template, done):
    wide = deface(head(TURN), template, rules=Rules(margin_mm=8.0, init="header"))
    assert not ((done.removed.data > 0) & (wide.removed.data == 0)).any()
    assert wide.removed.data.sum() > 1.1 * done.removed.data.sum()


def test_a_scan_with_a_tilted_gantry_keeps_its_samples(template):
    affine = GRID.affine.clone()
    affine[1, 0] += 1.2  # slices lie 1.2 mm further back each
    affine[1, 3] -= 19.0
    grid = Grid(GRID.shape, affine)
    done = deface(head(TURN, grid), template, keep=drawn(brain_of, TURN, grid), rules=FAST)
    face, tissue = drawn(face_of, TURN, grid).data > 0, head(TURN, grid).data > 200
    gone = done.removed.data > 0
    assert (gone & face & tissue).sum() >= 0.95 * (face & tissue).sum()
    assert torch.equal(done.image.data[~gone], head(TURN, grid).data[~gone])
    assert math.isnan(done.kept_mm)


def test_the_same_scan_gives_the_same_result(template, done):
    again = deface(head(TURN), template, keep=drawn(brain_of, TURN), rules=FAST)
    assert torch.equal(again.image.data, done.image.data)


# ------------------------------------------------------------------ in doubt, nothing


def test_refuses_what_is_no_head(template, generator):
    noise = Image(torch.rand((1, *GRID.shape), generator=generator) * 900, GRID)
    with pytest.raises(ConvergenceError, match="nothing was removed or written"):
        deface(noise, template, rules=FAST)


def good(**changed):
    told = {"alike": 0.8, "apart_mm": 1.0, "shared": 0.9, "stretch": (0.95, 1.1)} | changed
    return Fit(IDENTITY, **told)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alike": 0.1}, "with a correlation of 0.2 or more"),
        ({"alike": math.nan}, "with a correlation of 0.2 or more"),
        ({"apart_mm": 7.0}, "must agree within 5 mm at the face, got 7.0 mm"),
        ({"apart_mm": math.nan}, "must agree within"),
        ({"shared": 0.1}, "the scan must show 25 % of the template's head"),
        ({"stretch": (0.4, 1.0)}, "must be stretched by 0.6 to 1.6 to fit a head, got 0.40"),
        ({"stretch": (1.0, 2.0)}, "must be stretched by"),
    ],
)
def test_the_gate_refuses(changed, message):
    pass_gate(good(), least_alike=0.2, most_apart_mm=5.0)
    with pytest.raises(ConvergenceError, match=message):
        pass_gate(good(**changed), least_alike=0.2, most_apart_mm=5.0)


def test_refuses_where_both_ways_do_not_agree(template):
    with pytest.raises(ConvergenceError, match="must agree within 1e-09 mm at the face"):
        deface(head(TURN), template, rules=Rules(init="header", most_apart_mm=1e-9))


def test_refuses_a_mask_that_misses_the_head():
    corner = Template(head(), drawn(lambda at: (at[..., 1] > 85) & (at[..., 2] > 75)))
    with pytest.raises(RegionError, match=r"the face must be 0\.5 to 60 % of the head"):
        deface(head(TURN), corner, rules=FAST)


def test_refuses_a_mask_of_everything():
    whole = Template(head(), drawn(lambda at: at[..., 0] < 1e9))
    with pytest.raises(RegionError, match="check that the template's mask is the face"):
        deface(head(TURN), whole, rules=FAST)


def test_refuses_to_keep_the_face(template):
    with pytest.raises(RegionError, match="must cover at most 10 % of the face"):
        deface(head(TURN), template, keep=drawn(face_of, TURN), rules=FAST)


def test_refuses_labels_of_another_world(template):
    elsewhere = Labels(
        torch.ones((1, 4, 4, 4), dtype=torch.uint8),
        Grid.from_spacing((4, 4, 4), origin_mm=(900.0, 0.0, 0.0)),
    )
    with pytest.raises(RegionError, match="must lie in the scan"):
        deface(head(TURN), template, keep=elsewhere, rules=FAST)


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="face must hold at least one voxel"):
        Template(head(), drawn(lambda at: at[..., 0] > 1e9))


def test_refuses_a_slice(template):
    grid = Grid.from_spacing((1, 36, 30), (6.0, 6.0, 6.0))
    with pytest.raises(GeometryError, match="removed from volumes, got one slice"):
        deface(Image(torch.rand(1, 1, 36, 30), grid), template, rules=FAST)


def test_refuses_a_constant_scan(template):
    with pytest.raises(IntensityError, match="must stand out from the air"):
        deface(Image(torch.ones(1, *GRID.shape), GRID), template, rules=FAST)


def test_refuses_what_is_not_finite_in_any_channel(template):
    bad = head(TURN).data.clone()
    bad[0, 3, 3, 3] = math.nan
    with pytest.raises(IntensityError, match="every channel of a scan must be finite"):
        deface(Image(torch.cat([head(TURN).data, bad]), GRID), template, rules=FAST)


def test_refuses_hounsfield_units_that_cannot_be_air(template):
    image = Image(head(TURN).data.clamp(0, 255).to(torch.uint8), GRID, "HU")
    with pytest.raises(UnitError, match="must be able to hold air"):
        deface(image, template, rules=FAST)


@pytest.mark.parametrize("margin", [-1.0, 51.0, math.nan])
def test_refuses_a_margin_out_of_range(margin):
    with pytest.raises(ConfigError, match="margin_mm must be 0 to 50 mm"):
        Rules(margin_mm=margin)


@pytest.mark.parametrize("gate", [{"least_alike": 0.0}, {"most_apart_mm": -1.0}])
def test_refuses_a_gate_that_lets_everything_pass(gate):
    with pytest.raises(ConfigError, match="least_alike must be above 0"):
        Rules(**gate)


# ------------------------------------------------------------------ the mask


def test_a_mask_is_carried_as_labels_are(template):
    found = carry(template.face, GRID, TURN.inverse())
    slow = resample_labels(template.face, GRID, transform=TURN.inverse()).data[0] > 0
    inside = slow | ~(resample_labels(Labels(torch.ones_like(template.face.data), GRID), GRID,
                                      transform=TURN.inverse()).data[0] == 0)  # fmt: skip
    assert torch.equal(found[inside], slow[inside])


def test_a_mask_goes_on_beyond_its_own_grid_as_it_is_at_its_border():
    face = torch.zeros((1, 4, 4, 4), dtype=torch.uint8)
    face[:, :2, :2] = 1  # touches the lower and the anterior border
    small = Labels(face, Grid.from_spacing((4, 4, 4)))
    like = Grid.from_spacing((12, 12, 4), origin_mm=(0.0, -4.0, -4.0))
    found = carry(small, like, IDENTITY)
    wanted = torch.zeros(12, 12, 4, dtype=torch.bool)
    wanted[:6, :6] = True
    assert torch.equal(found, wanted)


def test_a_margin_grows_the_mask_by_so_many_millimetres():
    face = torch.zeros((1, 9, 9, 9), dtype=torch.uint8)
    face[0, 4, 4, 4] = 1
    grid = Grid.from_spacing((9, 9, 9), (2.0, 1.0, 1.0))
    found = carry(Labels(face, grid), grid, IDENTITY, margin_mm=2.5)
    away = (places(grid) - torch.tensor([4.0, 4.0, 8.0]).double()).norm(dim=-1)
    assert torch.equal(found, away <= 2.5)


def test_refuses_to_grow_a_mask_on_a_sheared_grid():
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 1] = 0.3
    face = Labels(torch.ones((1, 4, 4, 4), dtype=torch.uint8), Grid((4, 4, 4), affine))
    with pytest.raises(GeometryError, match="must lie on orthogonal axes to grow"):
        carry(face, face.grid, IDENTITY, margin_mm=1.0)


def test_the_threshold_of_the_head_is_that_of_scikit_image():
    filters = pytest.importorskip("skimage.filters")
    image = head()
    slow = image.data[0].numpy() > filters.threshold_otsu(image.data[0].numpy())
    assert (head_of(image).numpy() != slow).mean() < 0.005


# ------------------------------------------------------------------ files


@pytest.fixture
def disk(tmp_path):
    io.save(head(TURN).map(lambda x: x.to(torch.int16)), tmp_path / "scan.nii.gz")
    io.save(head(), tmp_path / "template.nii.gz")
    io.save(drawn(face_of), tmp_path / "face.nii.gz")
    io.save(drawn(brain_of, TURN), tmp_path / "brain.nii.gz")
    return tmp_path


def files(disk, keep=None):
    return Files(disk / "scan.nii.gz", disk / "template.nii.gz", disk / "face.nii.gz", keep)


def test_a_file_without_a_face_and_a_page_that_warns_are_written(disk):
    out, page = disk / "out.nii.gz", disk / "private" / "check.html"
    page.parent.mkdir()
    done = run_deface(files(disk, disk / "brain.nii.gz"), out, report=page, rules=FAST)
    back, was = io.open(out).read(), io.open(disk / "scan.nii.gz").read()
    assert back.dtype == torch.int16
    assert torch.equal(back.grid.affine, was.grid.affine)
    gone = done.removed.data > 0
    assert torch.equal(back.data[~gone], was.data[~gone])
    assert (back.data[gone] == int(was.data.min())).all()
    text = page.read_text()
    assert "This page shows the face" in text
    assert "sagittal, before" in text
    assert "sagittal, after" in text
    assert str(disk) not in text
    assert "scan.nii" not in text


def test_without_being_asked_no_page_that_shows_a_face_is_written(disk):
    before = {p.name for p in disk.iterdir()}
    run_deface(files(disk), disk / "out.nii.gz", rules=FAST)
    assert {p.name for p in disk.iterdir()} - before == {"out.nii.gz"}


def test_a_refusal_writes_nothing_and_leaves_what_is_there(disk):
    (disk / "out.nii.gz").write_bytes(b"old")
    before = {p.name for p in disk.iterdir()}
    rules = Rules(init="header", most_apart_mm=1e-9)
    with pytest.raises(ConvergenceError, match="nothing was removed or written"):
        run_deface(files(disk), disk / "out.nii.gz", report=disk / "p.html", rules=rules)
    assert {p.name for p in disk.iterdir()} == before
    assert (disk / "out.nii.gz").read_bytes() == b"old"


def test_refuses_an_output_of_no_known_format_before_anything_is_read(tmp_path):
    with pytest.raises(OutputError, match="is written to one file that ends in"):
        run_deface(files(tmp_path), tmp_path / "out.txt")


def test_refuses_one_name_for_scan_and_page(tmp_path):
    with pytest.raises(OutputError, match="page and scan must be two files"):
        run_deface(files(tmp_path), tmp_path / "a.nii", report=tmp_path / "a.nii")


# ------------------------------------------------------------------ real heads


def at_3mm(path):
    image = io.open(path).read().map(lambda x: x.float())
    return resample(image, centred_grid(image.grid, (3.0, 3.0, 3.0)))


@pytest.mark.slow
def test_a_face_is_carried_from_one_person_to_another(data_dir):
    # the template's face lies below its field of view for the most part: nose, mouth and jaw
    template = at_3mm(data_dir / "ms_longitudinal" / "patient01" / "study2_T1W.nii.gz")
    image = at_3mm(data_dir / "dicom" / "mr_t1_hfs" / "3_t1_fl2d_sag.nii.gz")
    face = drawn(lambda at: (at[..., 1] < -28) & (at[..., 2] < -26), grid=template.grid)
    # drawn on the sagittal slice of the target: below the eyebrows, in front of the pituitary
    moved = Image(image.data, Grid(image.grid.shape, TURN.matrix @ image.grid.affine))
    truth = drawn(lambda at: (at[..., 1] < -48) & (at[..., 2] < -38), TURN, moved.grid)
    inside = torch.tensor([56.0, 82.0, 40.0]).double()
    brain = drawn(
        lambda at: ((at - torch.tensor([0.0, 0.0, 14.0]).double()) / inside).norm(dim=-1) < 1,
        TURN,
        moved.grid,
    )
    done = deface(moved, Template(template, face), keep=brain)
    assert done.findings == ()
    gone, tissue = done.removed.data > 0, head_of(moved)[None]
    assert (gone & tissue & (truth.data > 0)).sum() >= 0.95 * (tissue & (truth.data > 0)).sum()
    assert not (gone & (brain.data > 0)).any()
    assert done.fit.apart_mm < 4.0
    assert 0.05 < done.head_share < 0.25


@pytest.mark.slow
def test_a_region_of_the_world_is_carried_from_one_real_brain_to_another(data_dir):
    # both are in one space and without skull: what is in front of and below the frontal lobe
    folder = data_dir / "registration" / "brain_mni"
    template, image = at_3mm(folder / "ch2.nii.gz"), at_3mm(folder / "mni.nii.gz")
    scan = Image(image.data, Grid(image.grid.shape, TURN.matrix @ image.grid.affine))
    face = drawn(lambda at: (at[..., 1] < -25) & (at[..., 2] < -30), grid=template.grid)
    found = fit((template, scan), face, init="moments", modality="same")
    pass_gate(found, least_alike=0.5, most_apart_mm=3.0)
    mask = carry(face, scan.grid, found.transform)
    truth = drawn(lambda at: (at[..., 1] < -28) & (at[..., 2] < -34), TURN, scan.grid).data[0] > 0
    atlas = resample_labels(io.open_labels(folder / "mnia.nii.gz"), image.grid).data[0] > 0
    assert (mask & truth).sum() >= 0.95 * truth.sum()
    assert (mask & atlas).sum() < 0.01 * atlas.sum()


@pytest.mark.slow
def test_a_brain_without_a_head_is_refused(data_dir):
    head_mr = at_3mm(data_dir / "dicom" / "mr_t1_hfs" / "3_t1_fl2d_sag.nii.gz")
    brain = at_3mm(data_dir / "registration" / "brain_mni" / "mni.nii.gz")
    face = drawn(lambda at: (at[..., 1] < -48) & (at[..., 2] < -38), grid=head_mr.grid)
    with pytest.raises(ConvergenceError, match="nothing was removed or written"):
        deface(brain, Template(head_mr, face), rules=Rules(init="moments"))
