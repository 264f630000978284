"""Erratum 12: the flow of a cell is the unit gradient of heat, not the displacement to its centre.

On a bent cell the straight way to the centre leaves the cell; the way of the heat does not.
"""

import torch

from vesalius.ops._follow import follow
from vesalius.ops._heat_flow import heat_flow


def horseshoe():
    y, x = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(33.0) - 16, indexing="ij")
    radius = (y * y + x * x).sqrt()
    return ((radius > 8) & (radius < 14) & (y < 3)).int()[None]


def test_the_way_of_the_heat_stays_in_a_bent_cell_and_the_straight_way_does_not():
    cell = horseshoe()
    flow = heat_flow(cell)
    where = (cell[0] > 0).nonzero()
    tip = int(where[:, 0].argmax())  # the end of one arm
    place = where[tip].float()
    for _ in range(60):
        z = torch.zeros(1).long()
        step = flow[1:, z, int(place[0].round()), int(place[1].round())][:, 0]
        place = place + 0.5 * step
        assert int(cell[0, int(place[0].round()), int(place[1].round())]) == 1
    centre = follow(flow, cell > 0)[:, 1:].median(dim=0).values
    straight = [where[tip] + t * (centre - where[tip]) for t in torch.linspace(0, 1, 20)]
    left = [int(cell[0, int(y.round()), int(x.round())]) == 0 for y, x in straight]
    assert any(left)


def test_its_length_says_nothing_about_how_far_the_centre_is():
    cell = horseshoe()
    length = heat_flow(cell).norm(dim=0)[cell > 0]
    assert float(length.median()) == 1.0 or abs(float(length.median()) - 1) < 1e-6
    assert float((length - 1).abs().gt(1e-5).float().mean()) < 0.02
