"""The selection → a generated function that serializes stored documents.

Rows degrade alone: a value of a wrong type reads null, and an unknown enum value UNKNOWN, whatever its neighbours are.
The answers are final: plain dicts, lists and JSON scalars, ready to be written out.
"""

import itertools
import linecache
import weakref
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from models import layout
from models.extended_json import format_cell, format_id
from models.types import Document
from resolvers.execution.scalars import (
    SCALARS,
    USUAL_VALUES,
    Convert,
    build_enum_serializer,
    build_list_serializer,
    build_nullable_list_serializer,
    serialize_id,
)
from resolvers.execution.selection import (
    OWNER,
    LoadedField,
    MapField,
    ObjectField,
    PlainField,
    RelatedField,
    RelationField,
    Selection,
    TypeName,
    find_map_keys,
)
from schema.spec import EnumSpec, FieldSpec, ListOf, Ref, ScalarType, Spec, TypeSpec

JsonObject = dict[str, Any]


class Slot(NamedTuple):
    """A null in an answer that waits for other documents: their answer goes to `target[key]`."""

    target: JsonObject
    key: str
    id: str  # of the document that a relation names; for a related field, of the document that has the field
    root: Document  # that has the field


Pending = dict[LoadedField, list[Slot]]  # the slots of a page
ReadStored = Callable[[Document, Document], Any]  # (document, root document) → stored value
Serialize = Callable[[Document, Document, Pending], JsonObject]
Fill = Callable[[JsonObject, Document, Document, Pending], None]


class Serializer:
    """Generates the functions that serialize documents of one schema."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def build(self, selection: Selection) -> Serialize:
        """Generate the function (document, root document, pending) → answer for a selection.

        Its source reads the plain values: a usual value is the answer as it stands, and only another one costs a call.
        Every other field has a function that fills it in, over a None that keeps the order of the selection.
        """
        items, fills = [], []
        scope: dict[str, Any] = {}
        for number, field in enumerate(selection.fields):
            match field:
                case TypeName():
                    expression = repr(selection.definition.graphql_name)
                case PlainField(output_field=output_field):
                    scope[f"read{number}"] = _build_stored_reader(output_field)
                    scope[f"convert{number}"] = self._build_plain_serializer(output_field)
                    expression = _write_plain_expression(output_field, number)
                case _:
                    scope[f"fill{number}"] = self._build_fill(field)
                    fills.append(f"    fill{number}(answer, document, root, pending)")
                    expression = "None"
            items.append(f"{field.key!r}: {expression},")
        head = ["def serialize(document, root, pending):", "    get = document.get", "    answer = {"]
        code = _compile_function("\n".join([*head, *items, "    }", *fills, "    return answer\n"]))
        serialize: Serialize = FunctionType(code, scope)
        return serialize

    def _build_plain_serializer(self, output_field: FieldSpec) -> Convert:
        return format_id if _is_own_id(output_field) else self._build_type_serializer(output_field.type)

    def _build_type_serializer(self, type_: TypeSpec) -> Convert:
        match type_:
            case ScalarType(name):
                return SCALARS[name]
            case ListOf(ListOf(ScalarType("String"))):
                return build_list_serializer(lambda row: [*map(format_cell, row)] if isinstance(row, list) else None)
            case ListOf(item, has_null_items=True):
                return build_nullable_list_serializer(self._build_type_serializer(item))
            case ListOf(item):
                return build_list_serializer(self._build_type_serializer(item))
            case Ref(name) if isinstance(definition := self._spec.definitions[name], EnumSpec):
                return build_enum_serializer(definition)
        raise TypeError(f"{type_} has no plain values")

    def _build_fill(self, field: ObjectField | MapField | LoadedField) -> Fill:
        match field:
            case RelatedField():
                return _build_related_fill(field)
            case RelationField():
                return _build_relation_fill(field)
            case MapField():
                return self._build_map_fill(field)
            case ObjectField() if isinstance(field.output_field.type, ListOf):
                return self._build_objects_fill(field)
            case ObjectField():
                return self._build_object_fill(field)

    def _build_object_fill(self, field: ObjectField) -> Fill:
        key, read, serialize = field.key, _build_stored_reader(field.output_field), self.build(field.selection)
        definition = field.selection.definition
        is_root = definition.collection is not None
        # values from elsewhere in the document are there even when this object is not
        is_always_there = any(output_field.stored_paths for output_field in definition.output_fields.values())

        def fill(answer: JsonObject, document: Document, root: Document, pending: Pending) -> None:
            stored = read(document, root)
            if isinstance(stored, dict):
                answer[key] = serialize(stored, stored if is_root else root, pending)
            elif is_always_there:
                answer[key] = serialize({}, root, pending)

        return fill

    def _build_objects_fill(self, field: ObjectField) -> Fill:
        key, read, serialize = field.key, _build_stored_reader(field.output_field), self.build(field.selection)
        is_root = field.selection.definition.collection is not None

        def fill(answer: JsonObject, document: Document, root: Document, pending: Pending) -> None:
            stored = read(document, root)
            if isinstance(stored, list):
                items = [item for item in stored if isinstance(item, dict)]
                answer[key] = [serialize(item, item if is_root else root, pending) for item in items]

        return fill

    def _build_map_fill(self, field: MapField) -> Fill:
        key, read, serialize = field.key, _build_stored_reader(field.output_field), self.build(field.selection)
        list_items = self._build_item_lister(field)

        def fill(answer: JsonObject, document: Document, root: Document, pending: Pending) -> None:
            answer[key] = [serialize(item, root, pending) for item in list_items(read(document, root))]

        return fill

    def _build_item_lister(self, field: MapField) -> Callable[[Any], list[Document]]:
        """Build the function from a stored map, or an older server's list, to the items that the arguments choose."""
        map_view, levels = field.map_view, find_map_keys(field)
        has_order_of_arguments = None not in levels
        allowed_values = self._find_allowed_values(field)

        def is_chosen(item: Document) -> bool:
            return all(
                item.get(output_field.name, output_field.default) in values for output_field, values in allowed_values
            )

        def list_items(stored: Any) -> list[Document]:
            if isinstance(stored, list):
                items = [item for item in stored if isinstance(item, dict) and is_chosen(item)]
                return _sort_items(items, map_view.key_fields)
            if map_view.is_key_value:
                return _list_entries(stored, levels[0], layout.unescape if map_view.key_encoding == "escaped" else str)
            items = [item for item in _list_lowest_level(stored, levels) if isinstance(item, dict)]
            if map_view.key_encoding == "artifact":
                items = [item for item in items if is_chosen(item)]
            return items if has_order_of_arguments else _sort_items(items, map_view.key_fields)

        return list_items

    def _find_allowed_values(self, field: MapField) -> list[tuple[FieldSpec, list[Any]]]:
        """The fields of an item that arguments restrict, each with its allowed values."""
        item_fields = {
            item_field.name: item_field for item_field in self._spec.get_object(field.map_view.item_definition).fields
        }
        allowed_values = []
        for argument in field.output_field.arguments:
            values = field.arguments.get(argument.graphql_name)
            if values is not None:
                allowed_values.append((item_fields[argument.name], values))
        return allowed_values


