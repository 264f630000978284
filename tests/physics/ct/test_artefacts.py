"""Artefacts: each is what its physics says, and nothing where nothing was asked."""

import math

import pytest
import torch

from vesalius.core import Linear
from vesalius.errors import GeometryError, IntensityError, ShapeError, UnitError
from vesalius.physics import Cylinder, Ellipsoid, Phantom
from vesalius.physics.ct import (
    Projections,
    Spectrum,
    cone,
    exact_projections,
    material_paths,
    parallel,
    patient_motion,
    polychromatic,
    rings,
)

RAYS = parallel(torch.tensor([0.0, 60.0]), shape=(1, 41), pitch_mm=(5.0, 5.0))
WATER = Phantom((Cylinder((0.0, 0.0, 0.0), (90.0, 90.0, 500.0), 0.0, name="body"),))
HIP = Phantom(
    (*WATER.solids, Ellipsoid.sphere((20.0, 0.0, 0.0), 16.0, value=0.0, name="screw")),
)
TUBE = Spectrum((50.0, 70.0, 100.0), (0.3, 0.5, 0.2))


def thickness(phantom=WATER):
    return material_paths(phantom, RAYS)[..., 0]


def test_one_energy_is_beer_lambert():
    seen = polychromatic(
        WATER, RAYS, spectrum=Spectrum((60.0,), (7.0,)), materials={"body": "water"}
    )
    assert seen.quantity == "transmission"
    # water at 60 keV: .2059 cm^2/g (NIST)
    torch.testing.assert_close(-seen.data.log(), 0.02059 * thickness())


def test_a_spectrum_hardens():
    seen = polychromatic(WATER, RAYS, spectrum=TUBE, materials={"body": "water"})
    length = thickness()
    per_mm = -seen.data.log()[length > 0] / length[length > 0]
    order = length[length > 0].argsort()
    assert bool((per_mm[order].diff() <= 1e-12).all())  # the thicker, the less per mm
    assert float(per_mm.max()) < TUBE.effective_per_mm("water")
    assert float(per_mm.max() / per_mm.min()) > 1.01


def test_a_thin_layer_shows_the_effective_attenuation():
    thin = Phantom((Cylinder((0.0, 0.0, 0.0), (0.01, 0.01, 5.0), 0.0, name="body"),))
    ray = parallel(torch.zeros(1), shape=(1, 1))
    seen = polychromatic(thin, ray, spectrum=TUBE, materials={"body": "iron"})
    assert float(-seen.data.log()) / 0.02 == pytest.approx(TUBE.effective_per_mm("iron"), rel=1e-2)


def test_metal_takes_the_place_of_water():
    seen = polychromatic(HIP, RAYS, spectrum=TUBE, materials={"body": "water", "screw": "iron"})
    paths = material_paths(HIP, RAYS)
    expected = sum(
        w * torch.exp(-paths[..., 0] * a - paths[..., 1] * b)
        for w, a, b in zip(TUBE.weights, TUBE.per_mm("water"), TUBE.per_mm("iron"), strict=True)
    )
    torch.testing.assert_close(seen.data, expected)
    assert float(seen.data.min()) < 0.01 * float(
        polychromatic(
            HIP, RAYS, spectrum=TUBE, materials={"body": "water", "screw": "air"}
        ).data.min()
    )


# NIST, cm^2/g times density over 10
@pytest.mark.parametrize(
    ("material", "energy", "expected"),
    [
        ("water", 80.0, 0.01837),
        ("bone", 100.0, 0.1855 * 0.192),
        ("iron", 40.0, 3.629 * 0.7874),
        ("air", 70.0, 0.0),
        ("water", 70.0, 0.01929),  # interpolated; XCOM gives .1929 cm^2/g
    ],
)
def test_tables_are_those_of_nist(material, energy, expected):
    (found,) = Spectrum((energy,), (1.0,)).per_mm(material)
    assert found == pytest.approx(expected, rel=6e-3)


