"""Demons end to end: recovers a known shift, all forces and models, other channels, masks, 2-D."""

import pytest
import torch
from register_fields import FIXED, GRID, MOVING, error_mm, levels_of, plane_pair

from vesalius.core import Displacement, Image, Linear, Velocity
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.ops._stencils import corner_slopes, determinant
from vesalius.register import _demons
from vesalius.register._gaussian import Gaussian
from vesalius.register._level import Masks
from vesalius.register._mse import MeanSquare
from vesalius.register._ncc import Ncc
from vesalius.register._plan import Adam, Demons, Scale, Stage
from vesalius.register._watch import Watch

SCALES = (Scale(4.0, 30), Scale(2.0, 20))


def stage(optimiser=Demons(total=Gaussian(sigma=1.0)), **changes) -> Stage:  # noqa: B008
    given = {"model": "displacement", "similarity": MeanSquare(), "scales": SCALES}
    return Stage(**{**given, "optimiser": optimiser, **changes})


@pytest.mark.parametrize("model", ["displacement", "velocity"])
@pytest.mark.parametrize("force", ["thirion", "warped", "symmetric"])
def test_a_known_deformation_is_recovered(force, model):
    optimiser = Demons(force, total=Gaussian(sigma=1.0))
    watch = Watch()
    found = _demons.solve(levels_of(SCALES), stage(optimiser, model=model), watch)
    assert isinstance(found, Velocity if model == "velocity" else Displacement)
    assert error_mm(found) < 0.5 * error_mm(Linear.identity())
    losses = [e.loss for e in watch.entries if e.spacing_mm == 2.0]
    assert losses[-1] < 0.5 * losses[0]


def test_composed_updates_do_not_fold_where_added_ones_do():
    """Far from gentle: strong forces, hardly smoothed."""
    folds = []
    for diffeomorphic in (True, False):
        optimiser = Demons("warped", Gaussian(sigma=1.0), step=4.0, diffeomorphic=diffeomorphic)
        plan = stage(optimiser, scales=(Scale(2.0, 25),))
        found = _demons.solve(plane_pair(plan.scales, noise=0.3), plan, Watch())
        corners = torch.stack([determinant(s) for s in corner_slopes(found.flow(), (1, 1, 1))])
        folds.append(float((corners.amin(dim=0) <= 0).float().mean()))
    assert folds[0] < 0.2 * folds[1]


def test_a_slice_is_registered_within_its_plane():
    levels = plane_pair(SCALES)
    found = _demons.solve(levels, stage(), Watch())
    flow = found.flow()
    assert not flow[0].any()
    assert float(flow[1:].abs().max()) > 0.5


def test_a_channel_of_weight_zero_has_no_say(generator):
    noise = torch.rand(FIXED.data.shape, generator=generator)
    fixed = Image(torch.cat([FIXED.data, noise]), FIXED.grid)
    moving = Image(torch.cat([MOVING.data, noise.flip(-1)]), MOVING.grid)
    scales = (Scale(4.0, 5),)
    two = levels_of(scales, fixed=fixed, moving=moving, channel_weights=(1.0, 0.0))
    plan = stage(scales=scales)
    found = _demons.solve(two, plan, Watch()).flow()
    alone = _demons.solve(levels_of(scales), plan, Watch()).flow()
    torch.testing.assert_close(found, alone, atol=1e-4, rtol=1e-3)


def test_the_same_image_stays_where_it_is():
    found = _demons.solve(levels_of(SCALES, moving=FIXED), stage(), Watch())
    assert float(found.flow().abs().max()) < 1e-3


def test_it_stops_when_it_has_come_to_rest():
    watch = Watch()
    plan = stage(scales=(Scale(4.0, 500),), tol=1e-3)
    _demons.solve(levels_of(plan.scales), plan, watch)
    assert len(watch.entries) < 300


def test_what_demons_cannot_do_is_refused_by_name():
    levels = levels_of(SCALES[:1])
    with pytest.raises(ConfigError, match="demons need optimiser Demons, got Adam"):
        _demons.solve(levels, stage(Adam()), Watch())
    with pytest.raises(ConfigError, match="demons search the models 'displacement'"):
        _demons.solve(levels, stage(model="symmetric"), Watch())
    with pytest.raises(ConfigError, match=r"demons compare by mean square \(MeanSquare\), got Ncc"):
        _demons.solve(levels, stage(similarity=Ncc()), Watch())
    with pytest.raises(ConfigError, match="step of demons must be a positive number of samples"):
        _demons.solve(levels, stage(Demons(step=0.0)), Watch())


def test_nan_in_an_image_is_found_at_the_first_step():
    bad = Image(torch.full_like(MOVING.data, float("nan")), MOVING.grid)
    with pytest.raises(ConvergenceError, match="the force of demons must be finite"):
        _demons.solve(levels_of(SCALES[:1], moving=bad), stage(), Watch())


def test_a_scanner_with_another_gain_needs_matched_values():
    moving = MOVING.map(lambda x: 40 * (x + 4) ** 1.3 + 7)
    errors = []
    for match in (False, True):
        plan = stage(Demons(total=Gaussian(sigma=1.0), match=match))
        found = _demons.solve(levels_of(SCALES, moving=moving), plan, Watch())
        errors.append(error_mm(found))
    assert errors[1] < 0.55 * error_mm(Linear.identity()) < errors[0]


def test_values_are_matched_by_what_the_masks_let_count():
    """A bright implant behind the mask does not decide how tissue is matched."""
    data = MOVING.data * 3 + 2
    loud = data.clone()
    loud[..., 15:] = 200.0
    inside = (torch.arange(GRID.shape[2]) < 13).float().expand(1, *GRID.shape).contiguous()
    masks = Masks(Image(inside, GRID), Image(inside, GRID))
    plan = stage(Demons(total=Gaussian(sigma=1.0), match=True))
    found = [
        _demons.solve(levels_of(SCALES, moving=Image(d, GRID), masks=masks), plan, Watch())
        for d in (data, loud)
    ]
    flows = [f.to_field(GRID).flow()[:, 2:-2, 2:-2, 2:8] for f in found]
    assert float(flows[0].norm(dim=0).mean()) > 0.3
    assert float((flows[1] - flows[0]).norm(dim=0).mean()) < 0.1
