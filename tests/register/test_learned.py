"""The registrar: it learns with and without data, guesses any size, and is only improved upon."""

import json
from dataclasses import replace

import pytest
import torch

from vesalius import io
from vesalius.core import (
    Composite,
    Grid,
    Image,
    Labels,
    Linear,
    Points,
    Velocity,
    centred_grid,
    resample,
    resample_labels,
)
from vesalius.errors import (
    ConfigError,
    FormatError,
    GeometryError,
    IntensityError,
    ShapeError,
)
from vesalius.io._weights import ModelCard, load_weights, save_weights
from vesalius.learn import Schedule
from vesalius.ops._overlap import overlap
from vesalius.register import Adam, Demons, Greedy, Guides, Lbfgs, Plan, Scale, Stage, register
from vesalius.register._gaussian import Gaussian
from vesalius.register._learned import PACKAGED, _loss, _worst
from vesalius.register._learned_network import velocity
from vesalius.register._learned_shapes import draw_pair
from vesalius.register._learned_training import shapes_loss
from vesalius.register.evaluate import folding
from vesalius.register.learned import Example, Registrar, RegistrarPlan, Shapes
from vesalius.register.regularise import Diffusion
from vesalius.register.similarity import LocalNcc, MeanSquare

FLAT = RegistrarPlan(dims=2, width=8, levels=3, widest=16, scales_mm=(1.0,))
SOLID = RegistrarPlan(width=4, levels=2, widest=8, scales_mm=(4.0, 2.0))
QUICK = Schedule(20, learning_rate=2e-3, warm_up=4, average=0.5, save_every=10)
CARD = ModelCard("n", "p", "d", "t", "l", "Apache-2.0")
SHIFT = (2.0, -1.0)  # (y, x), samples
STAGE = Stage("velocity", MeanSquare(), Adam(0.1), (Scale(2.0, 5),), (Diffusion(0.05),))


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def blobs(grid, *, shift=(0.0, 0.0, 0.0), seed=1):
    """Give smooth blobs, a value and labels of the largest; moved by a shift in samples."""
    draw = generator(seed)
    z, y, x = (
        torch.arange(n).float().view([-1 if a == b else 1 for b in range(3)]) - s
        for a, (n, s) in enumerate(zip(grid.shape, shift, strict=True))
    )
    out = torch.zeros(grid.shape)
    first = None
    for k in range(6):
        c = [float(torch.rand((), generator=draw)) * 0.5 * n + 0.25 * n for n in grid.shape]
        blob = torch.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / 18)
        first = blob if first is None else first
        out = out + (0.5 + k / 6) * blob
    return Image(out[None], grid), Labels((first > 0.5)[None].to(torch.uint8), grid)


def plane_example(seed, **guides):
    grid = Grid.from_spacing((1, 32, 30))
    fixed, moving = blobs(grid, seed=seed)[0], blobs(grid, shift=(0.0, *SHIFT), seed=seed)[0]
    return Example(fixed, moving, guides=Guides(**guides))


@pytest.fixture(scope="module")
def solid():
    """Fitted a little, on made-up shapes."""
    return Registrar(SOLID, schedule=QUICK).fit(Shapes(side=16), generator=generator())


@pytest.fixture(scope="module")
def pair():
    grid = Grid.from_spacing((17, 22, 19), (2.0, 2.0, 2.0))
    return blobs(grid)[0], blobs(grid, shift=(1.0, 1.5, -1.0))[0]


def wild(registrar):
    """Give a registrar whose guesses are far off."""
    network = registrar.network_
    other = Registrar(registrar.plan)
    other.network_ = type(network)(network.plan, generator=generator(9))
    with torch.no_grad():
        other.network_.leave.bias.fill_(4.0)
    return other


