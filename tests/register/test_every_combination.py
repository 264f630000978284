"""Contract: model x similarity x optimiser x regulariser fits better, or is refused with reason.

The classes are found by themselves: a new one joins, by its defaults or by an entry of ``MADE``.
"""

import itertools
import typing

import pytest
import torch

from vesalius.core import Grid, Image, Labels, Linear, Velocity
from vesalius.errors import ConfigError
from vesalius.ops._warp import warp
from vesalius.register import Basis, Plan, Scale, Stage, register
from vesalius.register import fields as _fields
from vesalius.register._level import make_level
from vesalius.register._local import LocalRegulariser
from vesalius.register._plan import Adam, Demons, DenseModel, Greedy, Lbfgs, LinearModel, Optimiser
from vesalius.register.atlas import DeformationModel, PrincipalBasis
from vesalius.register.regularise import (
    Bending,
    CurvatureSolver,
    Gaussian,
    InverseConsistency,
    Regulariser,
    Rigidity,
    Smoother,
    Varying,
    VolumePreserving,
)
from vesalius.register.similarity import (
    FeatureCosine,
    Features,
    LocalNcc,
    MeanSquare,
    Mind,
    Similarity,
)

N = 12
GRID = Grid.from_spacing((N, N, N), (2.0, 1.5, 1.5))
HERE = Linear.identity()


def _object(z0, y0, x0):
    """Two unequal spots that fade before the border."""
    z, y, x = torch.meshgrid(*[torch.arange(float(N)) - (N - 1) / 2] * 3, indexing="ij")
    z, y, x = z - z0, y - y0, x - x0
    large = torch.exp(-(z**2 / 5 + y**2 / 4 + x**2 / 7))
    small = torch.exp(-((z + 2) ** 2 + (y - 2) ** 2 + (x - 1) ** 2) / 3)
    return Image((large + 0.5 * small)[None], GRID)


