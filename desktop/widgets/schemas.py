"""Reading a JSON schema: references, defaults, names of fields within fields."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from desktop.widgets.field_editors import Schema


def resolve(schema: Schema, definitions: Schema) -> dict[str, Any]:
    """A schema with its top-level ``$ref`` followed; what stands beside the reference wins."""
    if "$ref" not in schema:
        return dict(schema)
    target = definitions[str(schema["$ref"]).rsplit("/", 1)[-1]]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**resolve(target, definitions), **beside}


def default_of(schema: Schema, definitions: Schema) -> Any:
    """The default a schema names, else the plainest value it allows."""
    schema = resolve(schema, definitions)
    if "default" in schema:
        return schema["default"]
    if "const" in schema:
        return schema["const"]
    if "properties" in schema:
        return {name: default_of(value, definitions) for name, value in schema["properties"].items()}
    if "oneOf" in schema:
        return default_of(schema["oneOf"][0], definitions)
    if "anyOf" in schema:
        return None
    if "enum" in schema:
        return schema["enum"][0]
    plain = {"integer": schema.get("minimum", 0), "number": schema.get("minimum", 0.0)}
    return {**plain, "boolean": False}.get(str(schema.get("type")), "")


def plain_name(value: object) -> str:
    """A value's own name, for reading: ``spaced_out`` becomes ``Spaced out``."""
    return str(value).replace("_", " ").capitalize()


def within(name: str, fields: Collection[str]) -> tuple[str, ...]:
    """Of dotted names, the parts that belong to the field ``name``."""
    return tuple(field.removeprefix(f"{name}.") for field in fields if field.startswith(f"{name}."))