def test_made_up_shapes_teach_it_without_any_data():
    plan = replace(FLAT, width=12, levels=4, widest=32)
    shapes = Shapes(side=40, structures=8, reach=1.5)
    schedule = Schedule(80, learning_rate=3e-3, warm_up=10, weight_decay=0.0, average=0.9)
    registrar = Registrar(plan, schedule=schedule)
    fresh = Registrar(plan, schedule=replace(schedule, steps=1, learning_rate=1e-12))
    assert registrar.fit(shapes, generator=generator()) is registrar
    fresh.fit(shapes, generator=generator())
    assert len(registrar.losses_) == 80
    loss = shapes_loss(shapes, plan, Diffusion(0.05))
    unseen = [(torch.tensor(10_000 + k),) for k in range(12)]
    with torch.no_grad():
        before, after = (
            sum(float(loss(r.network_, seed)) for seed in unseen) for r in (fresh, registrar)
        )
    assert after < 0.95 * before


def test_a_shift_is_learned_from_images_alone():
    schedule = Schedule(80, learning_rate=3e-3, warm_up=5, weight_decay=0.0, average=0.9)
    registrar = Registrar(
        FLAT, similarity=MeanSquare(), regulariser=Diffusion(0.01), schedule=schedule
    )
    registrar.fit(tuple(plane_example(k) for k in range(4)), generator=generator())
    assert sum(registrar.losses_[-10:]) < 0.3 * sum(registrar.losses_[:10])
    unseen = plane_example(77)
    found = registrar.predict(unseen.fixed, unseen.moving)
    seen = unseen.fixed.data[0, 0] > 0.5
    points = unseen.fixed.grid.to_world(torch.nonzero(seen).double() @ PLANE)
    moved = (found(points) - points).mean(0)
    expected = torch.tensor([SHIFT[1], SHIFT[0], 0.0], dtype=torch.float64)
    assert float((moved - expected).norm()) < 0.5 * float(expected.norm())


PLANE = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("kind", ["labels", "points"])
def test_labels_and_landmarks_teach_what_the_images_do_not_show(kind):
    """Both images are the same: only the guides say that something moves."""
    grid = Grid.from_spacing((1, 32, 30))
    (image, labels), (_, moved) = blobs(grid), blobs(grid, shift=(0.0, *SHIFT))
    points = torch.tensor([[12.0, 14.0, 0.0], [18.0, 15.0, 0.0]], dtype=torch.float64)
    by = torch.tensor([SHIFT[1], SHIFT[0], 0.0], dtype=torch.float64)
    guides = {
        "labels": Guides(fixed_labels=labels, moving_labels=moved),
        "points": Guides(fixed_points=Points(points), moving_points=Points(points + by)),
    }[kind]
    schedule = Schedule(60, learning_rate=3e-3, warm_up=5, weight_decay=0.0, average=0.9)
    registrar = Registrar(
        FLAT, similarity=MeanSquare(), regulariser=Diffusion(0.001), schedule=schedule
    )
    registrar.fit((Example(image, image, guides=guides),), generator=generator())
    assert registrar.losses_[-1] < 0.7 * registrar.losses_[0]
    found = registrar.predict(image, image)
    where = torch.nonzero(labels.data[0, 0]).double() @ PLANE if kind == "labels" else None
    at = points if where is None else grid.to_world(where)
    assert float(((found(at) - at) @ by).mean()) > 0.2 * float(by @ by)


def test_a_stopped_training_goes_on_to_the_same_weights():
    whole = Registrar(SOLID, schedule=QUICK).fit(Shapes(side=12), generator=generator(5))
    states = []
    Registrar(SOLID, schedule=QUICK).fit(
        Shapes(side=12), generator=generator(5), save=states.append
    )
    assert [int(s["step"]) for s in states] == [10, 20]
    again = Registrar(SOLID, schedule=QUICK)
    again.fit(Shapes(side=12), generator=generator(5), resume=states[0])
    assert again.losses_ == whole.losses_[10:]
    for name, value in whole.network_.state_dict().items():
        assert torch.equal(value, again.network_.state_dict()[name]), name
    assert int(again.state_["step"]) == 20


