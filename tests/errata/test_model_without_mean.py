"""Erratum 16: a principal component model is mean + sum a_i phi_i; the sum alone misses."""

import torch

from register.landmark_cases import smooth_velocity
from vesalius.core import Grid, Velocity
from vesalius.register.atlas import DeformationModel

GRID = Grid.from_spacing((8, 9, 10), (2.0, 2.0, 2.0))


def test_without_the_mean_no_coefficients_give_a_member_back():
    common, *own = (smooth_velocity(GRID, seed=s).data for s in range(4))
    members = [Velocity(common + 0.3 * part, GRID) for part in own]
    model = DeformationModel().fit(members)
    flat = model.modes_.reshape(len(model.modes_), -1).T
    for member in members:
        right = model.velocity(model.project(member)).data
        torch.testing.assert_close(right, member.data, rtol=0, atol=1e-9)
        wanted = member.data.reshape(-1, 1)
        best = flat @ torch.linalg.lstsq(flat, wanted).solution
        assert float((best - wanted).norm()) > 0.1 * float(wanted.norm())


def test_the_inverse_of_a_displacement_is_not_its_opposite_but_that_of_a_velocity_is():
    velocity = smooth_velocity(GRID, seed=1, size_mm=4.0)
    at = GRID.to_world(torch.tensor([[3.0, 4.0, 5.0], [4.0, 3.0, 6.0], [3.5, 5.0, 4.0]]).double())
    forward = velocity.displacement()
    by_velocity = Velocity(-velocity.data, GRID)(forward(at)) - at
    opposite = type(forward)(-forward.data, GRID)
    by_displacement = opposite(forward(at)) - at
    assert float(by_velocity.norm(dim=1).max()) < 0.2 * float(by_displacement.norm(dim=1).max())