def test_spectra_that_cannot_be_are_refused():
    with pytest.raises(ShapeError, match="a spectrum must have one weight for each energy"):
        Spectrum((), ())
    with pytest.raises(IntensityError, match="energies must lie in the tables"):
        Spectrum((30.0,), (1.0,))
    with pytest.raises(IntensityError, match="weights must be at least 0 and one of them positive"):
        Spectrum((60.0,), (0.0,))
    with pytest.raises(UnitError, match="every part must have a material"):
        polychromatic(HIP, RAYS, spectrum=TUBE, materials={"body": "water"})


def flat(quantity):
    return Projections(torch.full(RAYS.codomain, 2.0), RAYS, quantity)


def test_a_ring_is_one_gain_for_all_views(generator):
    seen = rings(flat("counts"), spread=0.1, generator=generator).data
    assert torch.equal(seen[0], seen[1])
    assert 0.05 < float((seen[0] / 2).log().std()) < 0.15


def test_line_integrals_and_transmissions_get_the_same_ring():
    def draw(quantity):
        g = torch.Generator().manual_seed(4)
        return rings(flat(quantity), spread=0.1, generator=g).data

    torch.testing.assert_close(draw("line integral"), 2.0 - (draw("transmission") / 2.0).log())


def test_no_spread_makes_no_ring_and_a_negative_one_is_refused(generator):
    assert torch.equal(
        rings(flat("counts"), spread=0.0, generator=generator).data, flat("counts").data
    )
    with pytest.raises(IntensityError, match="spread must be at least 0 and finite"):
        rings(flat("counts"), spread=-0.1, generator=generator)


ANGLES = torch.tensor([0.0, 50.0, 200.0])
BLOB = Ellipsoid((6.0, -9.0, 4.0), (9.0, 6.0, 11.0), 0.02, (0.0, 0.0, 25.0))


def test_motion_of_the_patient_is_the_phantom_moved():
    scan = cone(ANGLES, shape=(9, 11), pitch_mm=(5.0, 5.0), source_mm=400.0, detector_mm=600.0)
    poses = [Linear.translation((3.0 * i, -2.0, 1.0)) for i in range(3)]
    seen = exact_projections(Phantom((BLOB,), unit="1/mm"), patient_motion(scan, poses)).data
    for i in range(3):
        x, y, z = BLOB.centre_mm
        gone = Ellipsoid(
            (x + 3.0 * i, y - 2.0, z + 1.0), BLOB.semi_axes_mm, 0.02, BLOB.rotation_deg
        )
        one = exact_projections(Phantom((gone,), unit="1/mm"), scan.take(slice(i, i + 1))).data[0]
        torch.testing.assert_close(seen[i], one, atol=1e-6, rtol=0)


def test_a_patient_who_turns_with_the_gantry_looks_the_same_from_everywhere():
    scan = parallel(ANGLES, shape=(1, 31))
    poses = [Linear.rotation((0.0, 0.0, float(a)), centre_mm=(0.0, 0.0, 0.0)) for a in ANGLES]
    seen = exact_projections(Phantom((BLOB,), unit="1/mm"), patient_motion(scan, poses)).data
    torch.testing.assert_close(seen[1], seen[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(seen[2], seen[0], atol=1e-6, rtol=0)


def test_poses_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="poses must be one for each of the 2 views"):
        patient_motion(RAYS, [Linear.identity()])
    grown = Linear(torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64)))
    with pytest.raises(GeometryError, match="pose must be rigid to move a scanner"):
        patient_motion(RAYS, [grown, grown])


def test_views_of_a_limited_angle_are_a_part_of_all():
    seen = exact_projections(Phantom((BLOB,), unit="1/mm"), RAYS)
    kept = seen.geometry.angles_deg <= 30.0
    part = Projections(seen.data[kept], seen.geometry.take(kept))
    assert part.geometry.views == 1
    assert math.isclose(float(part.data.sum()), float(seen.data[0].sum()), rel_tol=1e-6)