def test_training_tells_of_its_steps():
    told = []
    schedule = replace(QUICK, steps=3)
    Registrar(SOLID, schedule=schedule).fit(
        Shapes(side=12), generator=generator(), on_step=told.append
    )
    assert [(s.done, s.total) for s in told] == [(1, 3), (2, 3), (3, 3)]


def test_the_constructor_stores_its_arguments_untouched():
    similarity, regulariser = LocalNcc(3), Diffusion(0.2)
    registrar = Registrar(FLAT, similarity=similarity, regulariser=regulariser, schedule=QUICK)
    stored = registrar.plan, registrar.similarity, registrar.regulariser, registrar.schedule
    assert all(a is b for a, b in zip(stored, (FLAT, similarity, regulariser, QUICK), strict=True))
    assert not hasattr(registrar, "network_")


@pytest.mark.parametrize("size", [(17, 22, 19), (8, 9, 30), (5, 5, 5), (2, 31, 6)], ids=str)
def test_any_size_and_spacing_will_do(solid, size):
    grid = Grid.from_spacing(size, (2.5, 1.7, 3.1), origin_mm=(4.0, -3.0, 11.0))
    found = solid.predict(blobs(grid)[0], blobs(grid, shift=(0.5, 1.0, 0.0))[0])
    assert isinstance(found, Composite)
    velocities = [t for t in found.parts if isinstance(t, Velocity)]
    assert len(velocities) == 2
    assert all(bool(torch.isfinite(v.data).all()) for v in velocities)


def test_the_last_scale_acts_first_and_each_is_on_its_own_lattice(solid, pair):
    found = solid.predict(*pair, init=Linear.identity())
    spacings = [t.grid.spacing_mm[0] for t in found.parts if isinstance(t, Velocity)]
    assert spacings == [4.0, 2.0]


def test_gain_offset_and_number_type_of_the_images_do_not_matter(solid, pair):
    fixed, moving = (i.map(lambda x: (1000 * x).round()) for i in pair)
    one = solid.predict(fixed, moving)
    other = solid.predict(
        fixed.map(lambda x: (3 * x + 40).to(torch.int32)), moving.map(lambda x: x.double() - 5)
    )
    points = torch.tensor([[10.0, 20.0, 15.0], [30.0, 3.0, 8.0]])
    torch.testing.assert_close(one(points), other(points), rtol=1e-4, atol=1e-3)


def test_a_guess_has_an_inverse(solid, pair):
    found = solid.predict(*pair)
    points = torch.tensor([[12.0, 20.0, 15.0], [20.0, 18.0, 12.0]])
    torch.testing.assert_close(found.inverse()(found(points)), points, rtol=0, atol=0.05)


def test_the_guess_comes_before_the_start(solid, pair):
    """The network sees the moving image through the start, so moving its header changes nothing."""
    fixed, moving = pair
    move = Linear.rigid((3.0, -5.0, 8.0), (4.0, 2.0, -6.0), centre_mm=(0.0, 0.0, 0.0))
    away = Image(moving.data, Grid(moving.grid.shape, move.matrix @ moving.grid.affine))
    here, there = solid.predict(fixed, moving), solid.predict(fixed, away, init=move)
    points = torch.tensor([[12.0, 20.0, 15.0], [20.0, 18.0, 12.0]]).double()
    torch.testing.assert_close(there(points), move(here(points)), rtol=0, atol=0.02)


@pytest.mark.parametrize("model", ["displacement", "velocity", "symmetric"])
def test_a_guess_serves_as_the_start_of_a_variational_search(solid, pair, model):
    stage = Stage(model, MeanSquare(), Lbfgs(), (Scale(4.0, 3), Scale(2.0, 3)), (Diffusion(0.02),))
    guess = solid.predict(*pair)
    found = register(*pair, plan=Plan((stage,)), init=guess)
    assert found.start is guess
    floats = tuple(i.map(lambda x: x.float()) for i in pair)
    assert _loss(floats, found.transform, stage) < 0.9 * _loss(floats, guess, stage)


