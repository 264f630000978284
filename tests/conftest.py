"""Fixtures of the whole suite: run-time type checks, real data, devices."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# two processes that fill one empty cache of compiled kernels can spoil it: each has its own
if "PYTEST_XDIST_WORKER" in os.environ and "NUMBA_CACHE_DIR" in os.environ:
    own = Path(os.environ["NUMBA_CACHE_DIR"]) / os.environ["PYTEST_XDIST_WORKER"]
    os.environ["NUMBA_CACHE_DIR"] = str(own)

# the workers already share the cores: threads of each would only wait for those of the other
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("vesalius", "typecheck.typecheck")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

# the first example may compile a kernel; CI draws the same examples every time
settings.register_profile("house", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("house")

ROOT = Path(__file__).parent.parent


def data_root() -> Path | None:
    """Give the folder of real test data, or None where it is absent."""
    named = os.environ.get("VESALIUS_TEST_DATA")
    root = Path(named) if named else ROOT.parent / "shared" / "data"
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; skips with a reason where absent, fails where it is required."""
    root = data_root()
    if root is None:
        reason = "real test data absent: set VESALIUS_TEST_DATA to its folder"
        if os.environ.get("VESALIUS_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return root


@pytest.fixture
def generator() -> torch.Generator:
    """A generator with a fixed seed."""
    return torch.Generator().manual_seed(20261121)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests with a reason where there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, none here")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