FIXED, MOVING = _object(0, 0, 0), _object(0.9, -1.1, 1.2)
EVERYWHERE = Image(torch.ones(1, N, N, N), GRID)
SLABS = torch.meshgrid(*[torch.arange(N) // 4] * 3, indexing="ij")
PIECES = Labels((1 + 16 * SLABS[0] + 4 * SLABS[1] + SLABS[2])[None], GRID)
LITTLE = 1e-5


def _modes():
    """A model of shifts along each axis, which are what the two images differ by."""
    data = torch.eye(3)[:, :, None, None, None].expand(3, 3, *GRID.shape)
    signs = [one * sign for one in data for sign in (1.0, -1.0)]
    return DeformationModel(3).fit([Velocity(d.contiguous(), GRID) for d in signs])


# what cannot be made by its defaults, or is too slow or too coarse for so small an image
MADE = {
    "FeatureCosine": FeatureCosine(Features(lambda i: torch.cat([i, i**2, 1 - i]), "powers")),
    "Mind": Mind(1, 1),
    "FreeForm": _fields.FreeForm(8.0),
    "CosineBasis": _fields.CosineBasis(16.0),
    "LaplacianBasis": _fields.LaplacianBasis(PIECES, count=8, sigma_mm=2.0),
    "TimeForm": _fields.TimeForm(8.0, spans=2),
    "PrincipalBasis": PrincipalBasis(_modes()),
    "InverseConsistency": InverseConsistency(HERE, LITTLE),
    "Rigidity": Rigidity(EVERYWHERE, LITTLE),
    "Varying": Varying(Bending(LITTLE), EVERYWHERE),
    "VolumePreserving": VolumePreserving(EVERYWHERE, LITTLE),
    "Greedy": Greedy(Gaussian(sigma=1.5), Gaussian(sigma=0.5)),
    "Adam": Adam(0.25),
    "Gaussian": Gaussian(sigma=1.0),
}


def kinds(base):
    """Give every published class under an abstract one."""
    for kind in base.__subclasses__():
        if not getattr(kind, "__abstractmethods__", ()) and kind.__module__.startswith("vesalius"):
            yield kind
        yield from kinds(kind)


def made(base):
    """Make one of each, by name so that the order is always the same."""
    found = sorted({k.__name__: k for k in kinds(base)}.items())
    return [MADE.get(name) or kind() for name, kind in found]


SIMILARITIES = [*made(Similarity), LocalNcc(2, "gaussian")]
REGULARISERS = [
    r if type(r).__name__ in MADE else type(r)(weight=LITTLE) for r in made(Regulariser)
]
SMOOTHERS = [*made(Smoother), CurvatureSolver(equation="static")]
LINEAR = typing.get_args(LinearModel)
MODELS = [*LINEAR, *typing.get_args(DenseModel), *made(Basis)]
OPTIMISERS = [MADE.get(kind.__name__) or kind() for kind in typing.get_args(Optimiser)]


@pytest.fixture(autouse=True)
def _one_thread():
    """So small an image has no work for two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


LEVEL = make_level(FIXED, MOVING, 0.0, start=HERE)


def loss_of(similarity, transform):
    """Compare both images through a transform, all samples alike."""
    fixed, moving = (similarity.features(i, GRID.spacing_mm) for i in (LEVEL.fixed, LEVEL.moving))
    flow = transform.to_field(GRID).flow().float()
    return float(similarity(fixed, warp(moving, flow, offset=LEVEL.margin)))


def named(part):
    return part if isinstance(part, str) else type(part).__name__


def outcome(model, similarity, optimiser, regularisers, *, steps=3):
    """Run one combination; give what is wrong with it, or that it was refused."""
    try:
        stage = Stage(model, similarity, optimiser, (Scale(0, steps),), regularisers)
        found = register(FIXED, MOVING, plan=Plan((stage,)))
    except ConfigError as error:
        return f"refused: {error}"
    before, after = loss_of(similarity, HERE), loss_of(similarity, found.transform)
    return "" if after < before else f"from {before} to {after}"


def takes(model, similarity, optimiser):
    """Say whether a combination is promised to work; see ``Stage``."""
    name = named(optimiser)
    if named(model) in LINEAR:
        return name not in ("Greedy", "Demons")
    if isinstance(model, Basis):
        return name in ("Lbfgs", "Adam")
    if name == "Demons":
        return model != "symmetric" and named(similarity) == "MeanSquare"
    return name != "GaussNewton"


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_a_combination_fits_better_or_is_refused(model):
    """Each similarity by each optimiser, regularisers in turn: pairs of all of them are met."""
    rank = [named(m) for m in MODELS].index(named(model))
    turn = itertools.cycle(REGULARISERS[rank:] + REGULARISERS[:rank])
    for similarity, optimiser in itertools.product(SIMILARITIES, OPTIMISERS):
        promised = takes(model, similarity, optimiser)
        if not promised and similarity is not SIMILARITIES[0]:
            continue  # one refusal of each optimiser is enough
        heard = isinstance(optimiser, Lbfgs | Adam) and named(model) not in LINEAR
        held = (next(turn),) if heard else ()
        told = outcome(model, similarity, optimiser, held)
        what = named(similarity), named(optimiser), [named(r) for r in held], told
        if promised:
            assert told == "", what
        else:
            assert told.startswith("refused: "), what


@pytest.mark.parametrize("regulariser", REGULARISERS, ids=named)
def test_a_regulariser_is_heard_or_refused(regulariser):
    fields = []
    for held in ((), (regulariser,) * 3):
        stage = Stage("displacement", MeanSquare(), Adam(0.4), (Scale(0, 4),), held)
        found = register(FIXED, MOVING, plan=Plan((stage,))).transform
        fields.append(found.to_field(GRID).data)
    assert not torch.equal(*fields)
    for optimiser in OPTIMISERS:
        if not isinstance(optimiser, Lbfgs | Adam):
            told = outcome("displacement", SIMILARITIES[0], optimiser, (regulariser,))
            assert told.startswith("refused: regularisers need optimiser Lbfgs or Adam")


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=named)
def test_a_smoother_serves_updates(smoother):
    for model in ("displacement", "symmetric"):
        assert outcome(model, LocalNcc(2), Greedy(smoother), (), steps=3) == "", model
    assert outcome("displacement", MeanSquare(), Demons(update=smoother), (), steps=3) == ""


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=named)
def test_a_smoother_of_the_whole_field_keeps_what_is_slow(smoother):
    """A solver answers a force: again and again on a field it would blow it up, or end it."""
    z = torch.arange(float(N))
    slow = torch.cos(torch.pi * (z + 0.5) / N)[:, None, None].expand(3, N, N, N).contiguous()
    slow[0] = 0
    kept = float((smoother(slow, GRID) * slow).sum() / (slow * slow).sum())
    assert (0.7 < kept < 1.001) == smoother.keeps
    for optimiser in (lambda: Greedy(Gaussian(), total=smoother), lambda: Demons(total=smoother)):
        if smoother.keeps:
            assert optimiser().total is smoother
        else:
            with pytest.raises(ConfigError, match="total must keep slow fields as they are"):
                optimiser()


def test_the_classes_were_found():
    assert len(SIMILARITIES) >= 10
    assert len(REGULARISERS) >= 11
    assert len(SMOOTHERS) >= 6
    assert len(MODELS) >= 11
    assert all(isinstance(r, Regulariser) for r in REGULARISERS)
    assert LocalRegulariser not in {type(r) for r in REGULARISERS}
