"""Render: the one way a template becomes a page."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from pathlib import Path

from vesalius._version import __version__

NOTICE = "Research use only, not a medical device."


def render(template: str, content: Mapping[str, object]) -> str:
    """Fill a template: one self-contained HTML file, no network, no script.

    Args:
        template: Name of a file in the folder of templates.
        content: What the template asks for; a name that is missing is an error.

    Returns:
        The text. All data in it is escaped.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        {**content, "notice": NOTICE, "version": __version__}
    )
