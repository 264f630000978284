"""Typed: a mapping of a file as the settings of a dataclass, strictly."""
# SPDX-License-Identifier: Apache-2.0

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vesalius.errors import ConfigError

_T = TypeVar("_T")


def typed(cls: type[_T], said: object, where: str) -> _T:
    """Build a dataclass from what a file says of its settings.

    Args:
        cls: A dataclass whose settings are whole numbers, numbers, texts, switches, choices,
            tuples of these, or such dataclasses.
        said: A mapping; settings that it does not name keep their defaults.
        where: Of the file, for messages, such as ``steps[2].scale``.

    Returns:
        The dataclass.

    Raises:
        ConfigError: A key is unknown (the nearest is named) or a value has the wrong type.
    """
    if not isinstance(said, Mapping):
        raise ConfigError(
            f"{where} must be a mapping of settings, got {_shown(said)}: write 'name: value' lines"
        )
    kinds = get_type_hints(cls)
    known = [one.name for one in fields(cls) if one.init]  # type: ignore[arg-type]
    check_keys(said, known, where)
    return cls(**{k: _value(v, kinds[k], f"{where}.{k}") for k, v in said.items()})


def check_keys(said: Mapping[Any, object], known: list[str], where: str) -> None:
    """Refuse a key that is not known.

    Args:
        said: What a file says.
        known: Keys that may occur.
        where: Of the file.

    Raises:
        ConfigError: There is another one; the nearest known is named.
    """
    for key in said:
        if key not in known:
            near = get_close_matches(str(key), known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or '-'}"
            raise ConfigError(f"{where} must hold known keys, got {key!r}: {hint}")


def plain(value: Any) -> Any:
    """Give settings as JSON types: tuples as lists, dataclasses as mappings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value) if one.init}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return value


def _value(said: object, kind: Any, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return typed(kind, said, where)
    if get_origin(kind) in (Union, types.UnionType):
        return _first(said, get_args(kind), where)
    if get_origin(kind) is Literal:
        return _choice(said, get_args(kind), where)
    if get_origin(kind) is tuple:
        return _row(said, get_args(kind), where)
    if kind is float and isinstance(said, int | float) and not isinstance(said, bool):
        if not math.isfinite(said):
            raise ConfigError(f"{where} must be a finite number, got {said}")
        return float(said)
    if kind in (int, bool, str) and type(said) is kind:
        return said
    hint = "; write it with a point, such as 1.0e-3" if kind is float else ""
    hint = "; put it in quotes" if kind is str else hint
    raise ConfigError(f"{where} must be {_called(kind)}, got {_shown(said)}{hint}")


def _first(said: object, kinds: tuple[Any, ...], where: str) -> Any:
    for kind in kinds:
        try:
            return _value(said, kind, where)
        except ConfigError:
            continue
    words = [word for kind in kinds for word in get_args(kind)]
    raise ConfigError(f"{where} must be one of {words}, got {_shown(said)}")


def _choice(said: object, words: tuple[Any, ...], where: str) -> Any:
    for word in words:
        if type(word) is type(said) and word == said:
            return word
    near = get_close_matches(str(said), [str(word) for word in words], n=1, cutoff=0.4)
    hint = f": did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"{where} must be one of {', '.join(map(str, words))}, got {_shown(said)}{hint}"
    )


def _row(said: object, inner: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(said, list | tuple):
        raise ConfigError(f"{where} must be a list, got {_shown(said)}: write [{_shown(said)}]")
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_value(one, inner[0], f"{where}[{k}]") for k, one in enumerate(said))
    if len(said) != len(inner):
        raise ConfigError(f"{where} must have {len(inner)} entries, got {len(said)}")
    pairs = zip(said, inner, strict=True)
    return tuple(_value(one, kind, f"{where}[{k}]") for k, (one, kind) in enumerate(pairs))


def _called(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind, "a setting that a file can hold")


def _shown(said: object) -> str:
    text = repr(said)
    return text if len(text) <= 60 else f"{text[:57]}..."
