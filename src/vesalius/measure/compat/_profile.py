"""Profile: a PyRadiomics parameter file as a configuration of vesalius."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping

from vesalius.errors import ConfigError
from vesalius.measure.compat._settings import Settings, read_parameters

_FAMILIES: dict[str, tuple[str, ...]] = {
    "firstorder": ("statistics", "histogram"),
    "shape": ("morphology",),
    "glcm": ("glcm",),
    "glrlm": ("glrlm",),
    "glszm": ("glszm",),
    "gldm": ("ngldm",),
    "ngtdm": ("ngtdm",),
}
_INTERPOLATORS = {
    "sitkBSpline": "cubic",
    "sitkLinear": "linear",
    "sitkNearestNeighbor": "nearest",
    "3": "cubic",
    "2": "linear",
    "1": "nearest",
}


def as_profile(raw: Mapping[str, object]) -> dict[str, object]:
    """Translate a PyRadiomics parameter file into a configuration.

    What is measured and how the image is prepared is kept; values then follow IBSI's definitions
    under IBSI's names, with bins that start where PyRadiomics starts them. For PyRadiomics' own
    numbers use ``compat.RadiomicsFeatureExtractor``.

    Args:
        raw: The parsed file, with the sections ``setting``, ``featureClass``, ``imageType``.

    Returns:
        A nested mapping, as it would be written for ``profile: pyradiomics``.

    Raises:
        ConfigError: Something in the file has no counterpart; the message says what to do.
    """
    parameters = read_parameters(raw)
    settings = parameters.settings
    _refuse(settings)
    families = [f for name in parameters.features for f in _FAMILIES[name]]
    translated: dict[str, object] = {
        "profile": "pyradiomics",
        "discretise": _bins(settings),
        "features": {
            "families": families,
            "aggregations": _aggregations(settings),
            "distance": settings.distances[0],
            "ngldm_coarseness": settings.gldm_a,
        },
    }
    if settings.resampledPixelSpacing is not None:
        translated["resample"] = {
            "spacing_mm": list(reversed(settings.resampledPixelSpacing)),
            "image": _INTERPOLATORS[str(settings.interpolator)],
        }
    if settings.resegmentRange is not None:
        translated["resegment"] = _resegment(settings)
    if settings.normalize:
        translated["normalise"] = {"method": "zscore", "scale": settings.normalizeScale}
    return translated


def _bins(settings: Settings) -> dict[str, object]:
    if settings.binCount is not None:
        return {"method": "bin_count", "bin_count": settings.binCount}
    return {"method": "bin_width", "bin_width": settings.binWidth}


def _aggregations(settings: Settings) -> list[str]:
    if settings.force2D:
        merged = "2_5D_avg" if settings.weightingNorm is None else "2_5D_comb"
        return [merged, "2_5D"]
    return ["3D_avg" if settings.weightingNorm is None else "3D_comb", "3D"]


def _resegment(settings: Settings) -> dict[str, object]:
    limits = settings.resegmentRange or ()
    if settings.resegmentMode == "sigma":
        return {"outlier_sigma": abs(limits[0])}
    return {"range": [limits[0], limits[1] if len(limits) > 1 else None]}


def _refuse(settings: Settings) -> None:
    limits = settings.resegmentRange or ()
    spacing = settings.resampledPixelSpacing or (1.0,)
    problems = {
        "voxelArrayShift: IBSI's energy is not shifted": settings.voxelArrayShift != 0,
        "distances: one distance is measured at a time": len(settings.distances) != 1,
        "removeOutliers: there is no clipping": settings.removeOutliers is not None,
        "resegmentShape: shape is measured on the mask as drawn": settings.resegmentShape,
        "resegmentMode relative: write the range out": settings.resegmentMode == "relative"
        and bool(limits),
        "resegmentRange: sigma limits must be symmetric": settings.resegmentMode == "sigma"
        and bool(limits)
        and (len(limits) != 2 or limits[0] != -limits[1]),
        "resampledPixelSpacing: 0 (keep) is written as the spacing itself": min(spacing) <= 0,
        f"interpolator {settings.interpolator}: use one of {', '.join(list(_INTERPOLATORS)[:3])}": (
            settings.resampledPixelSpacing is not None
            and str(settings.interpolator) not in _INTERPOLATORS
        ),
    }
    found = [text for text, wrong in problems.items() if wrong]
    if found:
        raise ConfigError(
            "PyRadiomics setting has no counterpart in a vesalius configuration: "
            + "; ".join(found)
            + ": remove it, or use measure.compat.RadiomicsFeatureExtractor"
        )