STAGES = {
    "gentle": STAGE,
    "thrown about": replace(STAGE, optimiser=Adam(5.0), regularisers=()),
    "rough": Stage(
        "displacement", LocalNcc(1), Greedy(Gaussian(0.5), None, step=3.0), (Scale(8.0, 3),)
    ),
    "demons": Stage("displacement", MeanSquare(), Demons(step=4.0), (Scale(2.0, 3),)),
}


@pytest.mark.parametrize("guess", ["fitted", "wild"])
@pytest.mark.parametrize("name", STAGES)
def test_instance_optimisation_never_worsens_the_similarity(solid, pair, name, guess):
    registrar, stage = solid if guess == "fitted" else wild(solid), STAGES[name]
    start = Linear.identity()
    found = registrar.register(*pair, init=start, refine=stage)
    first, guessed, last = (
        _worst(pair, t, stage)
        for t in (start, registrar.predict(*pair, init=start), found.transform)
    )
    assert last <= min(first, guessed)
    assert found.seconds > 0


def test_what_was_worse_is_left_out_and_said(solid, pair):
    found = wild(solid).register(*pair, init=Linear.identity(), refine=STAGE)
    assert found.remarks == ("the network's guess was worse than the start and was left out",)
    assert isinstance(found.start, Linear)


def test_a_saved_registrar_comes_back(solid, pair, tmp_path):
    solid.save(tmp_path / "r.safetensors", CARD)
    again = Registrar.load(tmp_path / "r.safetensors")
    assert again.plan == SOLID
    assert again.card_.licence == "Apache-2.0"
    points = torch.tensor([[12.0, 20.0, 15.0]])
    one, other = again.predict(*pair)(points), solid.predict(*pair)(points)
    torch.testing.assert_close(one, other, rtol=0, atol=0.02)  # mm; halves are written


def test_weights_of_another_network_are_refused(solid, tmp_path):
    solid.save(tmp_path / "r.safetensors", CARD)
    found = load_weights(tmp_path / "r.safetensors")
    plan = {**found.card.plan, "width": 6}
    save_weights(tmp_path / "w.safetensors", found.tensors, replace(found.card, plan=plan))
    with pytest.raises(FormatError, match="load it with its own plan"):
        Registrar.load(tmp_path / "w.safetensors")
    save_weights(tmp_path / "x.safetensors", found.tensors, replace(found.card, plan={"dims": 3}))
    with pytest.raises(ConfigError, match="must hold the fields of RegistrarPlan"):
        Registrar.load(tmp_path / "x.safetensors")
    assert json.loads((tmp_path / "r.json").read_text())["plan"]["scales_mm"] == [4.0, 2.0]


def test_refuses_work_before_it_is_fitted(pair, tmp_path):
    for call in (
        lambda r: r.predict(*pair),
        lambda r: r.register(*pair),
        lambda r: r.save(tmp_path / "r.safetensors", CARD),
    ):
        with pytest.raises(ConfigError, match="must be fitted before use"):
            call(Registrar(SOLID))


def test_refuses_other_dimensions_and_channels(solid, pair):
    flat = plane_example(1)
    with pytest.raises(ShapeError, match="3 dimensions and 1 channels, got 2 and 1"):
        solid.predict(flat.fixed, flat.moving)
    two = [i.map(lambda x: torch.cat([x, x])) for i in pair]
    with pytest.raises(ShapeError, match="got 3 and 2: train one with another plan"):
        solid.predict(*two)
    with pytest.raises(ShapeError, match="got 3 and 1: train one"):
        Registrar(FLAT, schedule=QUICK).fit((Example(*pair),), generator=generator())


def test_refuses_images_that_register_refuses(solid, pair):
    fixed, moving = pair
    with pytest.raises(IntensityError, match="must be finite"):
        solid.predict(fixed, moving.map(lambda x: x / 0))
    with pytest.raises(IntensityError, match="is constant"):
        solid.predict(fixed.map(torch.ones_like), moving)
    far = Image(moving.data, Grid.from_spacing(moving.grid.shape, origin_mm=(900.0, 0.0, 0.0)))
    with pytest.raises(GeometryError, match="overlap"):
        solid.predict(fixed, far)


