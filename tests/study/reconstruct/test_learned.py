"""A learned method of the study: the packaged denoiser, chosen by its name."""

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.physics import Ellipsoid, Phantom, rasterise
from vesalius.physics.ct import exact_projections, parallel
from vesalius.study.reconstruct import Job
from vesalius.study.reconstruct._ct import reconstruct_ct
from vesalius.study.reconstruct._measured import Measured
from vesalius.study.reconstruct._tell import WORDS


def measured():
    phantom = Phantom((Ellipsoid((8.0, 4.0, 0.0), (24.0, 18.0, 50.0), 0.02),), 0.0, "1/mm")
    grid = Grid.from_spacing((1, 32, 32), (1.0, 3.0, 3.0), origin_mm=(-46.5, -46.5, 0.0))
    rays = parallel(torch.arange(0.0, 180.0, 6.0), shape=(1, 48), pitch_mm=(1.0, 3.0))
    return Measured(exact_projections(phantom, rays), grid), rasterise(phantom, grid).data


def test_the_name_pnp_takes_the_packaged_denoiser():
    scan, truth = measured()
    told = []
    found = reconstruct_ct(scan, Job(method="pnp"), on_step=told.append)
    assert found.method == "pnp"
    assert "pnp" in WORDS
    assert len(told) == len(found.residual)
    error = (found.image.data - truth).square().mean().sqrt()
    assert float(error) < 0.1 * float(truth.max())


def test_steps_weight_and_unit_are_the_jobs():
    scan, _ = measured()
    found = reconstruct_ct(scan, Job(method="pnp", steps=3, weight=0.7, unit="HU"), on_step=None)
    assert (len(found.residual), found.weight, found.image.unit) == (3, 0.7, "HU")


def test_a_near_name_is_proposed():
    with pytest.raises(ConfigError, match="did you mean pnp"):
        Job(method="pmp")
