"""Catalogue: every feature there is, with code, unit, formula and reference."""
# SPDX-License-Identifier: Apache-2.0

from functools import cache

from vesalius.measure import (
    _diameters,
    _distance_shape,
    _glcm,
    _gldzm,
    _glrlm,
    _glszm,
    _histogram,
    _ivh,
    _local_intensity,
    _morphology,
    _ngldm,
    _ngtdm,
    _pet,
    _shape_2d,
    _statistics,
)
from vesalius.measure._feature import Feature


def catalogue() -> tuple[Feature, ...]:
    """List every feature that can be measured, in the order of the tables.

    Returns:
        IBSI-1's 174 features first, then those outside the standard (their ``code`` is empty).
    """
    return (
        *_morphology.FEATURES,
        *_local_intensity.FEATURES,
        *_statistics.FEATURES,
        *_histogram.FEATURES,
        *_ivh.FEATURES,
        *_glcm.FEATURES,
        *_glrlm.FEATURES,
        *_glszm.FEATURES,
        *_gldzm.FEATURES,
        *_ngtdm.FEATURES,
        *_ngldm.FEATURES,
        *_distance_shape.FEATURES,
        *_shape_2d.FEATURES,
        *_diameters.FEATURES,
        *_pet.FEATURES,
    )


@cache
def by_tag() -> dict[str, Feature]:
    """Give the catalogue as a mapping from tag to feature."""
    return {feature.tag: feature for feature in catalogue()}
