"""Recipe file: YAML or JSON, read strictly, written so that it reads back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.predict import Description, Recipe, Threshold, Tuning
from vesalius.predict._catalogue import ESTIMATORS, STEPS, class_of
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import (
    default_recipe,
    parse_recipe,
    read_recipe,
    recipe_from_json,
    recipe_hash,
    recipe_to_json,
)
from vesalius.predict.select import Impute, Redundancy, Scale, Variance
from vesalius.predict.validate import Split

WHOLE = """
description:
  outcome: Target
  kind: binary
  positive: "1"
  batch: scanner
  confounders: [age, sex]
features: ["original_*"]
leave_out: ["*_Elongation"]
steps:
  - impute
  - variance: {most_common: 0.9}
  - redundancy:
  - combat: {keep: [age]}
  - scale: {method: robust}
estimator: {elastic-net: {mix: 0.3}}
tuning: {folds: 4, rule: one_standard_error, score: auc}
validation: {method: stratified, folds: 5, repeats: 2, threshold: {rule: cost, cost_ratio: 4}}
"""


def same(a: Recipe, b: Recipe) -> bool:
    return recipe_to_json(a) == recipe_to_json(b)


def test_reads_everything_that_is_said(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(WHOLE)
    said = read_recipe(path)
    assert said.description == Description(
        outcome="Target", positive="1", batch="scanner", confounders=("age", "sex")
    )
    assert said.features == ("original_*",)
    assert said.leave_out == ("*_Elongation",)
    kinds = [type(step) for step in said.recipe.steps]
    assert kinds == [Impute, Variance, Redundancy, Combat, Scale]
    assert said.recipe.steps[1].most_common == 0.9
    assert said.recipe.steps[3].keep == ("age",)
    assert said.recipe.steps[4].method == "robust"
    assert said.recipe.estimator.settings()["mix"] == 0.3
    assert said.recipe.tuning == Tuning(4, "auc", "one_standard_error")
    assert said.split == Split(repeats=2, threshold=Threshold("cost", cost_ratio=4.0))


def test_json_says_the_same_as_yaml():
    import yaml

    text = json.dumps(yaml.safe_load(WHOLE))
    assert same(parse_recipe(text).recipe, parse_recipe(WHOLE).recipe)


def test_an_empty_file_gives_the_default():
    assert same(parse_recipe("").recipe, default_recipe())
    assert parse_recipe("# nothing").split == Split()


def test_what_is_not_said_is_taken_from_the_default():
    recipe = parse_recipe("estimator: lasso").recipe
    assert [step.word for step in recipe.steps] == ["impute", "variance", "redundancy", "scale"]
    assert parse_recipe("steps: []").recipe.steps == ()


def test_an_estimator_that_is_named_needs_no_default():
    text = "description: {kind: survival, outcome: seen, time: days}\nestimator: constant"
    assert parse_recipe(text).recipe.estimator.word == "constant"


@pytest.mark.parametrize("word", STEPS)
def test_every_step_comes_back_as_it_was_written(word):
    recipe = Recipe((class_of(word)(),), default_recipe().estimator)
    back = recipe_from_json(json.loads(json.dumps(recipe_to_json(recipe))))
    assert same(back, recipe)
    assert back.steps[0].settings() == recipe.steps[0].settings()


@pytest.mark.parametrize("word", ESTIMATORS)
def test_every_estimator_comes_back_as_it_was_written(word):
    recipe = Recipe((), class_of(word)())
    back = recipe_from_json(json.loads(json.dumps(recipe_to_json(recipe))))
    assert back.estimator.settings() == recipe.estimator.settings()


@given(
    st.floats(0.1, 1.0),
    st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1)), max_size=4),
    st.sampled_from(["pearson", "spearman"]),
)
@settings(max_examples=30, deadline=None)
def test_settings_of_every_kind_come_back(most, icc, kind):
    recipe = Recipe((Redundancy(most, kind, tuple(icc)),), default_recipe().estimator)
    back = recipe_from_json(json.loads(json.dumps(recipe_to_json(recipe))))
    assert back.steps[0].settings() == recipe.steps[0].settings()


def test_the_hash_is_that_of_the_settings():
    a, b = parse_recipe("steps: [scale]").recipe, parse_recipe("steps: [{scale: {}}]").recipe
    assert recipe_hash(a) == recipe_hash(b)
    assert recipe_hash(a) != recipe_hash(parse_recipe("steps: [impute]").recipe)


BAD = [
    ("stepz: [scale]", "the recipe must hold known keys, got 'stepz': did you mean 'steps'"),
    ("q: 1", "the recipe must hold known keys, got 'q': known are description"),
    ("steps: [scales]", "got 'scales': did you mean 'scale'"),
    ("steps: [{scale: {methods: robust}}]", r"steps\[0\]\.scale must hold known keys.*'method'"),
    ("steps: [{scale: {method: robus}}]", r"method must be one of .*did you mean 'robust'"),
    ("steps: [{scale: 3}]", r"steps\[0\]\.scale must be a mapping of settings, got 3"),
    ("steps: [{scale: {}, impute: {}}]", r"steps\[0\] must be a word or one word with settings"),
    ("steps: [{3: {}}]", r"steps\[0\] must have a word of text, got 3"),
    ("steps: scale", "steps must be a list of words, got 'scale'"),
    ("steps: [{variance: {least: big}}]", "least must be a number, got 'big'; write it with"),
    ("steps: [{variance: {least: 1e-3}}]", "must be a number, got '1e-3'; write it with a point"),
    ("steps: [{variance: {least: .inf}}]", "least must be a finite number, got inf"),
    ("steps: [{variance: {least: true}}]", "least must be a number, got True"),
    ("steps: [{mrmr: {features: 2.5}}]", "features must be a whole number, got 2.5"),
    ("steps: [{impute: {indicator: 1}}]", "indicator must be true or false, got 1"),
    ("steps: [{stability: {icc: [[f, 0.5, 3]]}}]", r"icc\[0\] must have 2 entries, got 3"),
    ("steps: [{keep: {patterns: f}}]", "patterns must be a list, got 'f'"),
    ("estimator: lda", "an estimator must be one of"),
    ("estimator: [lasso]", "estimator must be a word or one word with settings"),
    ("tuning: {folds: 1}", "at least two inner folds"),
    ("tuning: {score: acu}", "score must be one of"),
    ("description: {outcome: 1}", "outcome must be text, got 1; put it in quotes"),
    ("description: [Target]", "description must be a mapping of settings"),
    ("features: 3", "features must be a list"),
    ("validation: {method: loo}", "validation.method must be one of"),
    ("[a, b]", "a recipe must be a mapping of keys, got list"),
    ("a: [", "a recipe must be YAML or JSON, it does not parse"),
    ("steps: [scale]\nsteps: [impute]", "a recipe must have every key once"),
    ("steps: &x [scale]\nfeatures: *x", "a recipe must say everything itself, it has an alias"),
    ("a: !!python/object/apply:os.system [ls]", "it does not parse"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[one[0][:40] for one in BAD])
def test_refuses_and_says_where(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(text)


def test_refuses_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="a recipe must be a readable text file"):
        read_recipe(tmp_path / "absent.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="a recipe must be a readable text file"):
        read_recipe(tmp_path / "binary")


def test_refuses_a_file_that_is_too_long(tmp_path):
    (tmp_path / "long.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="a recipe must have at most 1048576 bytes"):
        read_recipe(tmp_path / "long.yaml")


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_the_reader(text):
    try:
        parse_recipe(text)
    except ConfigError:
        return
