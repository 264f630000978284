"""Methods: the paragraph for a paper, written from the configuration, with its citations."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

from vesalius._version import __version__
from vesalius.measure import Config
from vesalius.study._part import Part


@dataclass(frozen=True, slots=True)
class Reference:
    """A cited work."""

    text: str
    doi: str


_IBSI = Reference(
    "Zwanenburg A. et al. (2020) The Image Biomarker Standardization Initiative: standardized "
    "quantitative radiomics for high-throughput image-based phenotyping. Radiology 295:328-338",
    "10.1148/radiol.2020191145",
)
_PERTURB = Reference(
    "Zwanenburg A. et al. (2019) Assessing robustness of radiomic features by image perturbation. "
    "Scientific Reports 9:614",
    "10.1038/s41598-018-36938-4",
)
_MDC = Reference(
    "Raunig D. L. et al. (2015) Quantitative imaging biomarkers: a review of statistical methods "
    "for technical performance assessment. Statistical Methods in Medical Research 24:27-67",
    "10.1177/0962280214537344",
)
_KOO = Reference(
    "Koo T. K., Li M. Y. (2016) A guideline of selecting and reporting intraclass correlation "
    "coefficients for reliability research. Journal of Chiropractic Medicine 15:155-163",
    "10.1016/j.jcm.2016.02.012",
)
_NYUL = Reference(
    "Nyul L. G., Udupa J. K., Zhang X. (2000) New variants of a method of MRI scale "
    "standardization. IEEE Transactions on Medical Imaging 19:143-150",
    "10.1109/42.836373",
)
_WHITE_STRIPE = Reference(
    "Shinohara R. T. et al. (2014) Statistical normalization techniques for magnetic resonance "
    "imaging. NeuroImage: Clinical 6:9-19",
    "10.1016/j.nicl.2014.08.008",
)


def methods_text(part: Part) -> str:
    """Describe how the numbers of a part were made, in sentences for a methods section.

    Args:
        part: A measurement.

    Returns:
        One paragraph of plain text.
    """
    config = part.config
    regions = len(set(part.table["label"])) if len(part.table) else 0
    sentences = [
        f"Features of {regions} region{'s' * (regions != 1)} ({part.name}) were computed with "
        f"vesalius {__version__}, following the definitions of the Image Biomarker "
        f"Standardisation Initiative (profile '{config.profile}').",
        part.preparation,
        _resample(config),
        _resegment(config),
        _normalise(config),
        _discretise(config),
        _families(config),
        _perturb(part),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def references(parts: tuple[Part, ...]) -> tuple[Reference, ...]:
    """List the works that the methods rest on, each once.

    Args:
        parts: The measurements of a report.

    Returns:
        The works, in the order of use.
    """
    found = [_IBSI]
    for part in parts:
        method = part.config.normalise.method
        found += [_NYUL] if method == "nyul" else []
        found += [_WHITE_STRIPE] if method == "white_stripe" else []
        found += [_PERTURB, _MDC] if part.perturbations else []
        graded = len(part.table) and any(str(g) for g in part.table["grade"] if g == g and g)
        found += [_KOO] if graded else []
    return tuple(dict.fromkeys(found))


def _resample(config: Config) -> str:
    resample = config.resample
    if resample.spacing_mm is None:
        return "Images were measured on their own grid, without interpolation."
    size = " x ".join(f"{s:g}" for s in resample.spacing_mm)
    where = " in the plane of the slices" if resample.in_plane else ""
    rounding = " and rounded to integers" if resample.rounding == "integer" else ""
    return (
        f"Images were resampled{where} to {size} mm (z, y, x) by {resample.image} "
        f"interpolation{rounding}, masks by {resample.mask} interpolation with a threshold of "
        f"{resample.mask_threshold:g}."
    )


def _resegment(config: Config) -> str:
    low, high = config.resegment.range
    found = []
    if low is not None or high is not None:
        ends = (
            "(-infinity" if low is None else f"[{low:g}",
            "infinity)" if high is None else f"{high:g}]",
        )
        found.append(f"to intensities in {ends[0]}, {ends[1]}")
    if config.resegment.outlier_sigma is not None:
        found.append(f"to {config.resegment.outlier_sigma:g} standard deviations around the mean")
    return f"Regions were re-segmented {' and '.join(found)}." if found else ""


def _normalise(config: Config) -> str:
    method = config.normalise.method
    return "" if method == "none" else f"Intensities were normalised ({method.replace('_', ' ')})."


def _discretise(config: Config) -> str:
    discretise = config.discretise
    if discretise.method == "bin_width":
        return (
            "Grey levels for histogram and texture have a fixed bin size of "
            f"{discretise.bin_width:g}."
        )
    if discretise.method == "bin_count":
        return (
            "Grey levels for histogram and texture have a fixed bin number of "
            f"{discretise.bin_count}."
        )
    return "Intensities were used as grey levels without discretisation."


def _families(config: Config) -> str:
    features = config.features
    names = ", ".join(name.replace("_", " ") for name in features.families)
    spatial = (
        ""
        if features.spatial_autocorrelation or "morphology" not in features.families
        else " Moran's I and Geary's C were left out."
    )
    return (
        f"Families: {names}; texture matrices at distance {features.distance}, aggregated as "
        f"{', '.join(features.aggregations)}.{spatial}"
    )


def _perturb(part: Part) -> str:
    if not part.perturbations:
        return ""
    perturb = part.config.perturb
    acts = [
        (perturb.shift_voxels > 0, f"translation (up to {perturb.shift_voxels:g} voxel)"),
        (perturb.rotation_deg > 0, f"rotation (up to {perturb.rotation_deg:g} deg)"),
        (perturb.noise, "noise at the image's own level"),
        (perturb.contour, "contour randomisation by supervoxels"),
        (perturb.volume_fraction > 0, f"volume change (up to {perturb.volume_fraction:.0%})"),
        (perturb.resampling > 0, f"voxel size (up to {perturb.resampling:.0%})"),
        (perturb.blur_mm > 0, f"blur (sigma up to {perturb.blur_mm:g} mm)"),
        (perturb.drift > 0, f"calibration drift (sd {perturb.drift:.2%})"),
    ]
    listed = ", ".join(text for on, text in acts if on) or "none"
    counts = sorted(set(part.perturbations.values()))
    times = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Error bars come from {times} repeated measurements of each region under random "
        f"perturbation: {listed} (seed {perturb.seed}). Bars are ±1.96 standard deviations; "
        "mdc95 = 1.96 sqrt(2) sd is the smallest change that this scan could show "
        "(within-scan repeatability)."
    )
