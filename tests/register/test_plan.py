"""A plan refuses what no search could follow, before any search begins."""

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError
from vesalius.register import Adam, Demons, GaussNewton, Greedy, Lbfgs, Plan, Scale, Stage, register
from vesalius.register.fields import FreeForm
from vesalius.register.regularise import Bending, Diffusion, Sobolev
from vesalius.register.similarity import MeanSquare

SCALES = (Scale(0, 3),)


@pytest.mark.parametrize("given", [(-1.0, 3), (float("nan"), 3), (float("inf"), 3), (2.0, -1)])
def test_a_scale_must_have_a_spacing_and_steps(given):
    with pytest.raises(ConfigError, match="spacing_mm and steps of a scale must be 0 or more"):
        Scale(*given)


@pytest.mark.parametrize("value", [0.0, -0.5, float("nan"), float("inf")])
def test_a_step_that_leads_nowhere_or_uphill_is_refused(value):
    with pytest.raises(ConfigError, match="damping of GaussNewton must be positive and finite"):
        GaussNewton(damping=value)
    with pytest.raises(ConfigError, match="rate of Adam must be positive and finite"):
        Adam(value)
    with pytest.raises(ConfigError, match="step of Greedy, samples, must be positive and finite"):
        Greedy(Sobolev(), step=value)


def test_counts_must_not_be_negative():
    with pytest.raises(ConfigError, match="memory of Lbfgs must be positive and finite, got 0"):
        Lbfgs(0)
    with pytest.raises(ConfigError, match=r"samples must be 0 \(all\) or more, got -1"):
        GaussNewton(samples=-1)


def test_a_stage_needs_a_scale_and_a_tolerance():
    with pytest.raises(ConfigError, match="scales of a stage must be at least one, got none"):
        Stage("rigid", MeanSquare(), Lbfgs(), ())
    for tol in (-1e-5, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="tol must be 0 or more, got"):
            Stage("rigid", MeanSquare(), Lbfgs(), SCALES, tol=tol)


@pytest.mark.parametrize("model", ["translation", "rigid", "similarity", "affine"])
def test_a_linear_model_cannot_be_held_back(model):
    with pytest.raises(ConfigError, match=rf"regularisers hold deformable .* \({model}\)"):
        Stage(model, MeanSquare(), Lbfgs(), SCALES, (Bending(),))


@pytest.mark.parametrize("optimiser", [GaussNewton(), Greedy(Sobolev()), Demons()])
def test_regularisers_that_an_optimiser_would_not_hear_are_refused(optimiser):
    name = type(optimiser).__name__
    with pytest.raises(ConfigError, match=f"need optimiser Lbfgs or Adam, got {name}: it would"):
        Stage("displacement", MeanSquare(), optimiser, SCALES, (Diffusion(),))


@pytest.mark.parametrize("optimiser", [Lbfgs(), Adam()])
@pytest.mark.parametrize("model", ["displacement", "velocity", "symmetric", FreeForm()])
def test_every_deformable_model_can_be_held_back(optimiser, model):
    stage = Stage(model, MeanSquare(), optimiser, SCALES, (Diffusion(), Bending(0.5)))
    assert len(stage.regularisers) == 2


@pytest.mark.parametrize(
    "stage",
    [
        Stage("displacement", MeanSquare(), Lbfgs(), (Scale(0, 9),)),
        Stage("displacement", MeanSquare(), Demons(), (Scale(0, 9),)),
        Stage("velocity", MeanSquare(), Greedy(Sobolev()), (Scale(0, 9),)),
    ],
    ids=lambda stage: type(stage.optimiser).__name__,
)
def test_a_scale_of_0_tells_the_spacing_of_the_image(stage, generator):
    grid = Grid.from_spacing((8, 8, 8), (3.0, 1.5, 2.0))
    image = Image(torch.rand((1, 8, 8, 8), generator=generator), grid)
    found = register(image, image, plan=Plan((stage,)))
    assert {entry.spacing_mm for entry in found.history} == {1.5}
    assert len(found.history) <= 2  # nothing moves, and that is seen at once
