"""``vesalius transform``: direction, order and frame are said, kept, and refused where unknown."""

import re

import numpy as np
import pytest
import torch

from vesalius import io
from vesalius.core import Displacement, Grid, Image, Labels, Linear, Points
from vesalius.io import transforms
from vesalius.ops import gaussian

GRID = Grid.from_spacing((10, 12, 14), (3.0, 2.0, 2.0), origin_mm=(5.0, -8.0, 20.0))
TURN = Linear.rotation((0.0, 0.0, 20.0), centre_mm=(18.0, 3.0, 33.0))
SHIFT = Linear.translation((2.0, -4.0, 3.0))


@pytest.fixture
def disk(tmp_path):
    generator = torch.Generator().manual_seed(1)
    image = Image(torch.rand(1, *GRID.shape, generator=generator), GRID)
    io.save(image, tmp_path / "image.nii.gz")
    io.save(
        Labels((image.data > 0.7).to(torch.uint8), GRID, {(0, 1): "bright"}),
        tmp_path / "labels.nii.gz",
    )
    transforms.save(TURN, tmp_path / "turn.tfm")
    transforms.save(SHIFT, tmp_path / "shift.json")
    data = gaussian(torch.randn(3, *GRID.shape, generator=generator), (2.0, 3.0, 3.0)) * 12
    transforms.save(Displacement(data, GRID), tmp_path / "bend.json")
    (tmp_path / "points.csv").write_text("# LPS mm\nx,y,z\n10,0,30\n12,4,41\n")
    return tmp_path


def points(path):
    return transforms.load_points(path).data.double()


HERE = torch.tensor([[10.0, 0.0, 30.0], [12.0, 4.0, 41.0]], dtype=torch.float64)


def test_points_go_from_the_fixed_world_to_the_moving_one(vesalius, disk):
    ended = vesalius("transform", "apply", disk / "turn.tfm", "--points", disk / "points.csv",
                "-o", disk / "there.csv")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "points move opposite to images" in ended.out
    torch.testing.assert_close(points(disk / "there.csv"), TURN(HERE))


def test_an_image_is_pulled_onto_the_grid_asked_for(vesalius, disk):
    ended = vesalius("transform", "apply", disk / "shift.json", disk / "image.nii.gz",
                "--like", disk / "image.nii.gz", "-o", disk / "pulled.nii.gz")  # fmt: skip
    assert ended.code == 0, ended.err
    image, pulled = (io.open(disk / f"{name}.nii.gz").read() for name in ("image", "pulled"))
    index = torch.tensor([4, 6, 5])
    there = GRID.to_index(SHIFT(GRID.to_world(index[None].double())))[0]
    z, y, x = there.tolist()
    assert x == int(x)  # 2 mm along L is one voxel: no interpolation
    assert y == int(y)
    assert z == int(z)
    assert pulled.data[0, 4, 6, 5] == pytest.approx(float(image.data[0, int(z), int(y), int(x)]))


def test_labels_stay_labels(vesalius, disk):
    ended = vesalius("transform", "apply", disk / "turn.tfm", disk / "labels.nii.gz", "--labels",
                "--like", disk / "image.nii.gz", "-o", disk / "l.nii.gz")  # fmt: skip
    assert ended.code == 0, ended.err
    assert set(io.open_labels(disk / "l.nii.gz").data.unique().tolist()) <= {0, 1}
    refused = vesalius("transform", "apply", disk / "turn.tfm", disk / "labels.nii.gz", "--labels",
                  "--cubic", "--like", disk / "image.nii.gz", "-o", disk / "l2.nii.gz")  # fmt: skip
    assert refused.code == 3
    assert "labels are never averaged" in refused.err


