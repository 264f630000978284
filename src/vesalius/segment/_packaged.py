"""Packaged: the trained models that come with the library, by name, offline."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

from vesalius.errors import ConfigError
from vesalius.segment._model import Model
from vesalius.segment._store import load_model

_WEIGHTS = Path(__file__).parent / "weights"


def packaged_models() -> tuple[str, ...]:
    """Name the models that come with the library."""
    return tuple(sorted(path.parent.name for path in _WEIGHTS.glob("*/model.json")))


def load_packaged(name: str) -> Model:
    """Read a model that comes with the library; each has a card and a licence of its own.

    Args:
        name: One of :func:`packaged_models`, such as ``"nuclei"``.

    Returns:
        The model, on the CPU, in evaluation mode.

    Raises:
        ConfigError: There is no such model.
    """
    if name not in packaged_models():
        raise ConfigError(
            f"a packaged model must be one of {', '.join(packaged_models())}, got {name!r}: a "
            "model of your own is the folder that 'vesalius train run' wrote"
        )
    return load_model(_WEIGHTS / name)
