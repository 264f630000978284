"""Origins: where each value of a configuration comes from."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vesalius.measure import Config


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
    used, plain, named = (_flat(x) for x in (config.model_dump(mode="json"), _plain(), given))
    found = []
    for key, value in used.items():
        changed = value != plain.get(key)
        source: Literal["default", "profile", "file"] = "profile" if changed else "default"
        found.append(Origin(key, value, "file" if key in named else source))
    return tuple(found)


def given_keys(path: Path) -> dict[str, object]:
    """Read what a configuration file itself says, before defaults are filled in.

    Args:
        path: A file that ``load_config`` accepts.

    Returns:
        Its mapping; empty for an empty file.
    """
    import yaml

    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    return dict(given) if isinstance(given, Mapping) else {}


def _plain() -> dict[str, object]:
    dumped: dict[str, object] = Config().model_dump(mode="json")
    return dumped


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
