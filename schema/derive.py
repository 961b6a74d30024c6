"""Spec → Strawberry types. Names no field of its own: all of them, with their descriptions, come from HOCON."""

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
from schema.scalars import Plain
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
    "String": str, "ID": strawberry.ID, "Int": int, "Long": Long, "Float": float,
    "Boolean": bool, "DateTime": DateTime, "JSON": JSON,
}  # fmt: skip


class Derived:
    """Every Strawberry type of a spec; types refer to each other by name, so cycles are no matter."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._asked = _asked_for(spec)
        self._answered = _answered(spec)
        self._made: dict[str, Any] = {}
        self._namespace: dict[str, Any] = {"Optional": typing.Optional, "List": list, **SCALARS}
        definitions = spec.definitions.values()
        self._made |= {found.graphql_name: _enum(found) for found in definitions if isinstance(found, EnumSpec)}
        for definition in definitions:
            if isinstance(definition, ObjectSpec):
                self._add(definition)
        self._namespace |= self._made

    @property
    def types(self) -> list[Any]:
        """All of them; those that no operation reaches stay in the SDL this way."""
        return list(self._made.values())

    def query(self, resolvers: Mapping[str, Resolver]) -> type:
        """The Query type; raises ValueError unless exactly the fields HOCON names have a resolver."""
        return self._root("Query", "Everything that can be read.", self.spec.queries, resolvers)

    def mutation(self, resolvers: Mapping[str, Resolver]) -> type:
        """The Mutation type, in the same way."""
        return self._root("Mutation", "Everything that can be changed.", self.spec.mutations, resolvers)

    def subscription(self, resolvers: Mapping[str, Resolver]) -> type:
        """The Subscription type, in the same way."""
        return self._root(
            "Subscription", "Everything that is told while it happens.", self.spec.subscriptions, resolvers
        )

    def _add(self, definition: ObjectSpec) -> None:
        name = definition.graphql_name
        if definition.name in self._answered or definition.name not in self._asked:
            self._made[name] = self._object(definition)
        if definition.name in self._asked:
            self._made[self._input_name(definition)] = self._input(definition)

    def _input_name(self, definition: ObjectSpec) -> str:
        return definition.graphql_name + ("Input" if definition.name in self._answered else "")

    def _root(
        self, name: str, description: str, operations: Mapping[str, OperationSpec], resolvers: Mapping[str, Resolver]
    ) -> type:
        if operations.keys() != resolvers.keys():
            raise ValueError(f"{name} and its resolvers differ in {sorted(operations.keys() ^ resolvers.keys())}")
        fields = {}
        for operation in operations.values():
            type_ = self._annotation(operation.returns, is_input=False, required=operation.is_required)
            field = strawberry.field(
                resolver=resolvers[operation.name],
                name=operation.graphql_name,
                description=operation.description,
                graphql_type=type_,
                is_subscription=operations is self.spec.subscriptions,
            )
            field.arguments = [self._argument(argument) for argument in operation.arguments]
            fields[operation.name] = field
        return strawberry.type(type(name, (), fields), name=name, description=description)

    def _object(self, definition: ObjectSpec) -> type:
        output_fields = {_python_name(name): output_field for name, output_field in definition.output_fields.items()}
        fields: dict[str, Any] = {}
        for name, output_field in output_fields.items():
            field: StrawberryField = strawberry.field(
                name=output_field.graphql_name, description=output_field.description
            )
            field.arguments = [self._argument(argument) for argument in output_field.arguments]
            fields[name] = field
        fields["__annotations__"] = {
            name: self._annotation(_output_type(output_field), is_input=False, required=output_field.is_required)
            for name, output_field in output_fields.items()
        }
        made = type(definition.graphql_name, (), fields)
        return strawberry.type(made, name=definition.graphql_name, description=definition.description)

    def _input(self, definition: ObjectSpec) -> type:
        fields: dict[str, Any] = {}
        annotations = {}
        for field in definition.fields:
            name = _python_name(field.name)
            default = strawberry.UNSET if definition.is_stored else self._default(field)
            fields[name] = strawberry.field(
                name=field.graphql_name,
                description=field.description,
                default=dataclasses.MISSING if field.is_required else default,
            )
            annotations[name] = self._annotation(_input_type(field), is_input=True, required=field.is_required)
        name = self._input_name(definition)
        made: Any = type(name, (), {**fields, "__annotations__": annotations})
        strawberry.input(made, name=name, description=definition.description)
        if all(isinstance(field.type, ScalarType) and field.graphql_name == field.name for field in definition.fields):
            # nothing to convert, which Strawberry would take its time for: a list may have thousands of them
            made.__strawberry_definition__.from_input = _plain
        return cast("type", made)

    def _default(self, field: FieldSpec) -> Any:
        """The default that the SDL says. Those of stored definitions are not said: absent must differ from given."""
        if field.default is None:
            return strawberry.UNSET
        if isinstance(field.type, Ref) and isinstance(of := self.spec.definitions[field.type.name], EnumSpec):
            return self._made[of.graphql_name](field.default)
        return field.default

    def _argument(self, field: FieldSpec) -> StrawberryArgument:
        return StrawberryArgument(
            python_name=_python_name(field.name),
            graphql_name=field.graphql_name,
            type_annotation=self._annotation(_input_type(field), is_input=True, required=field.is_required),
            description=field.description,
            default=self._default(field),
        )

    def _annotation(self, type_: TypeSpec, *, is_input: bool, required: bool) -> StrawberryAnnotation:
        text = self._text(type_, is_input=is_input)
        return StrawberryAnnotation(text if required else f"Optional[{text}]", namespace=self._namespace)

    def _text(self, type_: TypeSpec, *, is_input: bool) -> str:
        match type_:
            case ScalarType(name):
                return name
            case ListOf(item, holes):
                text = self._text(item, is_input=is_input)
                return f"List[Optional[{text}]]" if holes else f"List[{text}]"
            case Ref(name) if isinstance(definition := self.spec.definitions[name], ObjectSpec) and is_input:
                return self._input_name(definition)
            case Ref(name) if not isinstance(definition := self.spec.definitions[name], MapSpec):
                return definition.graphql_name
        return "JSON"


def _output_type(field: FieldSpec) -> TypeSpec:
    return ListOf(Ref(field.map_view.item_definition)) if field.map_view else field.type


_input_type = _output_type


def _enum(spec: EnumSpec) -> Any:
    members = {
        value.name.upper(): strawberry.enum_value(value.name, description=value.description) for value in spec.values
    }
    if spec.has_unknown and UNKNOWN not in members:
        description = "A stored value that this version has no name for; never accepted as input."
        members[UNKNOWN] = strawberry.enum_value(UNKNOWN.lower(), description=description)
    made: Any = enum.Enum(spec.graphql_name, members)  # type: ignore[misc]
    return strawberry.enum(made, name=spec.graphql_name, description=spec.description)


def _plain(_type: type, value: Mapping[str, Any], _context: InputContext) -> Plain:
    return Plain(value)


def _python_name(name: str) -> str:
    return name + "_" if keyword.iskeyword(name) else name


def _reach(spec: Spec, starts: list[TypeSpec], *, outputs: bool) -> set[str]:
    """Names of the objects that these types are made of."""
    found: set[str] = set()
    while starts:
        type_ = starts.pop()
        while isinstance(type_, ListOf):
            type_ = type_.item
        if not isinstance(type_, Ref) or type_.name in found:
            continue
        found.add(type_.name)
        definition = spec.definitions[type_.name]
        if isinstance(definition, ObjectSpec):
            fields = definition.output_fields.values() if outputs else definition.fields
            starts += [_output_type(field) for field in fields]
    return found


def _asked_for(spec: Spec) -> set[str]:
    objects = [found for found in spec.definitions.values() if isinstance(found, ObjectSpec)]
    arguments = [argument for operation in _operations(spec) for argument in operation.arguments]
    arguments += [
        argument
        for found in objects
        for output_field in found.output_fields.values()
        for argument in output_field.arguments
    ]
    return _reach(spec, [_input_type(argument) for argument in arguments], outputs=False)


def _answered(spec: Spec) -> set[str]:
    return _reach(spec, [operation.returns for operation in _operations(spec)], outputs=True)


def _operations(spec: Spec) -> list[OperationSpec]:
    return [*spec.queries.values(), *spec.mutations.values(), *spec.subscriptions.values()]
