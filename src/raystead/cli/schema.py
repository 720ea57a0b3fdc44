"""`raystead schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of RayCluster files, for editors.

    \b
    raystead schema > raycluster.schema.json
    # then, at the top of your file:
    # yaml-language-server: $schema=raycluster.schema.json
    """
    from raystead.spec.schema import json_schema

    print(json.dumps(json_schema(), indent=2, sort_keys=True))
