"""vesalius: from raw measurement to measured anatomy.

acquire -> reconstruct -> enhance -> register -> segment -> measure -> predict -> report, in one
physical space. Research use only, not a medical device.
"""
# SPDX-License-Identifier: Apache-2.0

import importlib

from vesalius._version import __version__

_STAGES = (
    "enhance",
    "io",
    "measure",
    "predict",
    "reconstruct",
    "register",
    "segment",
    "study",
)
_NAMES = {
    "Grid": "vesalius.core",
    "Image": "vesalius.core",
    "Labels": "vesalius.core",
    "Transform": "vesalius.core",
    "open": "vesalius.io",
    "save": "vesalius.io",
    "scan": "vesalius.io",
}

__all__ = [
    "Grid",
    "Image",
    "Labels",
    "Transform",
    "__version__",
    "enhance",
    "io",
    "measure",
    "open",
    "predict",
    "reconstruct",
    "register",
    "save",
    "scan",
    "segment",
    "study",
]


def __getattr__(name: str) -> object:
    if name in _STAGES:
        return importlib.import_module(f"vesalius.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'vesalius' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
