"""Models: recipes as text; models fitted, applied to other tables, recalibrated, saved, loaded."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._apply import apply_model, recalibrate
from vesalius.predict._cross_recalibrated import recalibrated_validation
from vesalius.predict._fit_model import card_to_json, fit_model, with_validation
from vesalius.predict._meeting import seen_cases, table_for
from vesalius.predict._recipe_text import (
    RecipeFile,
    default_recipe,
    parse_recipe,
    read_recipe,
    recipe_from_json,
    recipe_hash,
    recipe_to_json,
)
from vesalius.predict._step_file import load_step, save_step
from vesalius.predict._store import load_model, save_model

__all__ = [
    "RecipeFile",
    "apply_model",
    "card_to_json",
    "default_recipe",
    "fit_model",
    "load_model",
    "load_step",
    "parse_recipe",
    "read_recipe",
    "recalibrate",
    "recalibrated_validation",
    "recipe_from_json",
    "recipe_hash",
    "recipe_to_json",
    "save_model",
    "save_step",
    "seen_cases",
    "table_for",
    "with_validation",
]