def test_composition_says_its_order_and_keeps_it(vesalius, disk):
    ended = vesalius("transform", "compose", disk / "turn.tfm", disk / "shift.json",
                "-o", disk / "both.json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "points go through shift.json, then turn.tfm" in ended.out
    assert "antsApplyTransforms -t shift.json -t turn.tfm" in ended.out
    both = transforms.load(disk / "both.json")
    torch.testing.assert_close(both(HERE), TURN(SHIFT(HERE)))


def test_the_order_told_for_ants_is_that_of_its_files(vesalius, disk):
    ended = vesalius("transform", "compose", disk / "turn.tfm", disk / "shift.json",
                "-o", disk / "row.tfm")  # fmt: skip
    assert ended.code == 0, ended.err
    said = re.findall(r"-t (\S+?)[`\s]", ended.out)
    theirs = transforms.load_ants([disk / name for name in said])
    torch.testing.assert_close(theirs(HERE), transforms.load(disk / "row.tfm")(HERE))


def test_refuses_two_matrices_of_flirt_with_one_pair_of_images(vesalius, disk):
    """Each has its own scaled voxels: by one pair the result would be silently wrong."""
    images = ("--fsl-ref", disk / "image.nii.gz", "--fsl-in", disk / "labels.nii.gz")
    for name in ("a.mat", "b.mat"):
        said = vesalius("transform", "convert", disk / "turn.tfm", "-o", disk / name, *images)
        assert said.code == 0, said.err
    ended = vesalius("transform", "compose", disk / "a.mat", disk / "b.mat",
                     "-o", disk / "c.tfm", *images)  # fmt: skip
    assert ended.code == 3
    assert "one matrix of FLIRT goes with one pair of images, got a.mat and b.mat" in ended.err
    assert not (disk / "c.tfm").exists()


def test_a_matrix_that_is_not_there_is_said_to_be_absent(vesalius, disk):
    ended = vesalius("transform", "convert", disk / "absent.mat", "-o", disk / "c.tfm")
    assert ended.code == 3
    assert "'absent.mat' must be a file that can be read" in ended.err


def test_composition_agrees_with_itk(disk):
    import SimpleITK as sitk

    turn = sitk.ReadTransform(str(disk / "turn.tfm"))
    shift = sitk.TranslationTransform(3, (2.0, -4.0, 3.0))
    both = sitk.CompositeTransform(3)
    both.AddTransform(turn)
    both.AddTransform(shift)  # ITK applies the last one added first, as -t A -t B of ANTs
    ours = (TURN @ SHIFT)(HERE).numpy()
    theirs = np.array([both.TransformPoint(p) for p in HERE.tolist()])
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_one_transform_alone_is_not_composed(vesalius, disk):
    ended = vesalius("transform", "compose", disk / "turn.tfm", "-o", disk / "both.json")
    assert ended.code == 3
    assert "at least two transforms are composed, got 1" in ended.err


@pytest.mark.parametrize("name", ["turn.tfm", "bend.json"])
def test_inversion_leads_back(vesalius, disk, name):
    ended = vesalius("transform", "invert", disk / name, "-o", disk / "back.json")
    assert ended.code == 0, ended.err
    assert "moving world to fixed world" in ended.out
    there = transforms.load(disk / name)(HERE)
    back = transforms.load(disk / "back.json")(there)
    assert (back - HERE).norm(dim=-1).max() < 0.1


def test_conversion_keeps_the_map(vesalius, disk):
    ended = vesalius("transform", "convert", disk / "turn.tfm", "-o", disk / "turn.h5")
    assert ended.code == 0, ended.err
    torch.testing.assert_close(transforms.load(disk / "turn.h5")(HERE), TURN(HERE))


def test_fsl_matrices_need_both_images(vesalius, disk):
    io.save(Image(torch.rand(1, 8, 9, 10), Grid.from_spacing((8, 9, 10), (3, 3, 3))),
            disk / "other.nii.gz")  # fmt: skip
    both = ["--fsl-ref", disk / "image.nii.gz", "--fsl-in", disk / "other.nii.gz"]
    ended = vesalius("transform", "convert", disk / "turn.tfm", "-o", disk / "turn.mat", *both)
    assert ended.code == 0, ended.err
    ended = vesalius("transform", "convert", disk / "turn.mat", "-o", disk / "again.json", *both)
    assert ended.code == 0, ended.err
    again = transforms.load(disk / "again.json")
    torch.testing.assert_close(again(HERE), TURN(HERE), atol=1e-6, rtol=0)
    half = vesalius("transform", "convert", disk / "turn.mat", "-o", disk / "x.json", *both[:2])
    assert half.code == 3
    assert "need both images" in half.err


def test_a_file_of_freesurfer_names_both_images(vesalius, disk):
    words = ["transform", "convert", disk / "turn.tfm", "-o", disk / "turn.lta"]
    alone = vesalius(*words)
    assert alone.code == 3
    assert "in a shell: --fsl-ref and --fsl-in" in alone.err
    ended = vesalius(*words, "--fsl-ref", disk / "image.nii.gz", "--fsl-in", disk / "image.nii.gz")
    assert ended.code == 0, ended.err
    torch.testing.assert_close(
        transforms.load(disk / "turn.lta")(HERE), TURN(HERE), atol=1e-4, rtol=0
    )


def test_a_field_does_not_fit_a_matrix_file(vesalius, disk):
    both = ["--fsl-ref", disk / "image.nii.gz", "--fsl-in", disk / "image.nii.gz"]
    ended = vesalius("transform", "convert", disk / "bend.json", "-o", disk / "bend.mat", *both)
    assert ended.code == 3
    assert "linear transforms alone, got Displacement" in ended.err


def test_info_says_direction_unit_and_frame(vesalius, disk):
    ended = vesalius("transform", "info", disk / "bend.json")
    assert ended.code == 0, ended.err
    for word in ("fixed", "moving", "mm", "LPS"):
        assert word in ended.out


@pytest.mark.parametrize("first", ["# RAS mm", "x,y,z"])
def test_points_without_a_known_frame_are_refused(vesalius, disk, first):
    (disk / "bad.csv").write_text(f"{first}\n1,2,3\n")
    ended = vesalius("transform", "apply", disk / "turn.tfm", "--points", disk / "bad.csv",
                "-o", disk / "there.csv")  # fmt: skip
    assert ended.code == 3
    assert "LPS" in ended.err
    assert not (disk / "there.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image.nii.gz", "-o", "x.nii.gz"], "needs IMAGE and --like"),
        (["image.nii.gz", "--like", "image.nii.gz"], "must name the file to write"),
        (["image.nii.gz", "--points", "points.csv", "-o", "x.csv"], "takes points alone"),
    ],
)
def test_half_a_command_is_not_understood(vesalius, disk, words, said):
    words = [disk / w if "." in w else w for w in words]
    ended = vesalius("transform", "apply", disk / "turn.tfm", *words)
    assert ended.code == 2
    assert said in " ".join(ended.err.split())


