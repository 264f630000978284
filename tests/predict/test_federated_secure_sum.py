"""Secure sum: alone each message looks random, together they are the exact sum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import IntensityError, NetworkError
from vesalius.predict import _secure_sum as secure
from vesalius.predict.federate import Masks


def met(*names):
    """Give the masks of clients that exchanged keys."""
    masks = [Masks(name) for name in names]
    keys = dict(zip(names, (one.public for one in masks), strict=True))
    for one in masks:
        one.meet(keys)
    return masks


@given(st.lists(st.floats(-(2.0**51), 2.0**51), min_size=1, max_size=5))
def test_fixed_point_comes_back(values):
    back = secure.from_limbs(secure.to_limbs(np.array(values)))
    np.testing.assert_allclose(back, values, rtol=2**-52, atol=2**-64)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=6))
def test_the_sum_is_exact(values):
    """Python's fsum rounds the exact sum once; so does ours, down to what 2^-64 resolves."""
    limbs = [secure.to_limbs(np.array([one])) for one in values]
    found = secure.total(limbs, clients=len(limbs))
    np.testing.assert_allclose(found, [math.fsum(values)], rtol=2**-52, atol=2**-60)


def test_does_not_depend_on_the_order_of_clients():
    values = np.array([1e15, 1.0, -1e15, 2.0**-60])
    limbs = [secure.to_limbs(np.array([one])) for one in values]
    up = secure.total(limbs, clients=4)
    down = secure.total(limbs[::-1], clients=4)
    assert up.tolist() == down.tolist() == [1.0]


def test_rounds_a_fraction_that_carries_into_the_whole():
    value = np.array([-(2.0**-70)])
    assert secure.from_limbs(secure.to_limbs(value)).tolist() == [0.0]


@pytest.mark.parametrize("clients", [2, 3, 5])
def test_masks_cancel(clients, generator):
    import torch

    masks = met(*(f"client {k}" for k in range(clients)))
    values = torch.randn(clients, 4, 3, generator=generator, dtype=torch.float64).numpy() * 1e6
    covered = [one.cover(v, "7/x") for one, v in zip(masks, values, strict=True)]
    exact = [[math.fsum(values[:, i, j]) for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(secure.total(covered, clients=clients), exact, rtol=2**-51)


def test_takes_a_single_number():
    a, b = met("a", "b")
    both = [a.cover(np.array(1.5), "1"), b.cover(np.array(-4.0), "1")]
    assert secure.total(both, clients=2) == -2.5


def test_one_message_alone_looks_uniform():
    """Chi-squared of the 256 values of a byte: 255 degrees, 1 in 10,000 lies outside."""
    a, _ = met("a", "b")
    sent = a.cover(np.zeros(20_000), "1").tobytes()
    counts = np.bincount(np.frombuffer(sent, np.uint8), minlength=256)
    expected = len(sent) / 256
    assert 176 < float(((counts - expected) ** 2 / expected).sum()) < 349


def test_the_same_numbers_look_different_under_another_label():
    a, _ = met("a", "b")
    first, second = a.cover(np.ones(100), "1"), a.cover(np.ones(100), "2")
    assert not (first == second).any()


def test_what_is_sent_says_nothing_of_the_value():
    """Two values under equal masks differ by the values alone: the masks are what hides them."""
    a, b = met("a", "b")
    sent = a.cover(np.array([3.25]), "1")
    other = b.cover(np.array([0.0]), "1")
    assert secure.from_limbs(sent)[0] != 3.25
    assert secure.total([sent, other], clients=2).tolist() == [3.25]


def test_refuses_a_sum_with_a_client_missing():
    masks = met("a", "b", "c")
    covered = [one.cover(np.ones(2), "1") for one in masks]
    with pytest.raises(NetworkError, match="an answer of each of 3 clients, got 2"):
        secure.total(covered[:2], clients=3)


def test_refuses_a_label_twice():
    a, _ = met("a", "b")
    a.cover(np.ones(1), "1")
    with pytest.raises(NetworkError, match="a label of its own"):
        a.cover(np.ones(1), "1")


def test_refuses_to_cover_before_it_met():
    with pytest.raises(NetworkError, match="must have keys and a label"):
        Masks("a").cover(np.ones(1), "1")


def test_refuses_to_be_alone_or_to_have_its_key_changed():
    a, b = Masks("a"), Masks("b")
    with pytest.raises(NetworkError, match="two clients or more and the key"):
        a.meet({"a": a.public})
    with pytest.raises(NetworkError, match="two clients or more and the key"):
        a.meet({"a": b.public, "b": b.public})


@pytest.mark.parametrize("key", ["1", "0", f"{secure.PRIME - 1:x}", "no number"])
def test_refuses_a_key_that_would_give_away_the_masks(key):
    a = Masks("a")
    with pytest.raises(NetworkError, match="a public key must be a number between"):
        a.meet({"a": a.public, "b": key})


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**52, -(2.0**60)])
def test_refuses_numbers_that_would_wrap_around(value):
    with pytest.raises(IntensityError, match="must be below 2\\^52"):
        secure.to_limbs(np.array([1.0, value]))


def test_the_group_is_that_of_rfc_3526():
    """Section 3: 2^2048 - 2^1984 - 1 + 2^64 ([2^1918 pi] + 124476), a safe prime."""
    whole = pi_times_two_to(1918)
    assert 2**2048 - 2**1984 - 1 + 2**64 * (whole + 124476) == secure.PRIME
    assert likely_prime(secure.PRIME)
    assert likely_prime((secure.PRIME - 1) // 2)


def pi_times_two_to(bits):
    """Machin: pi = 16 arctan(1/5) - 4 arctan(1/239), in whole numbers with 64 bits to spare."""

    def arctan(inverse):
        one = 1 << (bits + 64)
        power, total, sign, k = one // inverse, 0, 1, 1
        while power:
            total += sign * (power // k)
            power //= inverse**2
            sign, k = -sign, k + 2
        return total

    return (16 * arctan(5) - 4 * arctan(239)) >> 64


def likely_prime(n):
    """Miller and Rabin, with the first bases."""
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for base in (2, 3, 5, 7):
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True
