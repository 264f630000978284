"""Words: every method has one, and its settings are read from text or refused with reasons."""

from dataclasses import dataclass
from typing import Literal

import pytest

from vesalius.errors import ConfigError
from vesalius.study.segment import METHODS, Job, build, method_class, purpose, settings


@dataclass(frozen=True, slots=True)
class Made:
    """A method with one setting of each kind."""

    steps: int = 3
    radius_mm: float = 2.5
    shape: Literal["ball", "box"] = "ball"
    inverted: bool = False
    scales_mm: tuple[float, ...] = (1.0, 2.0)
    size: tuple[int, int] = (4, 5)
    k: int | Literal["auto"] = "auto"


@pytest.mark.parametrize("word", METHODS)
def test_each_word_names_a_method_that_says_what_it_does(word):
    cls = method_class(word)
    assert build(cls, {}) == cls()
    assert purpose(word).endswith(".")
    assert "`" not in purpose(word)


def test_settings_are_listed_with_defaults_and_choices():
    listed = {one.name: (one.default, one.choices) for one in settings(Made)}
    assert listed["radius_mm"] == ("2.5", ())
    assert listed["shape"] == ("ball", ("ball", "box"))
    assert listed["inverted"] == ("no", ())
    assert listed["scales_mm"] == ("1,2", ())
    assert listed["k"] == ("auto", ("auto",))


def test_each_kind_of_setting_is_read():
    said = {
        "steps": "7",
        "radius_mm": "1e-3",
        "shape": "box",
        "inverted": "Yes",
        "scales_mm": "1,4.5",
        "size": "6, 7",
        "k": "12",
    }
    assert build(Made, said) == Made(7, 1e-3, "box", True, (1.0, 4.5), (6, 7), 12)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("steps", "2.5", "steps must be a whole number, got '2.5'"),
        ("radius_mm", "wide", "radius_mm must be a number, got 'wide'"),
        ("shape", "star", "shape must be one of ball, box, got 'star'"),
        ("inverted", "perhaps", "inverted must be yes or no, got 'perhaps'"),
        ("scales_mm", "1;x", "scales_mm must be numbers with commas between"),
        ("size", "1,2,3", "size must be 2 numbers with commas between"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused(name, text, wanted):
    with pytest.raises(ConfigError, match=wanted):
        build(Made, {name: text})


def test_an_unknown_setting_or_word_is_refused():
    with pytest.raises(ConfigError, match=r"Made has the settings .*radius_mm.* got colour"):
        build(Made, {"colour": "red"})
    with pytest.raises(ConfigError, match="a method must be one of fixed, otsu"):
        method_class("magic")


def test_a_job_has_either_a_method_or_a_model():
    with pytest.raises(ConfigError, match="either a method or a model must be given"):
        Job()
    with pytest.raises(ConfigError, match="got method 'otsu' and model 'nuclei'"):
        Job("otsu", "nuclei")
    assert Job(model="/somewhere/mine").to_json()["model"] == "mine"
