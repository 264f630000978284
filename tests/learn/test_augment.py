"""Augmentation: image and truth move together, nothing moves where nothing is drawn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, ShapeError
from vesalius.learn import augment as a

STILL = a.Motion(share_rotated=0.0, share_scaled=0.0, share_bent=0.0)
ALWAYS = a.Motion(share_rotated=1.0, share_scaled=1.0, share_bent=1.0, bend=1.0)
SHARES = ("noise", "blur", "zoom", "gain", "contrast", "gamma", "inverted")


def only(name, **fields):
    """Settings under which one kind of change always happens."""
    return a.Appearance(**{f"share_{k}": float(k == name) for k in SHARES}, **fields)


def affine(matrix, shift=None):
    matrix = torch.tensor(matrix)[None]
    d = matrix.shape[1]
    return a.Move(
        matrix,
        torch.zeros(1, d) if shift is None else torch.tensor([shift]),
        torch.zeros(1, d, *[2] * d),
    )


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def pulled(x, move, size=None, **options):
    places = a.lattice(move, old=tuple(x.shape[2:]), size=size or tuple(x.shape[2:]))
    return a.moved(x, places, **{"sampling": "linear", **options})


@pytest.mark.parametrize("shape", [(3, 2, 9, 8), (2, 1, 5, 6, 7)], ids=["2-D", "3-D"])
def test_nothing_drawn_gives_the_input_back_exactly(shape):
    image = torch.randn(shape, generator=gen())
    target = torch.randint(-1, 3, (shape[0], 1, *shape[2:]), generator=gen()).float()
    weight = torch.rand(target.shape, generator=gen())
    done = a.augment(
        image,
        a.Truth(target, weight),
        size=shape[2:],
        spacing=(1.0,) * (len(shape) - 2),
        augmentation=a.NONE,
        generator=gen(),
    )
    assert torch.equal(done.image, image)
    assert torch.equal(done.targets, target)
    assert torch.equal(done.weight, weight)
    assert torch.equal(done.matrix, torch.eye(len(shape) - 2).repeat(shape[0], 1, 1))
    assert done.image.data_ptr() != image.data_ptr()


@pytest.mark.parametrize("augmentation", [a.VOLUME, a.MICROSCOPY, a.Augmentation(ALWAYS)])
@pytest.mark.parametrize("size", [(12, 14), (6, 8, 10)])
def test_the_same_generator_gives_the_same_batch_and_the_input_stays(augmentation, size):
    image = torch.randn(3, 2, 8 + size[0], *size[1:], generator=gen())
    target = (image[:, :1] > 0).float()
    weight = torch.ones_like(target)
    kept = image.clone()
    one, two, other = (
        a.augment(
            image,
            a.Truth(target, weight),
            size=size,
            spacing=(1.0,) * len(size),
            augmentation=augmentation,
            generator=gen(seed),
        )
        for seed in (5, 5, 6)
    )
    assert one.image.shape == (3, 2, *size)
    assert one.targets.shape == one.weight.shape == (3, 1, *size)
    assert torch.equal(one.image, two.image)
    assert torch.equal(one.targets, two.targets)
    assert not torch.equal(one.image, other.image)
    assert set(torch.unique(one.targets).tolist()) <= {0.0, 1.0}
    assert bool(torch.isfinite(one.image).all())
    assert torch.equal(image, kept)


@pytest.mark.parametrize("size", [(24, 24), (16, 18, 20)])
@pytest.mark.parametrize("seed", range(4))
def test_image_and_labels_move_together(size, seed):
    """An image that is the label itself must still be it, but for the smeared edge."""
    image = torch.zeros(1, 1, *size)
    image[(0, 0, *(slice(n // 4, n - n // 3) for n in size))] = 1.0
    done = a.augment(
        image,
        a.Truth(image, torch.ones_like(image)),
        size=size,
        spacing=(1.0,) * len(size),
        augmentation=a.Augmentation(ALWAYS, a.NONE.appearance),
        generator=gen(seed),
    )
    assert not torch.equal(done.targets, image)
    assert torch.equal((done.image > 0.5).float(), done.targets)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_quarter_turn_is_the_quarter_turn_of_the_samples(k):
    x = torch.randn(1, 2, 9, 9, generator=gen())
    angle = k * math.pi / 2
    move = affine([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    torch.testing.assert_close(pulled(x, move), torch.rot90(x, -k, (2, 3)), atol=1e-4, rtol=1e-4)


def test_a_shift_and_a_mirror_are_those_of_the_samples():
    x = torch.randn(1, 1, 6, 7, 8, generator=gen())
    eye = torch.eye(3).tolist()
    shifted = pulled(x, affine(eye, [1.0, 0.0, -2.0]))
    torch.testing.assert_close(shifted[..., :5, :, 2:], x[..., 1:, :, :6], atol=1e-4, rtol=1e-4)
    mirrored = pulled(x, affine([[1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]]))
    torch.testing.assert_close(mirrored, x.flip(3), atol=1e-4, rtol=1e-4)


def test_agrees_with_scipy_for_any_matrix():
    from scipy.ndimage import affine_transform

    x = torch.randn(1, 1, 10, 11, 12, generator=gen())
    matrix = torch.tensor([[0.9, 0.2, -0.1], [-0.1, 1.1, 0.2], [0.05, -0.2, 0.8]])
    centre = (torch.tensor([10.0, 11.0, 12.0]) - 1) / 2
    oracle = affine_transform(
        x[0, 0].numpy(),
        matrix.numpy(),
        offset=(centre - matrix @ centre).numpy(),
        order=1,
        mode="nearest",
    )
    found = pulled(x, affine(matrix.tolist()))
    torch.testing.assert_close(found[0, 0], torch.from_numpy(oracle), atol=1e-4, rtol=1e-4)


def test_a_constant_bend_is_a_shift():
    x = torch.randn(1, 1, 8, 9, generator=gen())
    bend = torch.zeros(1, 2, 3, 3)
    bend[:, 1] = 2.0
    move = a.Move(torch.eye(2)[None], torch.zeros(1, 2), bend)
    torch.testing.assert_close(pulled(x, move)[..., :7], x[..., 2:], atol=1e-5, rtol=1e-5)


def test_rotations_keep_lengths_in_space_whatever_the_voxel_size():
    spacing = (2.0, 0.8, 0.9)
    motion = a.Motion(rotation_deg=40.0, share_rotated=1.0, share_scaled=0.0)
    move = a.draw_move(motion, batch=5, size=(8, 8, 8), spacing=spacing, generator=gen())
    step = torch.diag(torch.tensor(spacing))
    physical = step @ move.matrix @ torch.linalg.inv(step)
    torch.testing.assert_close(physical @ physical.mT, torch.eye(3).repeat(5, 1, 1))
    torch.testing.assert_close(torch.linalg.det(physical), torch.ones(5))
    assert float((physical - torch.eye(3)).abs().amax((1, 2)).min()) > 0.01


def test_thick_slices_stay_in_their_plane():
    motion = a.Motion(
        rotation_deg=40.0, share_rotated=1.0, share_scaled=1.0, bend=2.0, share_bent=1
    )
    move = a.draw_move(motion, batch=4, size=(6, 20, 20), spacing=(5.0, 1, 1), generator=gen())
    assert torch.equal(move.matrix[:, 0], torch.tensor([1.0, 0, 0]).repeat(4, 1))
    assert torch.equal(move.matrix[:, :, 0], torch.tensor([1.0, 0, 0]).repeat(4, 1))
    assert float(move.bend[:, 0].abs().max()) == 0.0
    assert float(move.matrix[:, 1, 2].abs().min()) > 0.0


def test_a_scale_magnifies_the_object():
    x = torch.zeros(1, 1, 21, 21)
    x[..., 8:13, 8:13] = 1
    motion = a.Motion(scale=(2.0, 2.0), share_scaled=1.0, share_rotated=0.0)
    move = a.draw_move(motion, batch=1, size=(21, 21), spacing=(1.0, 1.0), generator=gen())
    torch.testing.assert_close(move.matrix, 0.5 * torch.eye(2)[None])
    assert int(pulled(x, move, sampling="classes").sum()) == pytest.approx(100, rel=0.25)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 180), st.floats(0.3, 1), st.floats(1, 3))
def test_draws_stay_in_their_ranges(seed, angle, low, high):
    motion = a.Motion(
        rotation_deg=angle, scale=(low, high), shift=2.0, share_rotated=1.0, share_scaled=1.0
    )
    move = a.draw_move(motion, batch=6, size=(9, 9), spacing=(1.0, 1.0), generator=gen(seed))
    zoom = torch.linalg.det(move.matrix) ** -0.5
    assert bool(((zoom >= low - 1e-4) & (zoom <= high + 1e-4)).all())
    turn = torch.atan2(move.matrix[:, 1, 0], move.matrix[:, 0, 0]).abs().rad2deg()
    assert float(turn.max()) <= angle + 1e-2
    assert float(move.shift.abs().max()) <= 2.0


def test_flips_mirror_half_of_the_members_along_the_axes_that_allow_it():
    motion = a.Motion(share_rotated=0, share_scaled=0, flips=(False, True, False))
    move = a.draw_move(motion, batch=200, size=(4, 4, 4), spacing=(1, 1, 1), generator=gen())
    signs = torch.diagonal(move.matrix, dim1=1, dim2=2)
    assert set(torch.unique(signs[:, [0, 2]]).tolist()) == {1.0}
    assert 70 < int((signs[:, 1] < 0).sum()) < 130


def test_what_lies_beyond_the_block_is_not_known():
    x = torch.ones(1, 1, 8, 8)
    move = affine([[1.0, 0], [0, 1.0]], [0.0, 3.0])
    weight = pulled(x, move, sampling="nearest", outside="zero")
    assert torch.equal(weight[0, 0], (torch.arange(8) < 5).float().repeat(8, 1))
    assert torch.equal(pulled(x, move), x)
    classes = pulled(2 * x, move, sampling="classes", outside="zero")
    assert torch.equal(classes[..., 5:], torch.zeros(1, 1, 8, 3))
    assert torch.equal(classes[..., :5], torch.full((1, 1, 8, 5), 2.0))


def test_a_block_is_cut_and_padded_about_its_centre():
    x = torch.arange(5.0).view(1, 1, 1, 5)
    assert a.centre_cut(x, (1, 3)).flatten().tolist() == [1, 2, 3]
    assert a.centre_cut(x, (1, 7)).flatten().tolist() == [0, 0, 1, 2, 3, 4, 4]
    assert a.centre_cut(x, (1, 7), outside="zero").flatten().tolist() == [0, 0, 1, 2, 3, 4, 0]
    still = a.draw_move(STILL, batch=1, size=(1, 3), spacing=(1.0, 1.0), generator=gen())
    assert pulled(x, still, size=(1, 3)).flatten().tolist() == [1, 2, 3]
    half = pulled(x, still, size=(1, 4)).flatten().tolist()
    assert half == pytest.approx([0.5, 1.5, 2.5, 3.5])


def test_classes_are_never_averaged_and_keep_smooth_edges():
    """Label 1 between 0 and 2 must not appear at an edge of 0 and 2; many classes do as few."""
    x = torch.zeros(1, 1, 20, 20)
    x[..., 10:] = 2.0
    turn = affine([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    found = pulled(x, turn, sampling="classes")
    assert set(torch.unique(found).tolist()) == {0.0, 2.0}
    assert torch.equal(found, 2 * (pulled(x / 2, turn) > 0.5).float())
    many = torch.randint(-1, 9, (1, 1, 20, 20), generator=gen()).float()
    best, most = torch.zeros_like(many), torch.zeros_like(many)
    for value in range(-1, 9):
        share = pulled((many == value).float(), turn)
        best = torch.where(share > most + 1e-6, float(value), best)
        most = torch.maximum(most, share)
    clear = most > 0.55
    assert torch.equal(pulled(many, turn, sampling="classes")[clear], best[clear])


@pytest.mark.parametrize("shape", [(2, 2, 12, 13), (2, 1, 6, 7, 8)])
@pytest.mark.parametrize("kind", SHARES)
def test_every_change_changes_something_and_repeats_itself(kind, shape):
    x = torch.randn(shape, generator=gen())
    change = a.draw_change(only(kind), batch=2, channels=shape[1], generator=gen(1))
    one, two = a.changed(x, change), a.changed(x, change)
    assert torch.equal(one, two)
    assert one.shape == x.shape
    assert bool(torch.isfinite(one).all())
    assert float((one - x).abs().max()) > 1e-3


def test_noise_has_the_width_that_was_drawn():
    x = torch.zeros(1, 1, 60, 60)
    change = a.draw_change(only("noise", noise_sd=0.5), batch=1, channels=1, generator=gen(2))
    assert float(a.changed(x, change).std()) == pytest.approx(float(change.noise[0]), rel=0.05)


def test_blur_is_the_gaussian_of_the_lower_floor_and_lower_resolution_loses_detail():
    from vesalius.ops import gaussian

    x = torch.randn(1, 1, 16, 16, generator=gen())
    change = a.draw_change(only("blur", blur=(0.8, 0.8)), batch=1, channels=1, generator=gen())
    torch.testing.assert_close(a.changed(x, change), gaussian(x, (0.8, 0.8, 0.8)))
    coarse = a.draw_change(only("zoom", zoom=(0.5, 0.5)), batch=1, channels=1, generator=gen())
    assert float(a.changed(x, coarse).var()) < 0.6 * float(x.var())
    ramp = torch.linspace(0, 1, 16).repeat(1, 1, 16, 1)
    assert float((a.changed(ramp, coarse) - ramp)[..., 1:-1].abs().max()) < 1e-5


def test_gain_contrast_offset_and_gamma_are_what_they_say():
    x = torch.randn(1, 1, 10, 10, generator=gen())

    def done(name, **fields):
        return a.changed(
            x, a.draw_change(only(name, **fields), batch=1, channels=1, generator=gen())
        )

    torch.testing.assert_close(done("gain", gain=(1.2, 1.2)), 1.2 * x)
    soft = done("contrast", contrast=(0.5, 0.5))
    torch.testing.assert_close(soft, (x + x.mean()) / 2)
    wide = done("contrast", contrast=(2.0, 2.0))
    assert float(wide.max()) == float(x.max())
    bent = done("gamma", gamma=(2.0, 2.0))
    torch.testing.assert_close(bent.mean(), x.mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(bent.std(), x.std())
    assert torch.equal(bent.flatten().argsort(), x.flatten().argsort())
    torch.testing.assert_close(done("inverted"), x.min() + x.max() - x)
    shifted = done("gain", gain=(1.0, 1.0), offset=0.5) - x
    assert 0 < float(shifted.abs().max()) <= 0.5
    torch.testing.assert_close(shifted, shifted[:, :, :1, :1].expand_as(shifted))


def test_a_constant_image_stays_finite_under_gamma():
    change = a.draw_change(only("gamma"), batch=1, channels=1, generator=gen())
    x = torch.full((1, 1, 4, 4), 3.0)
    torch.testing.assert_close(a.changed(x, change), x)


def test_channels_get_gains_of_their_own():
    x = torch.ones(1, 3, 4, 4)
    change = a.draw_change(only("gain"), batch=1, channels=3, generator=gen())
    assert len(set(a.changed(x, change)[0, :, 0, 0].tolist())) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: a.Motion(rotation_deg=-1.0), "rotation_deg, shift and bend must not be negative"),
        (lambda: a.Motion(bend_step=1.0), "bend_step at least 2"),
        (lambda: a.Motion(scale=(2.0, 1.0)), "scale must be two rising positive numbers"),
        (lambda: a.Motion(share_bent=2.0), "shares must be from 0 to 1"),
        (lambda: a.Appearance(gamma=(0.0, 1.0)), "gamma must be two rising positive numbers"),
        (lambda: a.Appearance(zoom=(0.5, 2.0)), "zoom at most 1"),
        (lambda: a.Appearance(share_blur=-1.0), "share_blur must be from 0 to 1"),
        (
            lambda: a.draw_move(STILL, batch=1, size=(4,), spacing=(1.0,), generator=gen()),
            "size and spacing must have 2 or 3 numbers each",
        ),
    ],
)
def test_refuses_settings_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_refuses_blocks_that_do_not_fit():
    move = affine([[1.0, 0.0], [0.0, 1.0]])
    places = a.lattice(move, old=(4, 4), size=(4, 4))
    with pytest.raises(ShapeError, match="old and new size must have 2 numbers"):
        a.lattice(move, old=(4, 4, 4), size=(4, 4, 4))
    with pytest.raises(ShapeError, match=r"samples must have shape \(1, c, \(4, 4\)\)"):
        a.moved(torch.zeros(1, 1, 5, 4), places, sampling="linear")
    with pytest.raises(ShapeError, match="classes must be in one channel, got 2"):
        a.moved(torch.zeros(1, 2, 4, 4), places, sampling="classes")
    change = a.draw_change(only("gain"), batch=1, channels=2, generator=gen())
    with pytest.raises(ShapeError, match="to fit the changes"):
        a.changed(torch.zeros(1, 1, 4, 4), change)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize(("outside", "beyond"), [("edge", 3.0), ("zero", 0.0)])
def test_truth_says_what_lies_beyond_the_old_block(outside, beyond, share):
    target = torch.full((1, 1, 6, 6), 3.0)
    motion = a.Motion(share_rotated=share, share_scaled=0.0, share_bent=0.0)
    done = a.augment(
        torch.zeros(1, 1, 6, 6),
        a.Truth(target, torch.ones_like(target), "nearest", outside),
        size=(10, 10),
        spacing=(1.0, 1.0),
        augmentation=a.Augmentation(motion, a.NONE.appearance),
        generator=gen(),
    )
    assert float(done.targets[0, 0, 0, 0]) == beyond
    assert float(done.targets[0, 0, 5, 5]) == 3.0
