"""Origins: where each value of a configuration comes from."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vesalius.measure import Config
from vesalius.measure._config import profile_defaults

_PLAIN = ("ibsi", "other")
"""Profile and modality of a configuration that names neither."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One value of a configuration.

    Attributes:
        key: Dotted key, such as ``"discretise.bin_width"``.
        value: The value, JSON types.
        source: Who set it: the file, the profile, or nobody.
    """

    key: str
    value: object
    source: Literal["default", "profile", "file"]


def origins(config: Config, given: Mapping[str, object]) -> tuple[Origin, ...]:
    """Say of each value where it comes from.

    Args:
        config: The configuration as it is used.
        given: What the file says, as parsed; empty without a file.

    Returns:
        Every value, in the order of the schema.
    """
    used, named = _flat(config.model_dump(mode="json")), _flat(given)
    chosen = (config.profile, config.modality) != _PLAIN
    profile = _flat(profile_defaults(config.profile, config.modality)) if chosen else {}
    found = []
    for key, value in used.items():
        source: Literal["default", "profile", "file"] = "profile" if key in profile else "default"
        found.append(Origin(key, value, "file" if key in named else source))
    return tuple(found)


def given_keys(path: Path) -> dict[str, object]:
    """Read what a configuration file itself says, before defaults are filled in.

    Args:
        path: A file that ``load_config`` accepts.

    Returns:
        Its mapping; empty for an empty file. Of a parameter file of PyRadiomics, what it says
        beyond the defaults there.
    """
    import yaml

    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    given = dict(given) if isinstance(given, Mapping) else {}
    if not set(given) & {"setting", "featureClass", "imageType"}:
        return given
    from vesalius.measure.compat._profile import as_profile

    base = profile_defaults("pyradiomics", None) | as_profile({"setting": {}})
    return _beyond(as_profile(given), base)


def _beyond(tree: Mapping[str, object], base: Mapping[str, object]) -> dict[str, object]:
    """What one mapping says that the other does not."""
    found: dict[str, object] = {}
    for key, value in tree.items():
        other = base.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found |= {key: below} if (below := _beyond(value, other)) else {}
        elif value != other:
            found[key] = value
    return found


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
