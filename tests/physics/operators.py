"""Every linear operator of the package, small, for the one contract suite.

Append an entry for each operator (and each mode of it that runs other code): a name, a function
that builds it small and without symmetry, and the numbers that it works on. Keep one "tiny" entry
(domain of at most 200 numbers) per operator, so that its derivatives are checked too.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from vesalius.core import Block, Diagonal, Grid, Identity, LinearOperator, stack
from vesalius.physics.ct import Projector, cone, fan, helical, parallel
from vesalius.physics.mri import (
    Coils,
    Crop,
    Each,
    Fourier,
    NonUniformFourier,
    Sampling,
    encode,
    simulated_maps,
)
from vesalius.physics.optics import Blur, Convolution, Downsample, LightField
from vesalius.physics.pet import System
from vesalius.physics.sparse import Dct, Dft, Gradient, Laplacian, Wavelet


@dataclass(frozen=True)
class Entry:
    """One operator under the contract."""

    name: str
    factory: Callable[[], LinearOperator]
    numbers: Literal["real", "complex"] = "real"


TURN = torch.tensor([3.0, 48.0, 93.0, 110.0, 177.0], dtype=torch.float64)
SLICE = Grid.from_spacing((1, 7, 7), origin_mm=(-3.0, -3.0, 0.0))

ENTRIES: list[Entry] = [
    Entry("identity", lambda: Identity((2, 3))),
    Entry("identity of complex numbers", lambda: Identity((2, 3)), "complex"),
    Entry("adjoint", lambda: (2.0 * Identity((5,))).H),
    Entry("product", lambda: (2.0 * Identity((4,))) @ (3.0 * Identity((4,)))),
    Entry("sum", lambda: Identity((4,)) + 3.0 * Identity((4,))),
    Entry("scaled by a complex number", lambda: (2.0 - 1.5j) * Identity((4,)), "complex"),
    Entry("stack", lambda: stack(Identity((2, 3)), 2.0 * Identity((2, 3)))),
    Entry(
        "block",
        lambda: Block(
            (
                (Identity((4,)), 2.0 * Identity((4,))),
                (-3.0 * Identity((4,)), 0.5 * Identity((4,))),
            )
        ),
    ),
    Entry("diagonal", lambda: Diagonal(kernel(3, 4))),
    Entry("diagonal of complex numbers", lambda: Diagonal(kernel(3, 4) * (1 - 2j)), "complex"),
    Entry("gradient", lambda: Gradient((2, 4, 5), (2.0, 0.7))),
    Entry("gradient in 3-D", lambda: Gradient((3, 4, 5), (2.0, 0.7, 1.1)), "complex"),
    Entry("laplacian", lambda: Laplacian((3, 4, 5), (2.0, 0.7, 1.1))),
    Entry("dct", lambda: Dct((3, 5, 6))),
    Entry("dct of complex numbers", lambda: Dct((4, 7)), "complex"),
    Entry("dft", lambda: Dft((3, 5, 6)), "complex"),
    Entry("wavelet", lambda: Wavelet((3, 12, 5))),
    Entry("wavelet in 3-D", lambda: Wavelet((2, 8, 6), "haar", (-3, -2, -1), 2), "complex"),
    Entry("convolution, same", lambda: Convolution(kernel(2, 3, 4), (4, 5, 6))),
    Entry("convolution, valid", lambda: Convolution(kernel(3, 4), (6, 7), "valid")),
    Entry("convolution, full", lambda: Convolution(kernel(3, 4), (6, 5), "full")),
    Entry("blur", lambda: Blur((3, 5, 7), (0.0, 1.2, 0.7), (0.3, -2.4, 1.1))),
    Entry("downsample", lambda: Downsample((2, 6, 6), (1, 2, 3))),
    Entry("light-field", lambda: LightField(kernel(2, 2, 2, 9, 9), 3, (3, 4))),
    Entry("pet system", lambda: System(2.0 * Identity((3, 4)), kernel(3, 4), 5 * kernel(3, 4))),
    Entry("projector, parallel", lambda: Projector(parallel(TURN, **FEW), lattice())),
    Entry("projector, cone", lambda: Projector(cone(TURN, **FEW, **NEAR), lattice())),
    Entry("projector, arc", lambda: Projector(cone(TURN, arc=True, **FEW, **NEAR), lattice())),
    Entry(
        "projector, helix",
        lambda: Projector(
            helical(cone(TURN, **FEW, **NEAR), pitch_mm_per_turn=3.0), lattice(), "footprint"
        ),
    ),
    Entry("projector, leaning", lambda: Projector(cone(TURN, **FEW, **NEAR), lying())),
    Entry(
        "projector, footprint",
        lambda: Projector(parallel(TURN, **FEW), lattice(), "footprint"),
    ),
    Entry("parallel projector", lambda: Projector(parallel(TURN, shape=(1, 9)), SLICE)),
    Entry(
        "parallel projector of a stack",
        lambda: Projector(parallel(TURN, shape=(5, 9)), Grid.from_spacing((4, 6, 7))),
    ),
    Entry(
        "fan projector",
        lambda: Projector(
            fan(
                TURN,
                shape=(2, 9),
                pitch_mm=(1.1, 1.9),
                source_mm=20.0,
                detector_mm=30.0,
                offset_mm=(0.3, 1.7),
            ),
            SLICE,
        ),
    ),
    Entry(
        "projector of a tilted grid",
        lambda: Projector(parallel(TURN, shape=(3, 9)), tilted_grid()),
    ),
    Entry("fourier", lambda: Fourier((2, 3, 4, 5), (-1, -3)), "complex"),
    Entry("sampling", lambda: Sampling(kernel(4, 5) > 0.4, (2, 4, 5)), "complex"),
    Entry("crop", lambda: Crop((3, 4, 6), (3, 2, 5))),
    Entry("crop of complex numbers", lambda: Crop((5, 4), (3, 4)), "complex"),
    Entry("coils", lambda: Coils(simulated_maps((4, 5), coils=3)), "complex"),
    Entry(
        "sense encoding",
        lambda: encode(simulated_maps((4, 5), coils=3), mask=kernel(4, 5) > 0.4),
        "complex",
    ),
    Entry("nufft 2-D", lambda: NonUniformFourier((5, 6), kernel(3, 4, 2) * 1.5 - 0.7), "complex"),
    Entry(
        "nufft of coils",
        lambda: (
            Each(2, NonUniformFourier((4, 5), kernel(7, 2)))
            @ Coils(simulated_maps((4, 5), coils=2))
        ),
        "complex",
    ),
    Entry(
        "nufft 3-D",
        lambda: NonUniformFourier((3, 4, 5), kernel(9, 3) - 0.4, 4, 1.5),
        "complex",
    ),
]


TURN = torch.tensor([-40.0, 45.0])
FEW = {"shape": (3, 4), "pitch_mm": (1.7, 2.1)}
NEAR = {"source_mm": 30.0, "detector_mm": 45.0}


def lattice() -> Grid:
    """Give a small grid off centre with three spacings."""
    return Grid.from_spacing((2, 3, 4), (1.1, 0.9, 1.2), origin_mm=(-1.8, -0.7, -0.4))


def lying() -> Grid:
    """Give the same with z where x was: its slices stand along the axis."""
    return Grid((4, 3, 2), lattice().affine[:, [2, 1, 0, 3]])


def tilted_grid() -> Grid:
    """Give a grid none of whose axes lies along a world axis."""
    turn, _ = torch.linalg.qr(kernel(3, 3) - 0.4)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = turn
    affine[:3, 3] = -turn @ torch.tensor([1.0, 2.0, 2.5], dtype=torch.float64)
    return Grid((3, 5, 6), affine)


def kernel(*shape: int) -> torch.Tensor:
    """Give numbers in [0, 1) without any symmetry."""
    generator = torch.Generator().manual_seed(7)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def number_type(entry: Entry, *, single: bool = False) -> torch.dtype:
    """Give the dtype in which an entry is tested."""
    if entry.numbers == "complex":
        return torch.complex64 if single else torch.complex128
    return torch.float32 if single else torch.float64
