"""Messages between hospitals: numbers and JSON come back as they were, and nothing else passes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vesalius.errors import FormatError
from vesalius.predict.federate import Message, pack, unpack

ARRAYS = hnp.arrays(
    st.sampled_from([np.float64, np.int64, np.uint64]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.text(max_size=4), ARRAYS, max_size=3),
    st.dictionaries(st.text(max_size=4), JSON, max_size=3),
)
def test_comes_back_bit_for_bit(arrays, words):
    back = unpack(pack(Message("ask", arrays, words)))
    assert back.ask == "ask"
    assert back.words == words
    assert list(back.arrays) == list(arrays)
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == array.tobytes()


def test_reads_a_transposed_array_in_order():
    array = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(unpack(pack(Message("a", {"x": array}))).arrays["x"], array)


def test_reads_numbers_of_the_other_byte_order():
    array = np.arange(3.0).astype(">f8")
    np.testing.assert_array_equal(unpack(pack(Message("a", {"x": array}))).arrays["x"], array)


def test_gives_arrays_that_can_be_written_to():
    back = unpack(pack(Message("a", {"x": np.zeros(2)})))
    back.arrays["x"][0] = 1.0
    assert back.arrays["x"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, np.float32)])
def test_refuses_what_is_no_number_of_64_bits(array):
    with pytest.raises(FormatError, match="must hold numbers of 64 bits"):
        Message("a", {"x": array})


@pytest.mark.parametrize("words", [{"x": {1, 2}}, {"x": float("nan")}, {"x": np.float64(1)}])
def test_refuses_words_that_are_no_json(words):
    # a numpy float is a float, and passes
    if isinstance(words["x"], np.float64):
        assert unpack(pack(Message("a", {}, words))).words == {"x": 1.0}
        return
    with pytest.raises(FormatError, match="words of a message must be JSON"):
        pack(Message("a", {}, words))


def test_refuses_something_else():
    with pytest.raises(FormatError, match="a message must begin with"):
        unpack(b"\x80\x04\x95pickled data")


def test_refuses_a_broken_header():
    data = bytearray(pack(Message("a", {"x": np.zeros(2)})))
    data[20] = 0
    with pytest.raises(FormatError, match="the header of a message must be JSON"):
        unpack(bytes(data))


@pytest.mark.parametrize("cut", [-1, 1])
def test_refuses_a_wrong_length(cut):
    data = pack(Message("a", {"x": np.zeros(2)}))
    data = data[:cut] if cut < 0 else data + b"0"
    with pytest.raises(FormatError, match="bytes that its header tells"):
        unpack(data)


def made_up(arrays):
    """Give a message with a header of one's own."""
    text = json.dumps({"ask": "a", "words": {}, "arrays": arrays}).encode()
    return b"VSFED001" + len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize("entry", [["x", "|O", [1]], ["x", "<f4", [1]], ["x", "<f8", [-1]]])
def test_refuses_arrays_of_another_kind(entry):
    with pytest.raises(FormatError, match="arrays of a message must be one of"):
        unpack(made_up([entry]))


def test_refuses_an_array_larger_than_what_came_without_making_it():
    with pytest.raises(FormatError, match="bytes that its header tells"):
        unpack(made_up([["x", "<f8", [10**9, 10**9]]]))
