"""The smallest valid request of a mutation: the required fields of its input."""

from typing import Any

from schema.load import load
from schema.spec import EnumSpec, ListOf, ObjectSpec, Ref, ScalarType, TypeSpec

SCALARS: dict[str, Any] = {
    "ID": "it",
    "String": "a name",
    "Int": 1,
    "Long": 1,
    "Float": 0.5,
    "Boolean": True,
    "JSON": {},
    "DateTime": "2026-01-31T12:00:00Z",
}


def build_minimal(mutation: str, **optional: Any) -> tuple[str, dict[str, Any]]:
    """The document of a mutation, by its HOCON name, and its variables; `more` is given where the input has it."""
    operation = load().mutations[mutation]
    input_type = load().get_object(f"{mutation}_input")
    values = {field.graphql_name: optional[field.name] for field in input_type.fields if field.name in optional}
    document = (
        f"mutation($input: {input_type.graphql_name}!) {{ {operation.graphql_name}(input: $input) {{ __typename }} }}"
    )
    return document, {"input": _build_required(input_type) | values}


def _build_required(of: ObjectSpec) -> dict[str, Any]:
    return {field.graphql_name: _build_value(field.type) for field in of.fields if field.is_required}


def _build_value(type_: TypeSpec) -> Any:
    match type_:
        case ScalarType(name):
            return SCALARS[name]
        case ListOf(item):
            return [_build_value(item)]
        case Ref(name):
            definition = load().definitions[name]
            if isinstance(definition, EnumSpec):
                return definition.values[0].name.upper()
            return _build_required(definition) if isinstance(definition, ObjectSpec) else {}
    return {}
