"""The selection → a function from stored documents to answers.

Rows degrade alone: a value of a wrong type reads null, and an unknown enum value UNKNOWN, whatever its neighbours are.
The answers are final: plain dicts, lists and JSON scalars, ready to be written out.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from types import CodeType
from typing import Any, NamedTuple

from models import layout
from models.extended_json import format_cell, format_id
from models.types import Document
from resolvers.execution.scalars import SCALARS, USUAL, Convert, enum, items_of, reference, values_of
from resolvers.execution.selection import OWNER, Selected, Selection, map_keys
from schema.spec import EnumSpec, FieldSpec, ListOf, Ref, ScalarType, Spec, TypeSpec

Answer = dict[str, Any]
Value = Callable[[Document, Document], Any]


class Slot(NamedTuple):
    """A place in an answer that another document fills: put its answer at `target[key]`."""

    target: dict[str, Any]
    key: str
    id: str  # of the other document; for a loaded field, of its own
    root: Document  # the document with the place


class Pending(NamedTuple):
    """All the places on a page that one selected relation or loaded field has to fill."""

    selected: Selected
    slots: list[Slot]


PendingRelations = dict[int, Pending]
Shape = Callable[[Document, Document, PendingRelations], Answer]
Fill = Callable[[Answer, Document, Document, PendingRelations], None]

LONGEST_CACHED = 10_000  # characters: what clients write must not fill the memory


class Serializer:
    """Makes shapes for the selections of one schema."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def build(self, selection: Selection) -> Shape:
        """A generated function (document, root document, pending) → answer for this selection.

        Plain values stand in its source: usual ones are told in place, and only others cost a call. Whatever is more
        than a plain value is filled in by a function of its own, behind a None that keeps the order of the selection.
        """
        items, fills = [], []
        scope: dict[str, Any] = {}
        for number, selected in enumerate(selection.fields):
            value = repr(selection.of.graphql_name) if selected.output_field is None else "None"
            if selected.output_field and selected.selection:
                scope[f"fill{number}"] = self._fill(selected)
                fills.append(f"fill{number}(answer, document, root, pending)")
            elif selected.output_field:
                scope[f"value{number}"] = self._value(selected.output_field)
                is_own = selected.output_field.stored_paths == ("_id",)
                scope[f"convert{number}"] = format_id if is_own else self._convert(selected.output_field.type)
                value = _own_id(number) if is_own else _source(selected.output_field, number)
            items.append(f"{selected.key!r}: {value}")
        lines = ["get = document.get", f"answer = {{{', '.join(items)}}}", *fills, "return answer"]
        exec(_compiled("\n    ".join(["def shape(document, root, pending):", *lines])), scope)  # noqa: S102 - names are checked
        made: Shape = scope["shape"]
        return made

    def _convert(self, type_: TypeSpec) -> Convert:
        match type_:
            case ScalarType(name):
                return SCALARS[name]
            case ListOf(ListOf(ScalarType("String"))):
                return values_of(lambda row: [*map(format_cell, row)] if isinstance(row, list) else None)
            case ListOf(item, has_null_items=True):
                return items_of(self._convert(item))
            case ListOf(item):
                return values_of(self._convert(item))
            case Ref(name) if isinstance(definition := self._spec.definitions[name], EnumSpec):
                return enum(definition)
        raise TypeError(f"{type_} is no plain value")

    def _fill(self, selected: Selected) -> Fill:
        assert selected.output_field
        if selected.output_field.related:
            return _loaded(selected)
        value = self._value(selected.output_field)
        if selected.output_field.relation:
            return _relation(selected, value)
        if selected.output_field.map_view:
            return self._items(selected, value)
        return (
            self._objects(selected, value)
            if isinstance(selected.output_field.type, ListOf)
            else self._object(selected, value)
        )

    def _value(self, output_field: FieldSpec) -> Value:
        """Where the stored value is: in its own place, or in others that a reader brings together."""
        if not output_field.stored_paths:
            return lambda document, _root: document.get(output_field.name)
        if output_field.layout_reader:
            reader = layout.READERS[output_field.layout_reader]
            return lambda _document, root: reader(*[layout.read_path(root, path) for path in output_field.stored_paths])
        return lambda _document, root: layout.read_path(root, output_field.stored_paths[0])

    def _object(self, selected: Selected, value: Value) -> Fill:
        assert selected.selection
        shape, key, is_root = self.build(selected.selection), selected.key, selected.selection.of.collection is not None
        # what is read from elsewhere in the document is there even when this part is not
        is_always = any(output_field.stored_paths for output_field in selected.selection.of.output_fields.values())

        def fill(answer: Answer, document: Document, root: Document, pending: PendingRelations) -> None:
            inner = value(document, root)
            if isinstance(inner, dict):
                answer[key] = shape(inner, inner if is_root else root, pending)
            elif is_always:
                answer[key] = shape({}, root, pending)

        return fill

    def _objects(self, selected: Selected, value: Value) -> Fill:
        assert selected.selection
        shape, key, is_root = self.build(selected.selection), selected.key, selected.selection.of.collection is not None

        def fill(answer: Answer, document: Document, root: Document, pending: PendingRelations) -> None:
            inner = value(document, root)
            if isinstance(inner, list):
                items = [item for item in inner if isinstance(item, dict)]
                answer[key] = [shape(item, item if is_root else root, pending) for item in items]

        return fill

    def _items(self, selected: Selected, value: Value) -> Fill:
        """A stored map, or an older server's list, as a list."""
        assert selected.selection
        shape, key, find = self.build(selected.selection), selected.key, self._find(selected)

        def fill(answer: Answer, document: Document, root: Document, pending: PendingRelations) -> None:
            answer[key] = [shape(item, root, pending) for item in find(value(document, root))]

        return fill

    def _find(self, selected: Selected) -> Callable[[Any], list[Document]]:
        assert selected.output_field
        assert selected.output_field.map_view
        shown, levels = selected.output_field.map_view, map_keys(selected)
        wanted = {
            field: values
            for field in self._spec.get_object(shown.item_definition).fields
            if (values := _argument(selected, field.name)) is not None
        }

        is_exact = None not in levels  # then they come in the order of the arguments

        def is_wanted(item: Document) -> bool:
            return all(item.get(field.name, field.default) in values for field, values in wanted.items())

        def find(value: Any) -> list[Document]:
            if isinstance(value, list):
                return _in_order(
                    [item for item in value if isinstance(item, dict) and is_wanted(item)], shown.key_fields
                )
            if shown.is_key_value:
                return _entries(value, levels[0], layout.unescape if shown.key_encoding == "escaped" else str)
            found = [item for item in _bottom(value, levels) if isinstance(item, dict)]
            if shown.key_encoding == "artifact":
                found = list(filter(is_wanted, found))
            return found if is_exact else _in_order(found, shown.key_fields)

        return find


