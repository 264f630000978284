"""A verb with sub-verbs that is also a command: what is no sub-verb goes to the command itself."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

from typer.core import TyperGroup

ITSELF = "run"
"""Name of the sub-command that is the verb itself."""


class VerbGroup(TyperGroup):
    """A group whose sub-command ``run`` is taken where no other is named.

    ``vesalius measure IMAGE LABELS`` is ``vesalius measure run IMAGE LABELS``, and
    ``vesalius measure audit ...`` stays ``audit``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` in front of words that name no sub-verb."""
        if not args or args[0] not in self.commands:
            args = [ITSELF, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the sub-command; ``run`` itself is left out of the usage line."""
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == ITSELF else name), command, rest
