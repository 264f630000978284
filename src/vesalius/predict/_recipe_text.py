"""Recipe file: steps, estimator, tuning and the meaning of columns, as YAML or JSON text.

The file is a mapping; every key may be left out::

    description:              # roles of columns, settings of Description
      outcome: Target
      batch: scanner
      confounders: [age]
    features: ["original_*"]  # patterns of columns that are features; none takes all numbers
    leave_out: ["*_Elongation"]
    steps:                    # in order; a word, or a word with settings
      - impute
      - variance: {most_common: 0.9}
      - redundancy
      - combat: {keep: [age]}
      - scale: {method: robust}
    estimator: {elastic-net: {mix: 0.5}}
    tuning: {folds: 5, rule: one_standard_error}
    validation: {method: stratified, folds: 5, repeats: 2}    # settings of Split
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from vesalius.core._provenance import hash_json
from vesalius.errors import ConfigError
from vesalius.predict._catalogue import estimator_class, step_class
from vesalius.predict._description import Description, Kind
from vesalius.predict._learned import Estimator, Learned, Step
from vesalius.predict._pipeline import Recipe, Tuning
from vesalius.predict._splits import Split
from vesalius.predict._typed import check_keys, plain, typed

MOST_BYTES = 1 << 20
"""Longest recipe that is read."""
_KEYS = [
    "description",
    "features",
    "leave_out",
    "steps",
    "estimator",
    "tuning",
    "validation",
]


@final
@dataclass(frozen=True, slots=True, eq=False)
class RecipeFile:
    """What a recipe file says.

    Attributes:
        recipe: Steps, estimator and tuning; where the file names no estimator, those of
            :func:`default_recipe` that it does not name.
        description: Roles of columns.
        features: Patterns of features; empty takes every number without a role.
        leave_out: Patterns of columns that are no features.
        split: How the recipe is validated.
    """

    recipe: Recipe
    description: Description = field(default_factory=Description)
    features: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    split: Split = field(default_factory=Split)


@final
@dataclass(frozen=True, slots=True)
class _Patterns:
    features: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


def read_recipe(path: str | Path, *, kind: Kind = "binary") -> RecipeFile:
    """Read a recipe file.

    Args:
        path: YAML or JSON, as at the head of this file.
        kind: Of the outcome, where it is not two classes; goes before what the file says.

    Returns:
        Everything that it says, checked.

    Raises:
        ConfigError: It cannot be read, has an unknown key or word (the nearest is named), a key
            twice, or a value of the wrong type.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(
                f"a recipe must have at most {MOST_BYTES} bytes, {path.name!r} has "
                f"{path.stat().st_size}: is it another file?"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"a recipe must be a readable text file, {path.name!r} is not "
            f"({type(error).__name__}): check the path"
        ) from error
    return parse_recipe(text, kind=kind)


def parse_recipe(text: str, *, kind: Kind = "binary") -> RecipeFile:
    """Read a recipe from text; see :func:`read_recipe`.

    Args:
        text: YAML or JSON.
        kind: As :func:`read_recipe`.

    Returns:
        Everything that it says, checked.

    Raises:
        ConfigError: As :func:`read_recipe`.
    """
    said = _mapping(text)
    check_keys(said, _KEYS, "the recipe")
    description = typed(Description, said.get("description", {}), "description")
    patterns = typed(
        _Patterns, {k: said[k] for k in ("features", "leave_out") if k in said}, "the recipe"
    )
    split = typed(Split, said.get("validation", {}), "validation")
    parts = {k: said[k] for k in ("steps", "estimator", "tuning") if k in said}
    recipe = recipe_from_json(parts, kind=description.kind if kind == "binary" else kind)
    return RecipeFile(recipe, description, patterns.features, patterns.leave_out, split)


def recipe_from_json(said: Mapping[str, Any], *, kind: Kind = "binary") -> Recipe:
    """Make a recipe from JSON types.

    Args:
        said: ``steps``, ``estimator`` and ``tuning``, as in a recipe file; what is absent is taken
            from :func:`default_recipe`.
        kind: Of the outcome, for the default.

    Returns:
        The recipe.

    Raises:
        ConfigError: As :func:`read_recipe`.
    """
    check_keys(said, ["steps", "estimator", "tuning"], "the recipe")
    if "steps" not in said:
        steps = _usual_steps()
    elif isinstance(said["steps"], list | tuple):
        steps = tuple(
            _learned(step_class, one, f"steps[{k}]") for k, one in enumerate(said["steps"])
        )
    else:
        raise ConfigError(f"steps must be a list of words, got {said['steps']!r}: write [...]")
    estimator = (
        _learned(estimator_class, said["estimator"], "estimator")
        if "estimator" in said
        else _usual_estimator(kind)
    )
    return Recipe(steps, estimator, typed(Tuning, said.get("tuning", {}), "tuning"))


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Give a recipe as JSON types, every setting spelt out; :func:`recipe_from_json` reads it.

    Args:
        recipe: Of steps and an estimator of the catalogue.

    Returns:
        ``steps``, ``estimator`` and ``tuning``.
    """
    return {
        "steps": [{one.word: plain(one.settings())} for one in recipe.steps],
        "estimator": {recipe.estimator.word: plain(recipe.estimator.settings())},
        "tuning": plain(recipe.tuning),
    }


def recipe_hash(recipe: Recipe) -> str:
    """Hash a recipe: 16 hex digits, the same for recipes of the same settings."""
    return hash_json(recipe_to_json(recipe))


def default_recipe(kind: Kind = "binary") -> Recipe:
    """Give the recipe that is taken where none is named: quick, and hard to beat on few cases.

    Gaps are filled with the median, features that hardly differ or repeat others (|r| > 0.9) are
    dropped, the rest is scaled; a linear model with the elastic net is tuned in five inner folds.

    Args:
        kind: Of the outcome.

    Returns:
        The recipe.
    """
    return Recipe(_usual_steps(), _usual_estimator(kind))


def _usual_steps() -> tuple[Step, ...]:
    return tuple(step_class(one)() for one in ("impute", "variance", "redundancy", "scale"))


def _usual_estimator(kind: Kind) -> Estimator:
    return estimator_class("cox" if kind == "survival" else "elastic-net")()


def _learned(find: Any, said: object, where: str) -> Any:
    """Build a step or an estimator from its word, or a mapping of its word to its settings."""
    if isinstance(said, str):
        return find(said)()
    if not isinstance(said, Mapping) or len(said) != 1:
        raise ConfigError(
            f"{where} must be a word or one word with settings, got {said!r}: write "
            "'- scale' or '- scale: {method: robust}'"
        )
    ((word, settings),) = said.items()
    if not isinstance(word, str):
        raise ConfigError(f"{where} must have a word of text, got {word!r}")
    cls: type[Learned] = find(word)
    return typed(cls, {} if settings is None else settings, f"{where}.{word}")


def _mapping(text: str) -> Mapping[str, Any]:
    import yaml

    from vesalius.measure._config import repeated_keys

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ConfigError("a recipe must say everything itself, it has an alias (*): write out")
        twice = repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader))
        said = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"a recipe must be YAML or JSON, it does not parse: {error}") from error
    if twice:
        raise ConfigError(f"a recipe must have every key once, got again: {'; '.join(twice)}")
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise ConfigError(f"a recipe must be a mapping of keys, got {type(said).__name__}")
    return said
