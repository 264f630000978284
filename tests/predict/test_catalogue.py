"""Catalogue: a word means one class, and no file can name another."""

import pytest

from vesalius.errors import ConfigError
from vesalius.predict import Estimator, Step
from vesalius.predict._catalogue import ESTIMATORS, STEPS, class_of, estimator_class, step_class


@pytest.mark.parametrize("word", STEPS)
def test_every_word_of_a_step_means_one(word):
    assert issubclass(step_class(word), Step)
    assert class_of(word).word == word


@pytest.mark.parametrize("word", ESTIMATORS)
def test_every_word_of_an_estimator_means_one(word):
    assert issubclass(estimator_class(word), Estimator)
    assert class_of(word).word == word


def test_names_the_nearest_of_an_unknown_word():
    with pytest.raises(ConfigError, match="got 'redundant': did you mean 'redundancy'"):
        class_of("redundant")


@pytest.mark.parametrize("word", ["os.system", "xyzzy", "", "_scale"])
def test_no_other_name_loads_anything(word):
    with pytest.raises(ConfigError, match="a step or an estimator must have a known word"):
        class_of(word)


def test_refuses_an_estimator_as_a_step():
    with pytest.raises(ConfigError, match=r"a step must be one of .*got the estimator 'lasso'"):
        step_class("lasso")


def test_refuses_a_step_as_an_estimator():
    with pytest.raises(ConfigError, match=r"an estimator must be one of .*got the step 'scale'"):
        estimator_class("scale")
