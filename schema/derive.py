"""Spec → Strawberry types. Every field and every description comes from HOCON."""

import dataclasses
import enum
import keyword
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NewType, cast

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import InputContext, StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import ScalarDefinition

from schema import scalars
from schema.scalars import PlainObject
from schema.spec import EnumSpec, FieldSpec, ListOf, MapSpec, ObjectSpec, OperationSpec, Ref, ScalarType, Spec, TypeSpec

UNKNOWN = "UNKNOWN"
Long = NewType("Long", int)
DateTime = NewType("DateTime", datetime)
Resolver = Callable[..., Any]


CONFIG = StrawberryConfig(
    auto_camel_case=False,
    scalar_map={
        type_: ScalarDefinition(
            scalar.name,
            scalar.description,
            scalar.specified_by_url,
            serialize=None,
            parse_value=None,
            parse_literal=None,
            implementation=scalar,
        )
        for type_, scalar in (
            (int, scalars.INT),
            (float, scalars.FLOAT),
            (strawberry.ID, scalars.ID),
            (Long, scalars.LONG),
            (JSON, scalars.JSON),
            (DateTime, scalars.DATE_TIME),
        )
    },
)
SCALARS: Mapping[str, Any] = {
    "String": str,
    "ID": strawberry.ID,
    "Int": int,
    "Long": Long,
    "Float": float,
    "Boolean": bool,
    "DateTime": DateTime,
    "JSON": JSON,
}


class StrawberryTypes:
    """All Strawberry types of a specification. They refer to each other by name, so cycles need no care."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._inputs = _find_inputs(spec)
        self._outputs = _find_outputs(spec)
        self._types: dict[str, Any] = {}
        self._namespace: dict[str, Any] = {"Optional": typing.Optional, "List": list, **SCALARS}
        definitions = spec.definitions.values()
        for definition in definitions:
            if isinstance(definition, EnumSpec):
                self._types[definition.graphql_name] = _build_enum(definition)
        for definition in definitions:
            if isinstance(definition, ObjectSpec):
                self._add_object(definition)
        self._namespace |= self._types

    @property
    def types(self) -> list[Any]:
        """All types; the SDL keeps those that no operation reaches."""
        return list(self._types.values())

    def build_query(self, resolvers: Mapping[str, Resolver]) -> type:
        """Build the Query type; raises ValueError unless the resolvers are those of HOCON's fields."""
        return self._build_root("Query", "Everything that can be read.", self.spec.queries, resolvers)

    def build_mutation(self, resolvers: Mapping[str, Resolver]) -> type:
        """Build the Mutation type in the same way."""
        return self._build_root("Mutation", "Everything that can be changed.", self.spec.mutations, resolvers)

    def build_subscription(self, resolvers: Mapping[str, Resolver]) -> type:
        """Build the Subscription type in the same way."""
        return self._build_root(
            "Subscription", "Everything that is delivered while it happens.", self.spec.subscriptions, resolvers
        )

    def _add_object(self, definition: ObjectSpec) -> None:
        name = definition.graphql_name
        if definition.name in self._outputs or definition.name not in self._inputs:
            self._types[name] = self._build_object(definition)
        if definition.name in self._inputs:
            self._types[self._name_input(definition)] = self._build_input(definition)

    def _name_input(self, definition: ObjectSpec) -> str:
        return definition.graphql_name + ("Input" if definition.name in self._outputs else "")

    def _build_root(
        self, name: str, description: str, operations: Mapping[str, OperationSpec], resolvers: Mapping[str, Resolver]
    ) -> type:
        if operations.keys() != resolvers.keys():
            raise ValueError(f"{name} and its resolvers differ in {sorted(operations.keys() ^ resolvers.keys())}")
        fields = {}
        for operation in operations.values():
            type_ = self._annotate(operation.returns, is_input=False, is_required=operation.is_required)
            field = strawberry.field(
                resolver=resolvers[operation.name],
                name=operation.graphql_name,
                description=operation.description,
                graphql_type=type_,
                is_subscription=operations is self.spec.subscriptions,
            )
            field.arguments = [self._build_argument(argument) for argument in operation.arguments]
            fields[operation.name] = field
        return strawberry.type(type(name, (), fields), name=name, description=description)

    def _build_object(self, definition: ObjectSpec) -> type:
        fields: dict[str, Any] = {}
        annotations: dict[str, StrawberryAnnotation] = {}
        for graphql_name, output_field in definition.output_fields.items():
            name = _to_python_name(graphql_name)
            field: StrawberryField = strawberry.field(name=graphql_name, description=output_field.description)
            field.arguments = [self._build_argument(argument) for argument in output_field.arguments]
            fields[name] = field
            type_ = _find_type(output_field)
            annotations[name] = self._annotate(type_, is_input=False, is_required=output_field.is_required)
        object_type = type(definition.graphql_name, (), {**fields, "__annotations__": annotations})
        return strawberry.type(object_type, name=definition.graphql_name, description=definition.description)

    def _build_input(self, definition: ObjectSpec) -> type:
        fields: dict[str, Any] = {}
        annotations: dict[str, StrawberryAnnotation] = {}
        for field in definition.fields:
            name = _to_python_name(field.name)
            default = strawberry.UNSET if definition.is_stored else self._build_default(field)
            fields[name] = strawberry.field(
                name=field.graphql_name,
                description=field.description,
                default=dataclasses.MISSING if field.is_required else default,
            )
            annotations[name] = self._annotate(_find_type(field), is_input=True, is_required=field.is_required)
        name = self._name_input(definition)
        input_type: Any = type(name, (), {**fields, "__annotations__": annotations})
        strawberry.input(input_type, name=name, description=definition.description)
        if all(isinstance(field.type, ScalarType) and field.graphql_name == field.name for field in definition.fields):
            # Strawberry takes long to convert each item of a list, which may have thousands; these need no conversion
            input_type.__strawberry_definition__.from_input = _keep_input
        return cast("type", input_type)

    def _build_default(self, field: FieldSpec) -> Any:
        """Build the default in the SDL. Those of stored definitions have none: an omitted field must stay unset."""
        if field.default is None:
            return strawberry.UNSET
        if isinstance(field.type, Ref):
            enum_spec = self.spec.definitions[field.type.name]
            if isinstance(enum_spec, EnumSpec):
                return self._types[enum_spec.graphql_name](field.default)
        return field.default

    def _build_argument(self, field: FieldSpec) -> StrawberryArgument:
        return StrawberryArgument(
            python_name=_to_python_name(field.name),
            graphql_name=field.graphql_name,
            type_annotation=self._annotate(_find_type(field), is_input=True, is_required=field.is_required),
            description=field.description,
            default=self._build_default(field),
        )

    def _annotate(self, type_: TypeSpec, *, is_input: bool, is_required: bool) -> StrawberryAnnotation:
        annotation = self._write_annotation(type_, is_input=is_input)
        return StrawberryAnnotation(annotation if is_required else f"Optional[{annotation}]", namespace=self._namespace)

    def _write_annotation(self, type_: TypeSpec, *, is_input: bool) -> str:
        match type_:
            case ScalarType(name):
                return name
            case ListOf(item, has_null_items):
                annotation = self._write_annotation(item, is_input=is_input)
                return f"List[Optional[{annotation}]]" if has_null_items else f"List[{annotation}]"
            case Ref(name) if isinstance(definition := self.spec.definitions[name], ObjectSpec) and is_input:
                return self._name_input(definition)
            case Ref(name) if not isinstance(definition := self.spec.definitions[name], MapSpec):
                return definition.graphql_name
        return "JSON"