# -- the generated source --------------------------------------------------------------------------

MAX_CACHED_SOURCE = 10_000  # characters: the keys of a client must not fill the memory
_source_numbers = itertools.count()


def _is_own_id(output_field: FieldSpec) -> bool:
    return output_field.stored_paths == ("_id",)


def _write_plain_expression(output_field: FieldSpec, number: int) -> str:
    """Write the expression of a plain value."""
    stored = f"read{number}(document, root)" if output_field.stored_paths else f"get({output_field.name!r})"
    if _is_own_id(output_field):  # a text, whatever is stored
        return f"v if type(v := {stored}) is str else convert{number}(v)"
    if isinstance(output_field.type, ListOf) and output_field.is_required:
        return f"convert{number}({stored}) or []"
    is_usual = (
        USUAL_VALUES.get(output_field.type.name, "False") if isinstance(output_field.type, ScalarType) else "False"
    )
    return f"v if (v := {stored}) is None or {is_usual} else convert{number}(v)"


def _compile_function(source: str) -> CodeType:
    """The code of the one function in a source."""
    return _compile_cached(source) if len(source) < MAX_CACHED_SOURCE else _compile_cached.__wrapped__(source)


@lru_cache(512)
def _compile_cached(source: str) -> CodeType:
    filename = f"<serializer {next(_source_numbers)}>"
    module = compile(source, filename, "exec")
    [code] = [constant for constant in module.co_consts if isinstance(constant, CodeType)]
    # a traceback shows the line of a fault; the lines go when the code goes
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(code, linecache.cache.pop, filename, None).atexit = False
    return code


# -- stored values ---------------------------------------------------------------------------------


def _build_stored_reader(output_field: FieldSpec) -> ReadStored:
    """Build the function that reads a stored value: in the field's own place, or in others that one reader combines."""
    if not output_field.stored_paths:
        return lambda document, _root: document.get(output_field.name)
    if output_field.layout_reader:
        combine = layout.READERS[output_field.layout_reader]
        return lambda _document, root: combine(*[layout.read_path(root, path) for path in output_field.stored_paths])
    return lambda _document, root: layout.read_path(root, output_field.stored_paths[0])


def _list_lowest_level(stored: Any, levels: list[list[str] | None]) -> list[Any]:
    """The values at the lowest level of a map of maps, at each level only those of the named keys."""
    values = [stored]
    for keys in levels:
        maps = [value for value in values if isinstance(value, dict)]
        if keys is None:
            values = [value for level in maps for value in level.values()]
        else:
            values = [level[key] for level in maps for key in keys if key in level]
    return values


def _list_entries(stored: Any, keys: list[str] | None, unescape: Callable[[str], str]) -> list[Document]:
    """The entries of a map as items of a key and a value."""
    if not isinstance(stored, dict):
        return []
    stored_keys = stored if keys is None else [key for key in keys if key in stored]
    return [{"key": unescape(key), "value": stored[key]} for key in stored_keys]


def _sort_items(items: list[Document], names: tuple[str, ...]) -> list[Document]:
    """Sort the items of a map, whose own order means nothing, by the fields that name them."""
    try:
        return sorted(items, key=itemgetter(*names))
    except (KeyError, TypeError):  # an item without a name, or with one of another type
        return sorted(items, key=lambda item: [str(item.get(name, "")) for name in names])


# -- fields that wait for other documents ----------------------------------------------------------


def _build_relation_fill(field: RelationField) -> Fill:
    read = _build_stored_reader(field.output_field)

    def fill(answer: JsonObject, document: Document, root: Document, pending: Pending) -> None:
        if id_ := serialize_id(read(document, root)):
            pending.setdefault(field, []).append(Slot(answer, field.key, id_, root))

    return fill


def _build_related_fill(field: RelatedField) -> Fill:
    def fill(answer: JsonObject, _document: Document, root: Document, pending: Pending) -> None:
        # a document that is gone has no owner, and nothing refers to an id that is not a text
        if OWNER in root and (id_ := serialize_id(root["_id"])):
            pending.setdefault(field, []).append(Slot(answer, field.key, id_, root))

    return fill
