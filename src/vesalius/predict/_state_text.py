"""State text: what was learned as JSON types and arrays, and back, without loss."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import FormatError
from vesalius.predict._learned import Learned

Arrays = dict[str, NDArray[Any]]
_KINDS = "fiub"


def packed(value: Any, arrays: Arrays, name: str) -> Any:
    """Give a learned value as JSON types; arrays are put aside under a name.

    Args:
        value: A number, text, switch or array, or tuples, lists and mappings of these.
        arrays: Takes the arrays.
        name: Of the value.

    Returns:
        JSON types; what JSON lacks is a mapping with one key that begins with ``~``.

    Raises:
        FormatError: Something else was learned.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"~float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        arrays[name] = value
        return {"~array": name}
    if isinstance(value, tuple | list):
        rows = [packed(one, arrays, f"{name}.{k}") for k, one in enumerate(value)]
        return rows if isinstance(value, list) else {"~tuple": rows}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        pairs = enumerate(value.items())
        return {"~map": {k: packed(v, arrays, f"{name}.{n}") for n, (k, v) in pairs}}
    raise FormatError(
        f"a model must have learned numbers, texts and arrays of numbers alone, {name} is "
        f"{type(value).__name__}: copy out of it what prediction needs"
    )


def unpacked(said: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Give back what :func:`packed` was given.

    Args:
        said: JSON types.
        arrays: By name.

    Returns:
        The value.

    Raises:
        FormatError: An array is absent, or a mark is unknown.
    """
    if isinstance(said, list):
        return [unpacked(one, arrays) for one in said]
    if not isinstance(said, dict):
        return said
    mark, inner = next(iter(said.items()), ("", None))
    if mark == "~float":
        return float(str(inner))
    if mark == "~array" and isinstance(inner, str) and inner in arrays:
        return arrays[inner]
    if mark == "~tuple" and isinstance(inner, list):
        return tuple(unpacked(one, arrays) for one in inner)
    if mark == "~map" and isinstance(inner, dict):
        return {key: unpacked(value, arrays) for key, value in inner.items()}
    raise FormatError(f"a saved model must hold values of known kinds, got {mark!r}: {inner!r}")


def check_state(cls: type[Learned], state: Mapping[str, Any]) -> None:
    """Refuse a state that is not that of a class.

    Args:
        cls: A step or an estimator.
        state: By name.

    Raises:
        FormatError: A field is absent or unknown, or has another type than it is declared with; or
            trees lead nowhere.
    """
    kinds = get_type_hints(cls)
    wanted = [one.name for one in fields(cls) if not one.init]  # type: ignore[arg-type]
    if sorted(wanted) != sorted(state):
        raise FormatError(
            f"a saved {cls.word} must have learned {', '.join(wanted) or 'nothing'}, got "
            f"{', '.join(state) or 'nothing'}: it was saved by another version"
        )
    for name in wanted:
        kind = get_origin(kinds[name]) or kinds[name]
        if isinstance(kind, type) and not isinstance(state[name], _allowed(kind)):
            raise FormatError(
                f"{name} of a saved {cls.word} must be {kind.__name__}, got "
                f"{type(state[name]).__name__}: it was saved by another version, or is damaged"
            )
    if "nodes_" in wanted:
        from vesalius.predict._trees import check_nodes

        counts = [state[name] for name in ("count_", "features_") if name in wanted]
        check_nodes(state["nodes_"], *counts or [len(state["shares_"])])


def _allowed(kind: type) -> tuple[type, ...]:
    return (float, int) if kind is float else (kind,)
