"""Heads: from the word in a plan to the head."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import Any

from vesalius.errors import ConfigError
from vesalius.segment._class_head import ClassHead
from vesalius.segment._flow_head import FlowHead
from vesalius.segment._head import Head
from vesalius.segment._plan import Plan
from vesalius.segment._star_head import StarHead


def make_head(plan: Plan) -> Head:
    """Make the head of a plan.

    Args:
        plan: Says which one, and its numbers.

    Raises:
        ConfigError: The network has another number of outputs than the head, or the head has no
            such setting.
    """
    head = head_of(plan)
    if plan.network.outputs != head.outputs:
        raise ConfigError(
            f"the network must have the {head.outputs} outputs of its head {plan.head!r}, it has "
            f"{plan.network.outputs}: plan again"
        )
    return head


def head_of(plan: Plan) -> Head:
    """Make the head of a plan whose network is not decided yet.

    Args:
        plan: Says which one, and its numbers.

    Raises:
        ConfigError: The head has no such setting, or none for as many axes.
    """
    if plan.head == "classes":
        return ClassHead(tuple(sorted(plan.names)))
    if plan.head == "stars":
        return star_head(plan.dims, plan.head_settings)
    return flow_head(plan.dims, plan.head_settings)


def flow_head(dims: int, settings: Mapping[str, float]) -> FlowHead:
    """Make the flow head of a plan.

    Args:
        dims: Of the network.
        settings: Fields of the head besides ``dims``.

    Raises:
        ConfigError: The head has no such field.
    """
    known = {"across": float, "logit": float, "most_error": float, "least_size": int}
    return FlowHead(dims, **_numbers("flow", settings, known))


def star_head(dims: int, settings: Mapping[str, float]) -> StarHead:
    """Make the star head of a plan.

    Args:
        dims: Of the network.
        settings: Fields of the head besides ``dims``.

    Raises:
        ConfigError: The head has no such field, or there are three axes.
    """
    known = {"rays": int, "probability": float, "overlap": float, "least_size": int}
    return StarHead(dims, **_numbers("star", settings, known))


def _numbers(what: str, settings: Mapping[str, float], known: Mapping[str, type]) -> dict[str, Any]:
    """Give settings the types of their fields."""
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(
            f"settings of a {what} head must be among {', '.join(known)}, got {', '.join(unknown)}"
        )
    return {name: known[name](value) for name, value in settings.items()}
