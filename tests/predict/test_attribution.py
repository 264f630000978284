"""Attribution: a network that looks at one corner is seen to."""

import sys

import pytest
import torch
from torch import nn

from vesalius.errors import ConfigError, ExtraError, ShapeError
from vesalius.predict.explain import attribution


class Corner(nn.Module):
    """Filters, and adds up one corner."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Conv2d(1, 2, 3, padding=1)
        self.weight = nn.Parameter(torch.ones(2, 3, 3))

    def forward(self, x):
        return (nn.functional.softplus(self.filter(x))[:, :, :3, :3] * self.weight).sum(
            dim=(1, 2, 3)
        )


def same(y):
    """Take the output as the score."""
    return y


@pytest.fixture(scope="module")
def corner():
    torch.manual_seed(0)
    return Corner().eval()


@pytest.fixture(scope="module")
def found(corner):
    x = torch.rand(1, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    return x, attribution(corner, x, score=same, generator=torch.Generator().manual_seed(0))


def test_looks_at_the_corner_alone(found):
    _, one = found
    inside = one.values[..., :4, :4].abs().sum()
    assert float(inside) == pytest.approx(float(one.values.abs().sum()))
    assert float(inside) > 0


def test_sums_to_the_score_less_that_of_the_baseline(corner, found):
    x, one = found
    with torch.no_grad():
        wanted = float(corner(x) - corner(torch.zeros_like(x)))
    assert float(one.values.sum()) == pytest.approx(wanted, abs=0.05 * abs(wanted))
    assert one.gap < 0.05 * abs(wanted)


def test_deletion_ends_where_insertion_begins(corner, found):
    x, one = found
    with torch.no_grad():
        full, empty = float(corner(x)), float(corner(torch.zeros_like(x)))
    assert one.deletion[0] == pytest.approx(full)
    assert one.deletion[-1] == pytest.approx(empty)
    assert one.insertion[0] == pytest.approx(empty)
    assert one.insertion[-1] == pytest.approx(full)
    # a fifth of the samples holds the corner
    assert one.deletion[2] == pytest.approx(empty, abs=1e-5)
    assert one.insertion[2] == pytest.approx(full, abs=1e-5)


def test_leaves_the_network_as_it_is(corner, found):
    before = {name: one.clone() for name, one in corner.state_dict().items()}
    attribution(corner, found[0], score=same, generator=torch.Generator().manual_seed(0))
    for name, one in corner.state_dict().items():
        assert torch.equal(one, before[name])
    assert -1 <= found[1].likeness <= 1


def test_refuses_one_step(corner):
    with pytest.raises(ConfigError, match="at least two steps, got 1"):
        attribution(
            corner, torch.rand(1, 1, 9, 9), score=same, generator=torch.Generator(), steps=1
        )


def test_refuses_a_score_of_many_numbers(corner):
    with pytest.raises(ShapeError, match=r"one number for each input, \(1,\), got \(1, 1\)"):
        attribution(
            corner,
            torch.rand(1, 1, 9, 9),
            score=lambda y: y[:, None],
            generator=torch.Generator(),
        )


def test_names_the_extra_where_captum_is_absent(corner, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ExtraError, match=r"vesalius\[explain\]"):
        attribution(corner, torch.rand(1, 1, 9, 9), score=same, generator=torch.Generator())
