"""``vesalius config``: what decides a measured value, and where each setting comes from."""
# SPDX-License-Identifier: Apache-2.0

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Show the configuration and its schema.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("show")
def show(
    config: Annotated[Path | None, typer.Option("--config", help="YAML or JSON file.")] = None,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say where each value comes from.")
    ] = False,
) -> None:
    """Show every setting, defaults spelt out, as YAML that can be used again."""
    from vesalius.measure import Config, dump_config, load_config
    from vesalius.study._origins import given_keys, origins

    settings = Config() if config is None else load_config(config)
    if not origin:
        typer.echo(dump_config(settings), nl=False)
        return
    found = origins(settings, given_keys(config) if config is not None else {})
    width = max(len(item.key) for item in found)
    for item in found:
        typer.echo(f"{item.key:<{width}}  {item.source:<8} {json.dumps(item.value)}")


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of the configuration."""
    from vesalius.measure import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))
