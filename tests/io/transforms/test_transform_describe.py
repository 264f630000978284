"""Transforms in words."""

import math

import pytest
import torch
from made_transforms import every_transform, made_affine, made_field, made_grid, noise

from vesalius.core import BSpline, Composite, Displacement, Linear, Transform
from vesalius.io.transforms import describe

ROTATION = Linear.rotation((0, 0, 30), centre_mm=(0, 0, 0))
TURNED = Linear.rotation((0, 179, 0), centre_mm=(1, 2, 3))


def scaled(*scales: float) -> Linear:
    return Linear(torch.diag(torch.tensor([*scales, 1.0], dtype=torch.float64)))


@pytest.mark.parametrize("kind", list(every_transform()))
def test_every_description_says_direction_frame_and_unit(kind: str) -> None:
    text = describe(every_transform()[kind])
    assert text.splitlines()[0] == "fixed -> moving, LPS, mm"
    assert len(text.splitlines()) > 2


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (Linear.identity(), "identity, rotation 0 deg"),
        (Linear.translation((1.5, 0, -2)), "translation, rotation 0 deg, the origin goes to (1.5"),
        (ROTATION, "rigid, rotation 30 deg about (0.000, 0.000, 1.000)"),
        (TURNED, "rigid, rotation 179 deg about (0.000, 1.000, 0.000)"),
        (ROTATION @ scaled(2, 2, 2), "similarity, scale 2.0000, rotation 30 deg"),
        (ROTATION @ scaled(2, 1, 0.5), "affine, scales 0.5000 to 2.0000, volume x 1.0000"),
        (scaled(-1, 1, 1), "rigid, mirrored"),
        (scaled(-2, 1, 1), "affine, mirrored, scales 1.0000 to 2.0000"),
    ],
)  # fmt: skip
def test_a_linear_one_is_named_by_what_it_does(transform: Linear, wanted: str) -> None:
    assert wanted in describe(transform)


def test_half_a_turn_has_an_angle() -> None:
    assert "rotation 180 deg" in describe(scaled(-1, -1, 1))
    found = describe(Linear.rotation((0, 0, 1e-3), centre_mm=(0, 0, 0)))
    assert "rigid, rotation 0.001 deg about (0.000, 0.000, 1.000)" in found


def test_parts_come_in_the_order_that_points_take() -> None:
    lines = describe(Composite((made_affine(), Composite((ROTATION, made_field()))))).splitlines()
    assert lines[1] == "3 parts; points go through them in this order:"
    numbered = [line for line in lines if line[:1].isdigit() and line[1] == "."]
    assert [line.split(",")[0] for line in numbered] == [
        "1. displacement field",
        "2. rigid",
        "3. affine",
    ]


def test_a_field_tells_its_size_length_and_border() -> None:
    data = torch.zeros(3, 6, 7, 8)
    data[:2] = torch.tensor([3.0, 4.0])[:, None, None, None]
    text = describe(Displacement(data, made_grid()))
    assert "float32, beyond its grid the edge goes on" in text
    assert "vectors: 5 mm on average, 5 mm at most" in text
    assert "grid: zyx 6 x 7 x 8, 3.3 x 0.7 x 1.1 mm" in text
    assert "beyond its grid nothing moves" in describe(made_field())


def test_an_inverse_tells_what_it_inverts() -> None:
    text = describe(BSpline(noise(3, 6, 7, 8), made_grid()).inverse())
    assert "inverse, solved at each point, of: free-form deformation" in text


def test_another_transform_tells_itself() -> None:
    class Swirl(Transform):
        __call__ = inverse = jacobian = None  # type: ignore[assignment]

        def __repr__(self) -> str:
            return f"Swirl({math.tau:.2f})"

    assert describe(Swirl()).endswith("Swirl(6.28)")
