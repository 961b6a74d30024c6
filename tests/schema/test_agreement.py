"""HOCON and the documents agree on what is stored: field by field, in both directions."""

import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, Field

from models.store.database import DOCUMENTS
from schema.load import load
from schema.spec import EnumSpec, FieldSpec, ListOf, MapOf, MapSpec, ObjectSpec, Ref, ScalarType, TypeSpec

SCALARS: Mapping[str, type] = {
    "String": str,
    "ID": str,
    "Int": int,
    "Long": int,
    "Float": float,
    "Boolean": bool,
    "DateTime": datetime,
    "JSON": dict,
}
HOCON_ONLY = {"queue.entries[].position": "the place in the stored list"}
HoconTypes = list[tuple[str, type | None]]
DocumentTypes = set[tuple[str, type]]
# a document's field → why HOCON has none for it
STORED_ONLY = {
    "task.unique_metrics": "an index of the names that lastMetrics shows",
    **dict.fromkeys(
        (f"taskql_transition.{name}" for name in ("_id", "company", "task", "number")),
        "whose it is and where it stands, which the place in the answer tells",
    ),
    **dict.fromkeys((f"{name}.revision_id" for name in DOCUMENTS), "Beanie's own, and never written"),
}


# -- what HOCON says: stored path → type; [] leads into a list, {} into a map ----------------------


def walk_types(definition: ObjectSpec, root: str, at: str = "") -> Iterator[tuple[str, type | None]]:
    """The type is None where a reader makes the field of what other fields keep there."""
    for field in definition.fields:
        if field.related:
            continue
        own = f"{at}{field.name}"
        for path in field.stored_paths or (own,):
            if field.layout_reader and path != own:
                yield f"{root}.{path}", None
            else:
                yield from walk_type(find_stored_type(field), root, path)


def find_stored_type(field: FieldSpec) -> TypeSpec:
    """Artifacts are a list in the seed, and a map where they are stored."""
    is_map = field.map_view and field.map_view.key_encoding == "artifact"
    return MapOf(field.type.item) if is_map and isinstance(field.type, ListOf) else field.type


def walk_type(type_: TypeSpec, root: str, path: str) -> Iterator[tuple[str, type | None]]:
    match type_:
        case ScalarType(name):
            yield f"{root}.{path}", SCALARS[name]
        case ListOf(item):
            yield from walk_type(item, root, f"{path}[]")
        case MapOf(value):
            yield from walk_type(value, root, f"{path}{{}}")
        case Ref(name):
            match load().definitions[name]:
                case ObjectSpec() as definition:
                    yield from walk_types(definition, root, f"{path}.")
                case MapSpec(value=value):
                    yield from walk_type(value, root, f"{path}{{}}")
                case EnumSpec():
                    yield f"{root}.{path}", str


# -- what the documents keep: the same paths → types -----------------------------------------------


def walk_document_types(model: type[BaseModel], at: str) -> Iterator[tuple[str, type]]:
    for name, field in model.model_fields.items():
        yield from walk_annotation(field.annotation, f"{at}.{field.alias or name}")


def walk_annotation(annotation: Any, path: str) -> Iterator[tuple[str, type]]:
    inner = get_args(annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        for one in inner:
            if one is not types.NoneType:
                yield from walk_annotation(one, path)
    elif get_origin(annotation) is list:
        yield from walk_annotation(inner[0], f"{path}[]")
    elif get_origin(annotation) is dict and inner[1] is not Any:
        yield from walk_annotation(inner[1], f"{path}{{}}")
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from walk_document_types(annotation, path)
    else:
        yield path, get_origin(annotation) or annotation


def is_stored_path(path: str, paths: set[str]) -> bool:
    return any(place == path or place.startswith((f"{path}.", f"{path}[", f"{path}{{")) for place in paths)


# -- agreement -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collections() -> list[ObjectSpec]:
    found = [definition for definition in load().definitions.values() if isinstance(definition, ObjectSpec)]
    return [definition for definition in found if definition.collection]


@pytest.fixture(scope="module")
def spec(collections: list[ObjectSpec]) -> HoconTypes:
    return [element for found in collections for element in walk_types(found, str(found.collection))]


@pytest.fixture(scope="module")
def documents() -> DocumentTypes:
    return {element for name, document in DOCUMENTS.items() for element in walk_document_types(document, name)}


def test_every_stored_definition_has_a_document(collections: list[ObjectSpec]) -> None:
    assert {definition.collection for definition in collections} == set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_kept_in_the_collection_of_its_name(name: str) -> None:
    settings = DOCUMENTS[name].__dict__["Settings"]
    assert name == settings.name


def test_every_field_of_hocon_is_kept_in_its_type(spec: HoconTypes, documents: DocumentTypes) -> None:
    assert {path for path, type_ in spec if type_ and (path, type_) not in documents} == HOCON_ONLY.keys()


def test_every_place_that_a_reader_reads_is_kept(spec: HoconTypes, documents: DocumentTypes) -> None:
    paths = {path for path, _ in documents}
    assert {path for path, type_ in spec if type_ is None and not is_stored_path(path, paths)} == set()


def test_every_field_of_a_document_is_in_hocon_or_has_a_reason_not_to_be(
    spec: HoconTypes, documents: DocumentTypes
) -> None:
    hocon_paths = {path for path, type_ in spec if type_}
    assert {path.rstrip("[]{}") for path, _ in documents if path not in hocon_paths} == set(STORED_ONLY)


def test_documents_are_read_as_hocon_is() -> None:
    """The paths and types that these tests compare, of one small document."""

    class Inner(BaseModel):
        count: int | None = None

    class Outer(BaseModel):
        id: str = Field(alias="_id")
        many: list[Inner] = []
        table: dict[str, dict[str, float | None]] = {}
        free: dict[str, Any] = {}
        cells: list[list[int | str]] | None = None

    assert list(walk_document_types(Outer, "outer")) == [
        ("outer._id", str),
        ("outer.many[].count", int),
        ("outer.table{}{}", float),
        ("outer.free", dict),
        ("outer.cells[][]", int),
        ("outer.cells[][]", str),
    ]
