"""Words: what a method is called in the shell, and its settings as a person writes them."""
# SPDX-License-Identifier: Apache-2.0

import importlib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from vesalius.errors import ConfigError
from vesalius.segment import Method

METHODS: Mapping[str, tuple[str, str]] = {
    "fixed": ("threshold", "Fixed"),
    "otsu": ("threshold", "Otsu"),
    "multi-otsu": ("threshold", "MultiOtsu"),
    "li": ("threshold", "Li"),
    "yen": ("threshold", "Yen"),
    "entropy": ("threshold", "MaximumEntropy"),
    "isodata": ("threshold", "Isodata"),
    "valley": ("threshold", "Valley"),
    "local": ("threshold", "Local"),
    "grow": ("regions", "RegionGrowing"),
    "canny": ("regions", "Canny"),
    "watershed": ("regions", "Watershed"),
    "walker": ("regions", "RandomWalker"),
    "snake": ("contours", "Snake"),
    "levelset": ("contours", "ChanVese"),
    "geodesic": ("contours", "GeodesicContour"),
    "drlse": ("contours", "DistanceRegularised"),
    "multiphase": ("contours", "MultiPhase"),
    "kmeans": ("graphs", "KMeans"),
    "mixture": ("graphs", "GaussianMixture"),
    "spectral": ("graphs", "SpectralClusters"),
    "ncut": ("graphs", "NormalisedCut"),
    "superpixels": ("graphs", "Supervoxels"),
    "graphcut": ("graphs", "GraphCut"),
    "crf": ("graphs", "DenseCrf"),
    "pixels": ("pixels", "Pixels"),
    "distance": ("instances", "DistanceWatershed"),
}
"""Sub-room and class of each word; a class is loaded when its word is used."""


_SWITCH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a method.

    Attributes:
        name: As it is written.
        default: As it is written.
        choices: The words that are allowed; empty for numbers.
    """

    name: str
    default: str
    choices: tuple[str, ...] = ()


def method_class(word: str) -> type[Method]:
    """Give the class of a word.

    Args:
        word: A key of ``METHODS``.

    Returns:
        The class.

    Raises:
        ConfigError: There is no such word.
    """
    if word not in METHODS:
        raise ConfigError(
            f"a method must be one of {', '.join(METHODS)}, got {word!r}: 'vesalius segment "
            "methods' lists them with their settings"
        )
    room, name = METHODS[word]
    found = getattr(importlib.import_module(f"vesalius.segment.{room}"), name)
    return cast(type[Method], found)


def purpose(word: str) -> str:
    """Say in one sentence what a method does.

    Args:
        word: A key of ``METHODS``.

    Returns:
        The first sentence of its description.
    """
    text = method_class(word).__doc__ or ""
    return " ".join(text.strip().split("\n\n")[0].replace("``", "").split())


def settings(cls: type[Any]) -> tuple[Setting, ...]:
    """List the settings of a method.

    Args:
        cls: A frozen dataclass.

    Returns:
        In the order of its fields; those that cannot be written in a shell are left out.
    """
    kinds = get_type_hints(cls)
    return tuple(
        Setting(f.name, _written(_default(f)), _choices(kinds[f.name]))
        for f in fields(cls)
        if _plain(kinds[f.name])
    )


def build(cls: type[Any], said: Mapping[str, str]) -> Any:
    """Build a method from its settings as a person wrote them.

    Args:
        cls: A frozen dataclass whose fields are numbers, words, switches, or rows of them.
        said: Name and text of each setting; the others keep their defaults.

    Returns:
        The method.

    Raises:
        ConfigError: A name is unknown, or a text cannot be read.
    """
    known = {one.name for one in settings(cls)}
    kinds = get_type_hints(cls)
    unknown = sorted(set(said) - known)
    if unknown:
        raise ConfigError(
            f"{cls.__name__} has the settings {', '.join(sorted(known)) or '(none)'}, "
            f"got {', '.join(unknown)}"
        )
    return cls(**{name: _read(name, text, kinds[name]) for name, text in said.items()})


def _default(one: "Field[Any]") -> object:
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else ""


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(_written(x) for x in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return tuple(str(word) for word in get_args(kind))
    found = [word for part in _parts(kind) for word in _choices(part)]
    return tuple(found)


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()


def _plain(kind: Any) -> bool:
    if get_origin(kind) is Literal or kind in (int, float, bool, str):
        return True
    if get_origin(kind) is tuple:
        return all(part is Ellipsis or _plain(part) for part in get_args(kind))
    return bool(_parts(kind)) and all(_plain(part) for part in _parts(kind))


def _read(name: str, text: str, kind: Any) -> Any:
    for part in _parts(kind) or (kind,):
        try:
            return _value(text.strip(), part)
        except ValueError:
            continue
    words = _choices(kind)
    wanted = f"one of {', '.join(words)}" if words else _named(kind)
    raise ConfigError(f"{name} must be {wanted}, got {text!r}")


def _value(text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        for word in get_args(kind):
            if str(word) == text:
                return word
        raise ValueError(text)
    if get_origin(kind) is tuple:
        words, inner = text.replace(";", ",").split(",") if text else [], get_args(kind)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_value(word.strip(), inner[0]) for word in words)
        return tuple(_value(w.strip(), part) for w, part in zip(words, inner, strict=True))
    if kind is bool:
        if text.lower() not in _SWITCH:
            raise ValueError(text)
        return _SWITCH[text.lower()]
    return kind(text)


def _length(kind: Any) -> str:
    inner = get_args(kind)
    return "numbers" if Ellipsis in inner else f"{len(inner)} numbers"


def _named(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"{_length(kind)} with commas between"
    return {int: "a whole number", float: "a number", bool: "yes or no"}.get(kind, "text")