def _argument(selected: Selected, name: str) -> list[Any] | None:
    assert selected.output_field
    shown = [argument.graphql_name for argument in selected.output_field.arguments if argument.name == name]
    return selected.arguments.get(shown[0]) if shown else None


def _compiled(source: str) -> CodeType:
    return _cached(source) if len(source) < LONGEST_CACHED else _cached.__wrapped__(source)


@lru_cache(512)
def _cached(source: str) -> CodeType:
    return compile(source, "<shape>", "exec")


def _bottom(value: Any, levels: list[list[str] | None]) -> list[Any]:
    """Everything at the bottom of a map of maps, taking only the keys asked for at each level."""
    found = [value]
    for keys in levels:
        maps = [inner for inner in found if isinstance(inner, dict)]
        if keys is None:
            found = [item for inner in maps for item in inner.values()]
        else:
            found = [inner[key] for inner in maps for key in keys if key in inner]
    return found


def _in_order(items: list[Document], by: tuple[str, ...]) -> list[Document]:
    """A map keeps no order that means anything, so its items are ordered by what names them."""
    try:
        return sorted(items, key=itemgetter(*by))
    except (KeyError, TypeError):  # an item without a name, or with one of another type
        return sorted(items, key=lambda item: [str(item.get(name, "")) for name in by])


def _entries(value: Any, keys: list[str] | None, name: Callable[[str], str]) -> list[Document]:
    if not isinstance(value, dict):
        return []
    asked = value if keys is None else [key for key in keys if key in value]
    return [{"key": name(key), "value": value[key]} for key in asked]


def _own_id(number: int) -> str:
    """The expression for a document's own id, which is a text whatever is stored."""
    return f"v if type(v := value{number}(document, root)) is str else convert{number}(v)"


def _source(output_field: FieldSpec, number: int) -> str:
    """The expression for a plain value in a shape."""
    get = f"get({output_field.name!r})" if not output_field.stored_paths else f"value{number}(document, root)"
    if isinstance(output_field.type, ListOf) and output_field.is_required:
        return f"convert{number}({get}) or []"
    usual = USUAL.get(output_field.type.name, "False") if isinstance(output_field.type, ScalarType) else "False"
    return f"v if (v := {get}) is None or {usual} else convert{number}(v)"


def _relation(selected: Selected, value: Value) -> Fill:
    def fill(answer: Answer, document: Document, root: Document, pending: PendingRelations) -> None:
        if id_ := reference(value(document, root)):
            _await(selected, answer, id_, root, pending)

    return fill


def _loaded(selected: Selected) -> Fill:
    def fill(answer: Answer, _document: Document, root: Document, pending: PendingRelations) -> None:
        # nothing is loaded for a document that is gone, and nothing can refer to an id that is no text
        if OWNER in root and (id_ := reference(root["_id"])):
            _await(selected, answer, id_, root, pending)

    return fill


def _await(selected: Selected, answer: Answer, id_: str, root: Document, pending: PendingRelations) -> None:
    pending.setdefault(id(selected), Pending(selected, [])).slots.append(Slot(answer, selected.key, id_, root))
