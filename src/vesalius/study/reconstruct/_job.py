"""Job: what is to be done with raw measurements, as the user said it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Literal, cast, get_args

from vesalius.errors import ConfigError
from vesalius.physics.ct._projections import Quantity
from vesalius.reconstruct.ct import Scan, Truncation, Window

Analytic = Literal["fbp", "gridding", "fdk"]
Iterated = Literal[
    "sirt", "sart", "os-sart", "cgls", "lsqr", "mlem", "osem", "tikhonov", "tv", "tgv", "huber",
    "wavelet",
]  # fmt: skip
Rule = Literal["balance", "discrepancy", "gcv", "sure"]
Learned = Literal["pnp"]
Magnetic = Literal["rss", "sense", "cs"]
ANALYTIC: tuple[str, ...] = get_args(Analytic)
ITERATED: tuple[str, ...] = get_args(Iterated)
LEARNED: tuple[str, ...] = get_args(Learned)
MAGNETIC: tuple[str, ...] = get_args(Magnetic)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done with raw measurements.

    Attributes:
        method: A name of ``ANALYTIC``, ``ITERATED``, ``LEARNED`` or ``MAGNETIC``; ``"auto"`` is
            fbp for parallel and fan beams, fdk for cone beams, cs for k-space.
        unit: Unit of a CT image.
        kev: Effective energy at which HU are defined, keV.
        window: Filter of an analytic method.
        scan: Which views an analytic method has: a whole turn, a short scan of fans or cones
            (Parker's weights), or a whole turn with the detector to one side.
        truncation: How an analytic method goes on beyond the detector.
        steps: Steps of an iteration; 0 is the method's own number.
        weight: Strength of the prior; ``"auto"`` lets ``rule`` choose it without the truth.
        rule: How; see ``reconstruct.ct.Iterative.strength``.
        quantity: What the samples are, where the raw file does not tell.
        centre: Column of the rotation axis; ``"file"`` as the geometry says, ``"find"`` from the
            views.
        stripes: How stripes of bad detector elements are taken out.
        coils: Coils to compress to; 0 keeps all.

    Raises:
        ConfigError: The method is unknown, or a number is out of range.
    """

    method: str = "auto"
    unit: Literal["1/mm", "HU"] = "1/mm"
    kev: float = 70.0
    window: Window = "ram-lak"
    scan: Scan = "full"
    truncation: Truncation = "none"
    steps: int = 0
    weight: float | Literal["auto"] = "auto"
    rule: Rule = "balance"
    quantity: Quantity = "counts"
    centre: float | Literal["file", "find"] = "file"
    stripes: Literal["none", "wavelet", "sorting"] = "none"
    coils: int = 0

    def __post_init__(self) -> None:
        known = ("auto", *ANALYTIC, *ITERATED, *LEARNED, *MAGNETIC)
        if self.method not in known:
            near = get_close_matches(self.method, known, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"method must be one of {', '.join(known)}; got {self.method!r}{hint}"
            )
        if self.steps < 0 or self.coils < 0 or not self.kev > 0:
            raise ConfigError(
                f"steps and coils must not be negative and kev must be positive, got {self.steps}, "
                f"{self.coils} and {self.kev:g}"
            )
        if self.weight != "auto" and not self.weight >= 0:
            raise ConfigError(f"weight must be 'auto' or at least 0, got {self.weight:g}")

    @property
    def iterated(self) -> Iterated:
        """The method, where it iterates.

        Raises:
            ConfigError: It does not.
        """
        if self.method not in ITERATED:
            raise ConfigError(f"method must iterate, {self.method!r} does not: see ITERATED")
        return cast(Iterated, self.method)

    def to_json(self) -> dict[str, object]:
        """Give the job as JSON types."""
        return asdict(self)
