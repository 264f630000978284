"""Map names: which features the names of voxel-wise maps stand for."""
# SPDX-License-Identifier: Apache-2.0

import difflib
from typing import NamedTuple

from vesalius.errors import ConfigError
from vesalius.measure._catalogue import by_tag
from vesalius.measure._feature import DIRECTIONAL, ZONAL, Aggregation, Family

MAPPED: frozenset[Family] = frozenset(
    {"statistics", "histogram", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"}
)
"""Families that can be mapped: all that need no shape."""


class Wanted(NamedTuple):
    """A feature in one aggregation; ``""`` where it has none."""

    tag: str
    aggregation: Aggregation

    @property
    def key(self) -> str:
        """Tag and aggregation in one word, such as ``"cm_contrast_3D_comb"``."""
        return f"{self.tag}_{self.aggregation}" if self.aggregation else self.tag


def resolve_maps(
    names: tuple[str, ...], aggregations: tuple[Aggregation, ...]
) -> tuple[Wanted, ...]:
    """Find the features that names of maps stand for.

    Args:
        names: Tags, or tags with an aggregation behind them.
        aggregations: What a tag alone stands for, of those that its family has.

    Returns:
        Each feature with one aggregation, in the order of the names, none twice.

    Raises:
        ConfigError: A feature is not known, cannot be mapped, or has none of the aggregations.
    """
    known = {tag: feature for tag, feature in by_tag().items() if feature.family in MAPPED}
    every = {Wanted(tag, a).key: Wanted(tag, a) for tag in known for a in _aggregations(tag)}
    wanted: list[Wanted] = []
    for name in names:
        if name in known:
            some = [Wanted(name, a) for a in _aggregations(name) if a in ("", *aggregations)]
        elif name in every:
            some = [every[name]]
        else:
            raise ConfigError(_unknown(name, (*known, *every)))
        if not some:
            has = ", ".join(_aggregations(name))
            raise ConfigError(
                f"feature '{name}' needs one of the aggregations {has} to be mapped, "
                f"features.aggregations has {', '.join(aggregations) or 'none'}: add one, "
                f"or name it as in '{name}_{_aggregations(name)[-1]}'"
            )
        wanted += some
    return tuple(dict.fromkeys(wanted))


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if name in by_tag():
        return (
            f"feature '{name}' cannot be mapped: maps are made of statistics, histogram and texture"
        )
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "'vesalius features' lists them"
    return f"features to map must be IBSI tags, '{name}' is none: {hint}"


def _aggregations(tag: str) -> tuple[Aggregation, ...]:
    family = by_tag()[tag].family
    if family in ("glcm", "glrlm"):
        return DIRECTIONAL
    return ZONAL if family not in ("statistics", "histogram") else ("",)
