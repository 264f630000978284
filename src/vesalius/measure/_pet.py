"""PET: standard uptake, metabolic tumour volume and total lesion glycolysis."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import UnitError
from vesalius.measure._config import Pet
from vesalius.measure._feature import Feature, Value
from vesalius.measure._local_intensity import local_intensity
from vesalius.measure._region import Region

_BOELLAARD = "Boellaard et al. (2015), doi:10.1007/s00259-014-2961-x"
_WAHL = "Wahl et al. (2009), doi:10.2967/jnumed.108.057307"
_NONE = "no voxel reaches the threshold"


def _feature(
    tag: str, name: str, unit: str, formula: str, reference: str, undefined: str = ""
) -> Feature:
    return Feature(tag, "pet", name, "", unit, formula, undefined, reference)


FEATURES: tuple[Feature, ...] = (
    _feature("pet_suv_max", "SUVmax", "SUV", "largest SUV in the region", _BOELLAARD),
    _feature(
        "pet_suv_peak",
        "SUVpeak",
        "SUV",
        "largest mean SUV in a sphere of 1 cm^3 centred on a voxel of the region",
        _WAHL,
    ),
    _feature(
        "pet_threshold",
        "Threshold of the tumour",
        "SUV",
        "fixed SUV or share of SUVmax",
        _BOELLAARD,
    ),
    _feature(
        "pet_suv_mean", "SUVmean", "SUV", "mean SUV at or above the threshold", _BOELLAARD, _NONE
    ),
    _feature(
        "pet_mtv", "Metabolic tumour volume", "mL", "volume at or above the threshold", _BOELLAARD
    ),
    _feature("pet_tlg", "Total lesion glycolysis", "SUV mL", "MTV times SUVmean", _BOELLAARD),
)


def pet(region: Region, settings: Pet) -> list[Value]:
    """Measure uptake in a region drawn generously around a lesion.

    Args:
        region: Prepared region with intensities in SUV; the intensity mask is searched.
        settings: The threshold: a fixed SUV or a share of SUVmax.

    Returns:
        One value for each of ``FEATURES``, in their order. Where no voxel reaches a fixed
        threshold, MTV and TLG are 0 and SUVmean is NaN, each with the reason.

    Raises:
        UnitError: The intensities are not SUV.

    References:
        Boellaard et al. (2015), doi:10.1007/s00259-014-2961-x; Wahl et al. (2009),
        doi:10.2967/jnumed.108.057307.
    """
    if region.unit != "SUV":
        raise UnitError(
            f"pet needs intensities in SUV, got unit '{region.unit}': "
            "state the unit (--unit SUV) if they are, convert them if not"
        )
    inside = np.sort(region.intensity[region.mask].cpu().numpy())
    top = float(inside[-1])
    threshold = settings.threshold * (top if settings.method == "relative" else 1.0)
    active = inside[np.searchsorted(inside, threshold, "left") :]
    reason = "" if len(active) else _NONE
    mean = float(active.mean()) if len(active) else float("nan")
    volume = len(active) * region.grid.voxel_volume_mm3 / 1000
    peak = next(v for v in local_intensity(region) if v.tag == "loc_peak_glob")
    return [
        Value("pet_suv_max", "", top),
        Value("pet_suv_peak", "", peak.value, peak.reason),
        Value("pet_threshold", "", threshold),
        Value("pet_suv_mean", "", mean, reason),
        Value("pet_mtv", "", volume, reason),
        Value("pet_tlg", "", volume * mean if len(active) else 0.0, reason),
    ]
