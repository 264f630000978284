"""Tell: the page of a finished reconstruction, made of its plan and its result."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.core import Image, hash_samples
from vesalius.core._provenance import Provenance
from vesalius.physics.quality import noise_power
from vesalius.reconstruct import Reconstruction
from vesalius.study._charts import Chart, Line, lines, picture
from vesalius.study._report import Heading, image_facts
from vesalius.study._stage_page import Page
from vesalius.study._views import View, choose_window, overview
from vesalius.study.reconstruct._plan import Plan
from vesalius.study.reconstruct._quality import compare, through_middle, transfer

WORDS = {
    "fbp": "filtered back-projection",
    "gridding": "direct Fourier reconstruction (gridding)",
    "fdk": "the method of Feldkamp, Davis and Kress",
    "sirt": "SIRT",
    "sart": "SART",
    "os-sart": "ordered-subset SART",
    "cgls": "conjugate gradients on the normal equations",
    "lsqr": "LSQR",
    "mlem": "maximum-likelihood expectation maximisation",
    "osem": "ordered-subset expectation maximisation",
    "tikhonov": "Tikhonov-regularised least squares",
    "tv": "least squares with total variation",
    "tgv": "least squares with total generalised variation",
    "huber": "least squares with a Huber prior on the gradient",
    "wavelet": "least squares with a sparse wavelet prior",
    "pnp": "plug-and-play with a learned denoiser",
    "rss": "root sum of squares of the coils",
    "sense": "SENSE with ESPIRiT coil maps",
    "cs": "compressed sensing with ESPIRiT coil maps and a sparse wavelet prior",
}


def page_of(plan: Plan, found: Reconstruction, *, truth: Image | None, seconds: float) -> Page:
    """Make the page.

    Args:
        plan: What was to be done.
        found: What came of it.
        truth: What the image should be; ``None`` where nobody knows.
        seconds: How long it took.

    Returns:
        The page.
    """
    image = found.image
    word = WORDS.get(found.method, found.method)
    lead = f"{plan.lead}; reconstructed by {word} in {seconds:.1f} s."
    facts = (*plan.facts, *_figures(found), *image_facts(image))
    table = () if truth is None else _rows(image, truth)
    guard = () if found.identifiable else (UNIDENTIFIABLE,)
    return Page(
        Heading("A reconstruction", lead),
        findings=tuple(_sentence(text) for text in (*guard, *plan.remarks, *found.remarks)),
        facts=facts,
        views=_worth_showing(overview(image, (), window=choose_window(image, ()))),
        charts=(*plan.charts(), *_charts(found, truth), *_spectra(image, truth)),
        columns=("Quantity", "Value"),
        rows=table,
        rows_note="Voxel by voxel, over the whole image.",
        methods=(_methods(plan, found, word),),
        provenance=_record(plan, found),
    )


def _worth_showing(views: tuple[View, ...]) -> tuple[View, ...]:
    """Leave out views of a few slices from the side: they are lines."""
    wide = tuple(v for v in views if min(v.size_mm) > 0.08 * max(v.size_mm))
    return wide or views[:1]


UNIDENTIFIABLE = (
    "Not identifiable: fewer rays cross the object than there are unknown voxels, and no prior was "
    "given. Many images explain these measurements equally well; this is one of them."
)


def _figures(found: Reconstruction) -> tuple[tuple[str, str], ...]:
    facts = []
    if found.residual:
        facts.append(("Residual |Ax - y| / |y|", f"{found.residual[-1]:.4g}"))
        facts.append(("Steps", str(found.steps)))
    if found.operator_norm is not None:
        facts.append(("Operator norm", f"{found.operator_norm:.4g}"))
    if found.weight:
        facts.append(("Strength of the prior", f"{found.weight:.4g}"))
    return tuple(facts)


def _rows(image: Image, truth: Image) -> tuple[tuple[str, ...], ...]:
    error = compare(image, truth)
    unit = "" if image.unit == "1" else f" {image.unit}"
    return (
        ("Root mean square difference", f"{error.rmse:.4g}{unit}"),
        ("Mean difference", f"{error.bias:+.4g}{unit}"),
        ("Largest difference", f"{error.largest:.4g}{unit}"),
        ("PSNR", f"{error.psnr_db:.2f} dB"),
    )


def _charts(found: Reconstruction, truth: Image | None) -> tuple[Chart, ...]:
    image = found.image
    unit = "" if image.unit == "1" else f", {image.unit}"
    place, values = through_middle(image)
    of = [Line("image" if truth is not None else "", place.numpy(), values.numpy())]
    if truth is not None:
        there, known = through_middle(truth)
        of.append(Line("truth", there.numpy(), known.numpy()))
    charts = [
        lines("Profile", "through the middle, along x", of, axes=("mm", f"value{unit}")),
    ]
    if len(found.residual) > 1:
        steps = np.arange(1, len(found.residual) + 1, dtype=np.float64)
        trace = Line("", steps, np.array(found.residual))
        note = "what the image leaves unexplained of the measurement, step by step"
        charts.append(lines("Residual", note, [trace], axes=("step", "|Ax - y| / |y|"), log=True))
    return tuple(charts)


def _sentence(text: str) -> str:
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


def _spectra(image: Image, truth: Image | None) -> tuple[Chart, ...]:
    """Transfer and noise power against the truth, in a plane of at least 32 x 32 voxels."""
    if truth is None or min(image.grid.shape[1:]) < 32:
        return ()
    frequency, ratio = transfer(image, truth)
    shown = Line("", frequency.numpy(), ratio.numpy())
    gap = Image(image.data[:1].double() - truth.data[:1].double(), image.grid, image.unit)
    ring, power = noise_power((gap,), trend="mean").radial()
    spectrum = Line("", ring.numpy(), power.numpy())
    unit = "" if image.unit == "1" else f"({image.unit})² "
    return (
        lines(
            "Transfer",
            "how much of each frequency of the truth is in the image; for linear methods the MTF",
            [shown],
            axes=("cycles per mm", "transfer"),
        ),
        lines(
            "Power of the difference",
            "noise and error by frequency: image less truth, all of the plane",
            [spectrum],
            axes=("cycles per mm", f"{unit}mm²"),
            log=True,
        ),
    )


def sinogram_chart(views: np.ndarray, pitch_mm: float) -> Chart:
    """Show the middle detector row over all views.

    Args:
        views: (view, row, column) line integrals.
        pitch_mm: Distance between columns, mm.

    Returns:
        The chart.
    """
    count, rows, columns = views.shape
    half = pitch_mm * columns / 2
    return picture(
        "Sinogram",
        "line integrals of the middle detector row, one line per view",
        views[:, rows // 2],
        axes=("column, mm", "view"),
        extent=(-half, half, count, 0),
    )


def _methods(plan: Plan, found: Reconstruction, word: str) -> str:
    steps = f" after {found.steps} steps" if found.steps > 1 else ""
    strength = f", strength {found.weight:.3g}" if found.weight else ""
    z, y, x = found.image.grid.shape
    spacing = " x ".join(f"{s:.4g}" for s in reversed(found.image.grid.spacing_mm))
    return (
        f"{plan.methods} Images of {x} x {y} x {z} voxels of {spacing} mm were reconstructed by "
        f"{word}{steps}{strength} with vesalius."
    )


def _record(plan: Plan, found: Reconstruction) -> dict[str, object]:
    record = Provenance("reconstruct", plan.job.to_json(), plan.inputs())
    samples = hash_samples(found.image.data, found.image.grid.affine)
    return {**record.to_json(), "method": found.method, "result": samples}
