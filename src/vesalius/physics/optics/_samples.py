"""What the samples must be that an optical operator takes."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor

from vesalius.errors import UnitError


def check_samples(x: Tensor) -> None:
    """Refuse whole numbers and half precision.

    Args:
        x: What came.

    Raises:
        UnitError: ``x`` is not of single or double precision, real or complex.
    """
    if x.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise UnitError(
            f"input of an optical operator must be float32 or float64, or complex of these, got "
            f"{x.dtype}: cast it with .float()"
        )
