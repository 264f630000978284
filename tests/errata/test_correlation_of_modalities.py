"""Erratum 23: normalised correlation is independent of linear maps of values, not of modality."""

import pytest
import torch

from vesalius.register.similarity import MutualInformation, Ncc

SPACING = (1.0, 1.0, 1.0)


def test_correlation_survives_a_linear_map_and_fails_under_another_modality(generator):
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij")
    image = (torch.sin(5 * z) + torch.cos(4 * y * x))[None].double()
    moved = image.roll(2, dims=3)
    other = (image - image.mean()).square()  # bright where the first is dark or bright
    ncc, mi = Ncc(), MutualInformation()

    assert float(ncc(image, 3 * image + 7)) == pytest.approx(0, abs=1e-9)
    assert float(ncc(image, -image)) == pytest.approx(2, abs=1e-9)

    # in register, the two modalities look worse to the correlation than a wrong place
    aligned, shifted = float(ncc(image, other)), float(ncc(image, other.roll(2, dims=3)))
    assert aligned > 0.5
    assert min(aligned, shifted) > float(ncc(image, moved))
    features = [mi.features(i, SPACING) for i in (image, other, other.roll(2, dims=3))]
    assert float(mi(features[0], features[1])) < float(mi(features[0], features[2])) - 0.3