def _find_type(field: FieldSpec) -> TypeSpec:
    """Find the type of a field in the API, where a map may be a list."""
    return ListOf(Ref(field.map_view.item_definition)) if field.map_view else field.type


def _build_enum(spec: EnumSpec) -> Any:
    members = {
        value.name.upper(): strawberry.enum_value(value.name, description=value.description) for value in spec.values
    }
    if spec.has_unknown and UNKNOWN not in members:
        description = "A stored value that this version does not know. It is never accepted as input."
        members[UNKNOWN] = strawberry.enum_value(UNKNOWN.lower(), description=description)
    enum_type: Any = enum.Enum(spec.graphql_name, members)  # type: ignore[misc]
    return strawberry.enum(enum_type, name=spec.graphql_name, description=spec.description)


def _keep_input(_type: type, value: Mapping[str, Any], _context: InputContext) -> PlainObject:
    return PlainObject(value)


def _to_python_name(name: str) -> str:
    return name + "_" if keyword.iskeyword(name) else name


def _find_inputs(spec: Spec) -> set[str]:
    """Find the names of the objects that arguments are made of."""
    arguments = [argument for operation in _list_operations(spec) for argument in operation.arguments]
    for definition in spec.definitions.values():
        if isinstance(definition, ObjectSpec):
            for output_field in definition.output_fields.values():
                arguments += output_field.arguments
    return _collect_objects(spec, [_find_type(argument) for argument in arguments], is_output=False)


def _find_outputs(spec: Spec) -> set[str]:
    """Find the names of the objects that answers are made of."""
    return _collect_objects(spec, [operation.returns for operation in _list_operations(spec)], is_output=True)


def _list_operations(spec: Spec) -> list[OperationSpec]:
    return [*spec.queries.values(), *spec.mutations.values(), *spec.subscriptions.values()]


def _collect_objects(spec: Spec, types: list[TypeSpec], *, is_output: bool) -> set[str]:
    """Collect the names of the objects that these types are made of."""
    names: set[str] = set()
    while types:
        type_ = types.pop()
        while isinstance(type_, ListOf):
            type_ = type_.item
        if not isinstance(type_, Ref) or type_.name in names:
            continue
        names.add(type_.name)
        definition = spec.definitions[type_.name]
        if isinstance(definition, ObjectSpec):
            fields = definition.output_fields.values() if is_output else definition.fields
            types += [_find_type(field) for field in fields]
    return names
