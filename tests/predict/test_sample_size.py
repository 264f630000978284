"""Sample size: the published worked examples, and what more or less to ask for does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.predict.validate import (
    cox_snell_of_auc,
    pac_sample_size,
    sample_size_binary,
    sample_size_number,
    sample_size_survival,
)

RISK, SHRUNK = "the overall risk within 0.05", "a shrinkage of 0.9 or more"
OPTIMISM, MEAN = "an optimism of R2 of 0.05 or less", "risks within 0.05 on average"


def test_agrees_with_the_published_example_of_an_event():
    """Riley et al. (2019), doi:10.1002/sim.7992: 24 parameters, R2 .288, 17.4 % with the event."""
    found = sample_size_binary(24, share=0.174, r2_cox_snell=0.288)
    assert found.criteria[SHRUNK] == 623
    assert found.criteria[OPTIMISM] == 662
    assert found.criteria[RISK] == 221


def test_agrees_with_the_published_example_of_a_rare_event():
    """Riley et al. (2020), doi:10.1136/bmj.m441: 30 parameters, 5 % with the event, R2 .05."""
    found = sample_size_binary(30, share=0.05, r2_cox_snell=0.05)
    assert found.criteria[RISK] == 73
    assert found.criteria[MEAN] == 544
    assert found.criteria[SHRUNK] == found.cases == 5249
    assert found.events == 263
    assert found.decided_by == SHRUNK
    assert found.text.startswith("At least 5249 cases (263 with the event) are needed for")


def test_agrees_with_the_published_example_of_survival():
    """Riley et al. (2019): 30 parameters, R2 .051, .065 events a year, 2.07 years."""
    found = sample_size_survival(30, rate=0.065, mean_time=2.07, at=2.0, r2_cox_snell=0.051)
    assert found.criteria[SHRUNK] == found.cases == 5143
    assert found.criteria[OPTIMISM] == 1039
    assert found.events == 692


def test_agrees_with_the_published_example_of_a_number():
    """Riley et al. (2019), doi:10.1002/sim.7993: 25 parameters, adjusted R2 .2."""
    found = sample_size_number(25, r2=0.2)
    assert tuple(found.criteria.values()) == (918, 401, 259)
    assert found.cases == 918
    assert found.events == 0
    assert "event" not in found.text


@pytest.mark.parametrize(("auc", "share"), [(0.7, 0.3), (0.85, 0.1), (0.9, 0.5)])
def test_r2_of_an_auc_agrees_with_a_simulation(auc, share):
    from scipy.stats import norm
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    events = np.arange(200_000) < share * 200_000
    x = rng.normal(size=200_000) + np.sqrt(2) * norm.ppf(auc) * events
    model = LogisticRegression(C=np.inf).fit(x[:, None], events)
    p = np.clip(model.predict_proba(x[:, None])[:, 1], 1e-12, 1 - 1e-12)
    fitted = np.mean(np.where(events, np.log(p), np.log(1 - p)))
    null = share * np.log(share) + (1 - share) * np.log(1 - share)
    expected = 1 - np.exp(-2 * (fitted - null))
    assert cox_snell_of_auc(auc, share=share) == pytest.approx(expected, abs=0.004)


def test_without_a_guess_r2_is_15_percent_of_the_greatest():
    greatest = 1 - (0.3**0.3 * 0.7**0.7) ** 2
    by_hand = sample_size_binary(10, share=0.3, r2_cox_snell=0.15 * greatest)
    assert sample_size_binary(10, share=0.3) == by_hand


@given(parameters=st.integers(1, 60), share=st.floats(0.05, 0.5), auc=st.floats(0.6, 0.95))
def test_more_parameters_and_worse_models_need_more(parameters, share, auc):
    found = sample_size_binary(parameters, share=share, auc=auc)
    more = sample_size_binary(parameters + 1, share=share, auc=auc)
    worse = sample_size_binary(parameters, share=share, auc=auc - 0.05)
    for name in (SHRUNK, OPTIMISM):
        assert found.criteria[name] <= more.criteria[name]
        assert found.criteria[name] <= worse.criteria[name]
    assert found.cases == max(found.criteria.values())
    assert (MEAN in found.criteria) == (parameters <= 30)


@given(r2=st.floats(0.05, 0.85), parameters=st.integers(3, 60))
def test_a_number_needs_the_least_cases_that_shrink_no_more(r2, parameters):
    found = sample_size_number(parameters, r2=r2)
    n = found.criteria[SHRUNK]

    def shrinkage(cases):
        apparent = (r2 * (cases - parameters - 1) + parameters) / (cases - 1)
        return 1 + (parameters - 2) / (cases * np.log(1 - apparent))

    assert shrinkage(n) >= 0.9
    assert n == parameters + 2 or shrinkage(n - 1) < 0.9


def test_a_radiomics_table_asks_for_more_cases_than_anybody_has():
    assert sample_size_binary(984, share=0.54, auc=0.7).cases > 40_000


def test_survival_guesses_r2_too_and_frequent_events_allow_any():
    rare = sample_size_survival(5, rate=0.05, mean_time=2.0, at=1.0)
    assert rare.cases > 100
    often = sample_size_survival(5, rate=3.0, mean_time=2.0, at=0.2)
    assert 0 < often.cases < rare.cases
    assert often.events == often.cases


def test_a_perfect_model_needs_little():
    assert (
        sample_size_binary(5, share=0.5, r2_cox_snell=0.74, shrinkage=0.7).criteria[
            "a shrinkage of 0.7 or more"
        ]
        == 7
    )


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_refuses_what_is_no_share(wrong):
    with pytest.raises(ConfigError, match="must be above 0 and below 1"):
        pac_sample_size(10, error=wrong, risk=0.05)
    with pytest.raises(ConfigError, match="must be above 0 and below 1"):
        sample_size_binary(10, share=wrong)
    with pytest.raises(ConfigError, match="must be above 0 and below 1"):
        sample_size_number(10, r2=wrong)
    with pytest.raises(ConfigError, match="must be above 0 and below 1"):
        sample_size_number(10, r2=0.5, shrinkage=wrong)


def test_refuses_no_rule():
    with pytest.raises(ConfigError, match="hypotheses must be 1 or more"):
        pac_sample_size(0, error=0.1, risk=0.1)


def test_refuses_no_parameter():
    with pytest.raises(ConfigError, match="parameters must be 1 or more"):
        sample_size_binary(0, share=0.5)


@pytest.mark.parametrize("r2", [0.7, -0.1])
def test_refuses_an_r2_that_cannot_be(r2):
    with pytest.raises(ConfigError, match="R2 of Cox and Snell must be above 0 and below"):
        sample_size_binary(10, share=0.1, r2_cox_snell=r2)


@pytest.mark.parametrize("auc", [0.5, 1.0, 0.3])
def test_refuses_an_auc_of_no_model(auc):
    with pytest.raises(ConfigError, match=r"auc must be above 0.5 and below 1"):
        cox_snell_of_auc(auc, share=0.3)


def test_refuses_times_that_are_not_positive():
    with pytest.raises(ConfigError, match="rate and times must be positive"):
        sample_size_survival(5, rate=0.0, mean_time=1.0, at=1.0)
