"""Made ready: a recipe for one table: its batch named, its columns and its design checked."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

from vesalius.errors import ConfigError
from vesalius.predict._description import Description
from vesalius.predict._learned import Step
from vesalius.predict._pipeline import Recipe, with_impute
from vesalius.predict._table import Table
from vesalius.predict._target import Target


def made_ready(recipe: Recipe, table: Table, description: Description, target: Target) -> Recipe:
    """Name the batch in steps that want one, fill gaps, and refuse what cannot be right.

    Args:
        recipe: As it was asked for.
        table: All cases that it will be fitted or validated on.
        description: What the columns mean.
        target: Their outcome.

    Returns:
        The recipe with its batches named; with an ``Impute`` in front where any case has a gap and
        no step fills it, since a gap may be in test cases alone.

    Raises:
        ConfigError: The outcome is a column that a step works with, or a recipe that
            harmonises meets batch and outcome that cannot be told apart.
    """
    _check_outcome(description, recipe)
    recipe = with_batch(recipe, description)
    _check_designs(table, description, recipe, target)
    return replace(recipe, steps=with_impute(recipe.steps, table))


def with_batch(recipe: Recipe, description: Description) -> Recipe:
    """Give the batch of the description to steps that name none.

    Args:
        recipe: As it was asked for.
        description: Names the batch, or does not.

    Returns:
        The recipe.
    """
    if not description.batch:
        return recipe
    steps = tuple(
        step.fresh({"batch": description.batch}) if step.settings().get("batch") == "" else step
        for step in recipe.steps
    )
    return replace(recipe, steps=steps)


def _check_outcome(description: Description, recipe: Recipe) -> None:
    for name in (description.outcome, description.time):
        for step in recipe.steps if name else ():
            if name in _columns_of(step):
                raise ConfigError(
                    f"{step.word} must not work with the outcome, it names {name!r}: a new case "
                    "has none, and what is kept of it leaks into the features; leave it out"
                )


def _columns_of(step: Step) -> set[str]:
    """Give every text among the settings of a step: some are names of columns."""
    found: set[str] = set()
    for value in step.settings().values():
        found |= {one for one in (value if isinstance(value, tuple) else (value,)) if _text(one)}
    return found


def _text(value: object) -> bool:
    return isinstance(value, str)


def _check_designs(table: Table, description: Description, recipe: Recipe, target: Target) -> None:
    from vesalius.predict._confounding import check_design

    named: dict[str, None] = {}
    for step in recipe.steps:
        settings = step.settings()
        one, several = settings.get("batch", ""), settings.get("batches", ())
        named |= dict.fromkeys([one, *several])
    for batch in named:
        if batch:
            check_design(table, replace(description, batch=batch), target)