def test_refuses_to_learn_from_nothing():
    with pytest.raises(ConfigError, match="at least one pair, got none: or give Shapes"):
        Registrar(SOLID).fit((), generator=generator())


def test_refuses_a_state_of_another_network(solid):
    other = Registrar(replace(SOLID, width=6), schedule=QUICK)
    with pytest.raises(ConfigError, match="resume with the same model"):
        other.fit(Shapes(side=12), generator=generator(), resume=solid.state_)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dims": 1}, "dims must be 2 or 3 and channels at least 1, got 1 and 1"),
        ({"channels": 0}, "channels at least 1, got 3 and 0"),
        ({"scales_mm": ()}, "one or more spacings"),
        ({"scales_mm": (2.0, 4.0)}, "coarse to fine, got"),
        ({"scales_mm": (4.0, -1.0)}, "of 0 or more"),
        ({"scales_mm": (float("inf"), 4.0)}, "of 0 or more"),
        ({"width": 0}, "must be at least 1"),
    ],
)
def test_refuses_impossible_plans(changes, match):
    with pytest.raises(ConfigError, match=match):
        Registrar(replace(RegistrarPlan(), **changes)).plan.network  # noqa: B018


def test_an_example_that_starts_affine_is_seen_through_its_start(pair):
    """A training pair whose start is right has nothing to learn: its first loss is near 0."""
    fixed, _ = pair
    shift = Linear.translation((6.0, 4.0, -2.0))
    moving = resample(fixed, fixed.grid.crop((-6, -6, -6), (29, 34, 31)), transform=shift.inverse())
    schedule = replace(QUICK, steps=1)
    losses = []
    for start in (Linear.identity(), shift):
        registrar = Registrar(SOLID, similarity=MeanSquare(), schedule=schedule)
        registrar.fit((Example(fixed, moving, start),), generator=generator())
        losses.append(registrar.losses_[0])
    assert losses[1] < 0.2 * losses[0]


@pytest.fixture(scope="module")
def packaged():
    return Registrar.pretrained()


def test_the_packaged_weights_explain_velocities_they_never_saw(packaged):
    shapes = Shapes()
    missed, moved = 0.0, 0.0
    for seed in range(90_000, 90_004):
        drawn = draw_pair(shapes, dims=3, channels=1, generator=generator(seed))
        with torch.no_grad():
            found = velocity(packaged.network_, drawn.fixed, drawn.moving, dims=3)
        missed += float((found - drawn.velocity).square().mean())
        moved += float(drawn.velocity.square().mean())
    assert missed < 0.85 * moved


def test_the_packaged_weights_bring_two_real_brains_nearer(packaged, data_dir):
    """No brain was in the training; both headers already agree up to a shift."""
    images, labels = [], []
    for letter in "AB":
        base = data_dir / "registration" / "brain3d_fs"
        image = io.open(base / f"subj{letter}_t1.nii.gz").read().map(lambda x: x.float())
        grid = centred_grid(image.grid, (4.0, 4.0, 4.0))
        images.append(resample(image, grid))
        labels.append(resample_labels(io.open_labels(base / f"subj{letter}_seg.nii.gz"), grid))
    start = Linear.identity()
    found = packaged.predict(*images, init=start)
    values = tuple(v for v in torch.unique(labels[0].data).tolist() if v)
    before, after = (
        float(
            overlap(
                labels[0].data[0].long(),
                resample_labels(labels[1], labels[0].grid, transform=t).data[0].long(),
                values,
            ).dice.nanmean()
        )
        for t in (start, found)
    )
    assert after > before + 0.015
    assert folding(found, images[0].grid).folded_percent == 0.0


def test_the_packaged_weights_are_small_and_say_what_they_are(packaged):
    assert PACKAGED.stat().st_size < 1_000_000
    assert packaged.card_.licence == "Apache-2.0"
    assert "No real image" in packaged.card_.data
    assert packaged.plan == RegistrarPlan()
