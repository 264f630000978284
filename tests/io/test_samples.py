"""Samples between NumPy and torch: nothing lost, nothing shared with a file."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import FormatError
from vesalius.io._samples import to_numpy, to_tensor

KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"]


@given(kind=st.sampled_from(KINDS), order=st.sampled_from("<>"), seed=st.integers(0, 9))
def test_keeps_every_value_in_either_byte_order(kind: str, order: str, seed: int) -> None:
    raw = np.random.default_rng(seed).bytes(8 * 24)
    array = np.nan_to_num(np.frombuffer(raw, order + kind)[:24])
    tensor = to_tensor(array)
    assert tensor.tolist() == array.tolist()
    assert np.array_equal(to_numpy(tensor), array)


def test_hands_over_memory_of_its_own() -> None:
    array = np.zeros(3, np.int16)
    array.flags.writeable = False
    to_tensor(array)[0] = 1
    assert array[0] == 0


def test_refuses_values_beyond_int64() -> None:
    assert to_tensor(np.array([2**63 - 1], np.uint64)).tolist() == [2**63 - 1]
    with pytest.raises(FormatError, match="uint64 samples must fit int64, the largest is 92233"):
        to_tensor(np.array([2**63], np.uint64))


def test_refuses_types_without_a_place() -> None:
    with pytest.raises(
        FormatError, match="samples must be integer, float32 or float64 to be saved"
    ):
        to_numpy(torch.zeros(2, dtype=torch.bfloat16))
