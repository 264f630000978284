"""``vesalius register``: what is written, what is said, and what is refused."""

import json
import re

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels, Linear, Points, Series
from vesalius.io import transforms

GRID = Grid.from_spacing((20, 22, 24), (3.0, 2.5, 2.5), origin_mm=(-30.0, -20.0, 100.0))
TRUTH = Linear.translation((4.0, -3.0, 2.0)) @ Linear.rotation(
    (0.0, 4.0, -6.0), centre_mm=(-1.0, 6.0, 128.0)
)
PLACES = torch.tensor([[-5.0, 0, 120], [5, 10, 130], [-10, 15, 125]], dtype=torch.float64)


def pattern(places):
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(places.shape[:-1], dtype=torch.float64)
    for _ in range(12):
        k = torch.randn(3, generator=generator, dtype=torch.float64) * 0.13
        total += torch.cos(places @ k + 6.3 * torch.rand(1, generator=generator).double())
    return (100 * (total + 5)).float()


def voxels(grid):
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    return grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


def moved(transform):
    return Image(pattern(transform.inverse()(voxels(GRID)))[None], GRID)


@pytest.fixture
def disk(tmp_path):
    fixed, moving = moved(Linear.identity()), moved(TRUTH)
    io.save(fixed, tmp_path / "fixed.nii.gz")
    io.save(moving, tmp_path / "moving.nii.gz")
    names = {(0, 1): "bright"}
    for name, image in (("fixed", fixed), ("moving", moving)):
        labels = Labels((image.data > 600).to(torch.uint8), GRID, names)
        io.save(labels, tmp_path / f"{name}_labels.nii.gz")
    transforms.save_points(Points(PLACES), tmp_path / "fixed.csv")
    transforms.save_points(Points(TRUTH(PLACES)), tmp_path / "moving.csv")
    return tmp_path


def words(disk, *more, out="out"):
    return ["register", disk / "fixed.nii.gz", disk / "moving.nii.gz", "-o", disk / out, *more]


def test_everything_is_written_and_judged(vesalius, disk):
    kinds = (("labels", "_labels.nii.gz"), ("points", ".csv"))
    pairs = [
        word
        for what, end in kinds
        for side in ("fixed", "moving")
        for word in (f"--{side}-{what}", disk / f"{side}{end}")
    ]
    ended = vesalius(*words(disk, "--preset", "rigid", *pairs, "--progress", "none"))
    assert ended.code == 0, ended.err
    assert "mean Dice" in ended.out
    assert "landmark error" in ended.out
    out = disk / "out"
    assert {p.name for p in out.iterdir()} == {
        "warped.nii.gz", "transform.json", "inverse.json", "warped_labels.nii.gz",
        "metrics.json", "report.html",
    }  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["mean_dice"] > metrics["mean_dice_before"]
    assert metrics["mean_dice"] > 0.85
    assert metrics["landmarks_after"]["mean_mm"] < 0.8
    assert metrics["provenance"]["inputs"]
    found, back = (transforms.load(out / f"{n}.json") for n in ("transform", "inverse"))
    assert (found(PLACES) - TRUTH(PLACES)).norm(dim=-1).max() < 0.8
    assert (back(found(PLACES)) - PLACES).norm(dim=-1).max() < 1e-9
    assert io.open(out / "warped.nii.gz").grid.shape == GRID.shape
    page = (out / "report.html").read_text()
    for word in ("Checkerboard", "Change of volume", "Bent grid", "bright", "fixed world"):
        assert word in page
    assert str(disk) not in page


def test_a_deformation_has_its_inverse_written(vesalius, disk):
    ended = vesalius(*words(disk, "--preset", "smooth", "-q"))
    assert ended.code == 0, ended.err
    assert ended.out == ""
    found, back = (transforms.load(disk / "out" / f"{n}.json") for n in ("transform", "inverse"))
    assert (back(found(PLACES)) - PLACES).norm(dim=-1).max() < 0.3
    assert (found(PLACES) - TRUTH(PLACES)).norm(dim=-1).mean() < 1.5


