"""Heads: from the word in a plan to the head."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.errors import ConfigError
from vesalius.segment._class_head import ClassHead
from vesalius.segment._head import Head
from vesalius.segment._plan import Plan


def make_head(plan: Plan) -> Head:
    """Make the head of a plan.

    Args:
        plan: Says which one, and its numbers.

    Raises:
        ConfigError: The network has another number of outputs than the head.
    """
    head = ClassHead(tuple(sorted(plan.names)))
    if plan.network.outputs != head.outputs:
        raise ConfigError(
            f"the network must have the {head.outputs} outputs of its head {plan.head!r}, it has "
            f"{plan.network.outputs}: plan again"
        )
    return head