def test_a_file_that_is_no_transform_is_refused(vesalius, disk):
    ended = vesalius("transform", "info", disk / "points.csv")
    assert ended.code == 3
    assert ended.err.startswith("error: ")


def test_names_of_points_are_kept(vesalius, disk):
    transforms.save_points(Points(HERE, ("carina", "apex")), disk / "named.csv")
    ended = vesalius("transform", "apply", disk / "turn.tfm", "--points", disk / "named.csv",
                "-o", disk / "there.csv", "-q")  # fmt: skip
    assert ended.code == 0
    assert ended.out == ""
    assert transforms.load_points(disk / "there.csv").names == ("carina", "apex")


def test_a_text_matrix_of_greedy_is_named(vesalius, disk):
    ended = vesalius("transform", "convert", disk / "turn.tfm", "-o", disk / "g.mat", "--greedy")
    assert ended.code == 0, ended.err
    unnamed = vesalius("transform", "convert", disk / "g.mat", "-o", disk / "x.json")
    assert unnamed.code == 3
    ended = vesalius("transform", "convert", disk / "g.mat", "-o", disk / "x.json", "--greedy")
    assert ended.code == 0, ended.err
    torch.testing.assert_close(transforms.load(disk / "x.json")(HERE), TURN(HERE))
    fsl = ["--fsl-ref", disk / "image.nii.gz", "--fsl-in", disk / "image.nii.gz"]
    words = ["transform", "convert", disk / "g.mat", "-o", disk / "x.json", "--greedy"]
    both = vesalius(*words, *fsl)
    assert both.code == 2
    assert "not both" in both.err


def test_transforms_of_the_plane_are_written_for_itk(vesalius, disk):
    import SimpleITK as sitk

    flat = Linear.rotation((0.0, 0.0, 10.0), centre_mm=(3.0, 4.0, 0.0))
    transforms.save(flat, disk / "flat.json")
    ended = vesalius("transform", "convert", disk / "flat.json", "-o", disk / "f.tfm", "--plane")
    assert ended.code == 0, ended.err
    theirs = sitk.ReadTransform(str(disk / "f.tfm"))
    assert theirs.GetDimension() == 2
    ours = flat(torch.tensor([[7.0, -2.0, 0.0]], dtype=torch.float64))[0, :2]
    np.testing.assert_allclose(theirs.TransformPoint((7.0, -2.0)), ours.numpy(), atol=1e-9)