def test_a_mask_says_where_folds_and_likeness_are_judged(vesalius, disk):
    seen = torch.zeros(1, *GRID.shape, dtype=torch.uint8)
    seen[:, 5:15, 5:17, 6:18] = 1
    io.save(Labels(seen, GRID), disk / "mask.nii.gz")
    ended = vesalius(*words(disk, "-p", "rigid", "--fixed-mask", disk / "mask.nii.gz"))
    assert ended.code == 0, ended.err
    metrics = json.loads((disk / "out" / "metrics.json").read_text())
    share = float(seen.double().mean())
    assert metrics["similarity_after"]["shared"] == pytest.approx(share, rel=1e-6)


def test_landmarks_alone(vesalius, disk):
    more = torch.cat([PLACES, PLACES + torch.tensor([0.0, 9.0, -14.0], dtype=torch.float64)])
    transforms.save_points(Points(more), disk / "fixed.csv")
    transforms.save_points(Points(TRUTH(more)), disk / "moving.csv")
    points = ("--fixed-points", disk / "fixed.csv", "--moving-points", disk / "moving.csv")
    ended = vesalius(*words(disk, "--preset", "landmarks", *points))
    assert ended.code == 0, ended.err
    assert "no independent judge" in ended.out


def test_what_has_no_inverse_says_so_and_leaves_no_older_one(vesalius, disk):
    spread = torch.tensor([[0.0, 9, 4], [0, 0, 0], [9, 0, 0], [0, -9, 0], [0, 0, 9], [5, 5, -8]])
    spread = spread.double() + torch.tensor([-5.0, 0.0, 122.0]).double()
    coarse = Grid.from_spacing((8, 9, 10), (7.0, 6.0, 6.0), origin_mm=GRID.origin_mm)
    for name in ("fixed", "moving"):  # few voxels: each is searched for
        io.save(Image(pattern(voxels(coarse))[None], coarse), disk / f"{name}.nii.gz")
    crossed = spread.clone()
    crossed[0], crossed[1] = spread[1], spread[0]  # two places change sides: a fold
    transforms.save_points(Points(spread), disk / "fixed.csv")
    transforms.save_points(Points(crossed), disk / "moving.csv")
    (disk / "out").mkdir()
    for old in ("inverse.json", "inverse.0.nii.gz", "warped_labels.nii.gz", "mine.txt"):
        (disk / "out" / old).write_text("of an earlier run")
    points = ("--fixed-points", disk / "fixed.csv", "--moving-points", disk / "moving.csv")
    ended = vesalius(*words(disk, "--preset", "landmarks", *points))
    assert ended.code == 0, ended.err
    assert "No inverse was written" in ended.out
    found = {path.name for path in (disk / "out").iterdir()}
    assert found == {"metrics.json", "mine.txt", "report.html", "transform.0.nii.gz",
                     "transform.json", "warped.nii.gz"}  # fmt: skip


def test_a_start_from_transform_files(vesalius, disk):
    transforms.save(TRUTH, disk / "start.tfm")
    ended = vesalius(*words(disk, "--preset", "rigid", "--init", disk / "start.tfm"))
    assert ended.code == 0, ended.err
    found = transforms.load(disk / "out" / "transform.json")
    assert (found(PLACES) - TRUTH(PLACES)).norm(dim=-1).max() < 0.8


def test_two_channels_with_weights(vesalius, disk):
    pair = f"{disk / 'moving.nii.gz'},{disk / 'fixed.nii.gz'},0"
    ended = vesalius(*words(disk, "--preset", "rigid", "--pair", pair))
    assert ended.code == 0, ended.err
    found = transforms.load(disk / "out" / "transform.json")
    assert (found(PLACES) - TRUTH(PLACES)).norm(dim=-1).max() < 0.8


def test_images_that_do_not_meet_are_refused_with_what_to_do(vesalius, disk):
    far = Grid.from_spacing(GRID.shape, GRID.spacing_mm, origin_mm=(900.0, 0.0, 0.0))
    io.save(Image(moved(TRUTH).data, far), disk / "moving.nii.gz")
    ended = vesalius(*words(disk, "--preset", "rigid"))
    assert ended.code == 3
    assert "moments" in ended.err
    assert {p.name for p in (disk / "out").iterdir()} == {"report.html"}
    assert "Nothing was registered" in (disk / "out" / "report.html").read_text()
    again = vesalius(*words(disk, "--preset", "rigid", "--init", "moments"))
    assert again.code == 0, again.err


