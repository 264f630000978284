"""Erratum 18: 1,000 rules, an error of .01 and a risk of .05 need 991 cases, not 990."""

import math

import pytest

from vesalius.predict.validate import pac_sample_size


def test_a_bound_is_rounded_up():
    bound = math.log(1000 / 0.05) / 0.01
    assert bound == pytest.approx(990.35, abs=0.005)
    cases = pac_sample_size(1000, error=0.01, risk=0.05)
    assert cases == 991
    assert 1000 * math.exp(-0.01 * cases) <= 0.05 < 1000 * math.exp(-0.01 * 990)


def test_without_a_rule_free_of_error_it_is_52984():
    cases = pac_sample_size(1000, error=0.01, risk=0.05, agnostic=True)
    assert cases == 52_984
    assert 2 * 1000 * math.exp(-2 * cases * 0.01**2) <= 0.05
    assert 2 * 1000 * math.exp(-2 * (cases - 1) * 0.01**2) > 0.05
