"""Fixtures of this room."""

import pytest
from phantoms_io import make_phantom

from vesalius.core import Image


@pytest.fixture
def phantom() -> Image:
    """The asymmetric phantom, int16."""
    return make_phantom()