def test_a_picture_without_a_spacing_is_said_to_have_none(vesalius, disk):
    from PIL import Image as Picture

    for name, image in (("fixed", moved(Linear.identity())), ("moving", moved(TRUTH))):
        grey = (image.data[0, 10] / 4).clamp(0, 255).to(torch.uint8).numpy()
        Picture.fromarray(grey).save(disk / f"{name}.jpg", quality=95)
    ended = vesalius("register", disk / "fixed.jpg", disk / "moving.jpg", "-o", disk / "out",
                     "--preset", "rigid")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "fixed image: " in ended.out
    assert "mm" in ended.out


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--fixed-labels", "fixed_labels.nii.gz"), 2, "--moving-labels is not"),
        (("--init", "header", "--init", "centre"), 3, "or transform files"),
        (("--init", "landmarks"), 3, "needs landmarks in both images"),
        (("--guide",), 3, "got neither"),
        (
            ("--guide", "--fixed-points", "fixed.csv", "--moving-points", "moving.csv"),
            3,
            "pull deformable stages alone",
        ),
        (("--pair", "a.nii.gz,b.nii.gz"), 2, "must be FIXED,MOVING,WEIGHT"),
    ],
)
def test_half_a_command_is_refused(vesalius, disk, more, code, said):
    more = [disk / w if w.endswith(("gz", "csv")) and "," not in w else w for w in more]
    ended = vesalius(*words(disk, "--preset", "rigid", *more))
    assert ended.code == code
    assert said in " ".join(ended.err.split())


def series(grid, shifts):
    frames = [moved(Linear.translation(s)).data for s in shifts]
    return Series(torch.stack(frames), grid, tuple(float(k) for k in range(len(shifts))))


def test_a_series_is_aligned_frame_by_frame(vesalius, disk):
    shifts = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, -2.0, 0.0))
    io.save(series(GRID, shifts), disk / "series.nii.gz")
    ended = vesalius("register", "series", disk / "series.nii.gz", "-o", disk / "aligned")
    assert ended.code == 0, ended.err
    assert "3 frames were brought onto frame 0" in ended.out
    assert re.search(r"points moved by 1\.[3-7]\d* mm on average", ended.out)  # of two changes
    lines = (disk / "aligned" / "motion.csv").read_text().splitlines()
    assert lines[0] == "frame,framewise_displacement_mm,mean_displacement_mm"
    power = [float(line.split(",")[1]) for line in lines[1:]]
    assert power[0] == 0
    assert power[1] == pytest.approx(1.0, abs=0.4)
    assert power[2] == pytest.approx(2.0, abs=0.5)
    last = transforms.load(disk / "aligned" / "transform_0002.json")
    assert (last(PLACES) - PLACES - torch.tensor(shifts[2]).double()).norm(dim=-1).max() < 0.5
    assert "Framewise displacement" in (disk / "aligned" / "report.html").read_text()


def test_a_series_is_no_image_and_an_image_no_series(vesalius, disk):
    io.save(series(GRID, ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0))), disk / "series.nii.gz")
    ended = vesalius("register", "series", disk / "fixed.nii.gz", "-o", disk / "a")
    assert ended.code == 3
    assert "must hold a series of images" in ended.err
    ended = vesalius("register", disk / "fixed.nii.gz", disk / "series.nii.gz", "-o", disk / "b")
    assert ended.code == 3
    assert "vesalius register series" in ended.err
    for wrong in ("first", "-1", "²"):
        ended = vesalius("register", "series", disk / "series.nii.gz", "-o", disk / "c",
                         f"--reference={wrong}")  # fmt: skip
        assert ended.code == 2
        assert "must be mean or a frame" in " ".join(ended.err.split())


def test_help_names_the_presets_and_imports_no_torch(vesalius):
    ended = vesalius("register", "--help")
    assert ended.code == 0
    for word in ("rigid", "accurate", "crossmodal", "landmarks", "--fixed-points"):
        assert word in ended.out
