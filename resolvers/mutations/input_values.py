"""The values of an input → the stored values: converted to the 2.3 layout, validated, and checked against others."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import bson
from bson.errors import BSONError
from pydantic import ValidationError

from models import layout
from models.documents.base import OwnedDocument
from models.documents.task import Task
from models.rules import is_in_force, is_known_destination
from models.status import COMPLETED
from models.types import Document
from resolvers.errors import ErrorCode, ForbiddenError, InputError, not_found
from resolvers.mutations.transaction import MutationCall
from schema.spec import FieldSpec, MapView, ObjectSpec, Ref, Spec

NOT_VALUES = {"force", "idempotency_key"}  # arguments of the call
DESTINATION = "output.destination"
NewDocument = TypeVar("NewDocument", bound=OwnedDocument)


class InputValue(NamedTuple):
    """A value with its public name and its stored path; None clears the path.

    A reference has the `collection` and the `id` of its document.
    """

    name: str
    path: str
    value: Any
    collection: str | None = None
    id: str | None = None


# -- converted to the stored layout ----------------------------------------------------------------


def read_input_values(call: MutationCall, definition: str, stored: Document, *omitted: str) -> list[InputValue]:
    """Read the values of a call, less the omitted arguments, by the definition of its input.

    Fields of older servers are converted by what is `stored` already.
    """
    skipped = NOT_VALUES.union(omitted)
    values = {name: value for name, value in call.arguments.items() if name not in skipped}
    return list(_InputReader(call.spec, stored, call.now).read_object(call.spec.get_object(definition), values, "", ""))


class _InputReader(NamedTuple):
    spec: Spec
    stored: Document
    now: datetime

    def read_object(self, owner: ObjectSpec, values: Mapping[str, Any], path: str, name: str) -> Iterator[InputValue]:
        """Read the fields of an object; `path` and `name` are the prefixes of theirs."""
        for field in owner.fields:
            if field.name in values:
                yield from self._read_field(field, values[field.name], path, name + field.graphql_name)

    def _read_field(self, field: FieldSpec, value: Any, prefix: str, name: str) -> Iterator[InputValue]:
        path, *older_paths = field.stored_paths or (prefix + field.name,)
        inner = self.spec.definitions[field.type.name] if isinstance(field.type, Ref) else None
        if isinstance(inner, ObjectSpec) and (value is not None or _is_scattered(inner)):
            values = dict.fromkeys(inner_field.name for inner_field in inner.fields) if value is None else value
            yield from self.read_object(inner, values, f"{path}.", f"{name}.")
            return
        id_ = value if field.relation else None
        if field.layout_writer:
            written = self._convert_older_field(field, value, name)
        else:
            written = {path: self._convert(field, value, name)}
        for written_path, written_value in written.items():
            yield InputValue(name, written_path, written_value, field.relation, id_)
        for older_path in older_paths:
            yield InputValue(name, older_path, None)

    def _convert_older_field(self, field: FieldSpec, value: Any, name: str) -> layout.StoredValues:
        """Convert a field of older servers to the stored values that newer ones have in its place."""
        assert field.layout_writer
        stored = [layout.read_path(self.stored, path) for path in field.stored_paths]
        try:
            return layout.WRITERS[field.layout_writer](value, self.now, *stored)
        except ValueError as error:
            raise _invalid_value(name, str(error)) from error

    def _convert(self, field: FieldSpec, value: Any, name: str) -> Any:
        if value is None or not field.map_view:
            return value
        return _build_map(field.map_view, self._add_defaults(field.map_view, value), name)

    def _add_defaults(self, map_view: MapView, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        fields = self.spec.get_object(map_view.item_definition).fields
        defaults = {field.name: field.default for field in fields if field.default is not None}
        return [defaults | {name: value for name, value in item.items() if value is not None} for item in items]


def _is_scattered(owner: ObjectSpec) -> bool:
    """Whether fields of an object are stored outside of it, so that null must clear each of them."""
    return any(field.stored_paths for field in owner.fields)


def _build_map(map_view: MapView, items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Build the stored map of a list, by the keys of its items."""
    stored: dict[str, Any] = {}
    for item in items:
        *outer, key = _build_keys(map_view, item, name)
        level = stored
        for outer_key in outer:
            level = level.setdefault(outer_key, {})
        if key in level:
            raise _invalid_value(name, f"two items have the same {' and '.join(map_view.key_fields)}")
        level[key] = item.get("value") if map_view.is_key_value else item
    return stored


def _build_keys(map_view: MapView, item: dict[str, Any], name: str) -> list[str]:
    """Build the keys at which an item is stored, the outermost first."""
    for field in map_view.key_fields:
        if map_view.key_encoding == "escaped":
            item[field] = item[field].strip()
        if not item[field].strip() or "\0" in item[field]:
            raise _invalid_value(name, f"the {field} of an item is empty or can't be stored")
    if map_view.key_encoding == "artifact":
        return [layout.build_artifact_key(item["key"], item["mode"])]
    convert: Callable[[str], str] = layout.escape if map_view.key_encoding == "escaped" else str
    return [convert(item[field]) for field in map_view.key_fields]


# -- valid by itself -------------------------------------------------------------------------------


def build_document(model: type[NewDocument], values: list[InputValue], **fields: Any) -> NewDocument:
    """Build a new document of fields and, over them, values; raises InputError when they are invalid."""
    for value in values:
        _put_value(fields, value)
    try:
        document: NewDocument = model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        name = next((value.name for value in values if f"{path}.".startswith(f"{value.path}.")), path)
        raise _invalid_value(name, first["msg"].removeprefix("Value error, ")) from error
    return document


def build_owner_fields(call: MutationCall) -> dict[str, Any]:
    """Build the fields of a new document that name its owner and its time."""
    return {
        "company": call.viewer.company,
        "user": call.viewer.user,
        "created": call.now,
        "last_update": call.now,
    }


def split_changes(values: list[InputValue]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Split the values for a task into those to set, by stored path, and the paths to clear."""
    unset = tuple(value.path for value in values if value.value is None)
    for value in values:
        field = Task.model_fields.get(value.path)
        if value.value is None and field and (field.is_required() or field.default_factory):
            raise _invalid_value(value.name, "null can't clear it, because a task always has one")
    # valid values stand for the required fields that the call does not change
    valid = build_document(Task, values, company="", name="---", type="").to_raw()
    return {value.path: layout.read_path(valid, value.path) for value in values if value.value is not None}, unset


def _put_value(document: Document, value: InputValue) -> None:
    *outer, key = value.path.split(".")
    for name in outer:
        document = document.setdefault(name, {})
    document.pop(key, None)
    if value.value is None:
        return
    document[key] = value.value
    try:
        bson.encode({key: value.value})
    except (BSONError, OverflowError) as error:
        raise _invalid_value(value.name, f"the value can't be stored ({error})") from error


def _invalid_value(name: str, reason: str) -> InputError:
    return InputError(ErrorCode.DATA_VALIDATION_ERROR, f"{name}: {reason[:1].lower()}{reason[1:]}.", field=name)


# -- valid among other documents -------------------------------------------------------------------


async def refuse_unfit_values(call: MutationCall, values: list[InputValue]) -> None:
    """Raises ApiError for a reference to a missing document, and for a value against the documented rules."""
    for value in values:
        if value.collection and value.id is not None:
            await _refuse_reference(call, value.name, value.collection, value.id)
        if value.path == DESTINATION and value.value is not None and is_in_force("output_dest_known", call.rules):
            _refuse_unknown_destination(call, value)


async def _refuse_reference(call: MutationCall, name: str, collection: str, id_: str) -> None:
    documents = await call.tx.read_visible(collection, {"_id": id_}, {"company": 1, "status": 1})
    document = documents[0] if documents else None
    is_own = document is not None and call.viewer.can_write(document)
    if collection == "project" and document and not is_own:
        message = "The project is public and read-only for you; choose a project of your company."
        raise ForbiddenError(ErrorCode.NO_WRITE_PERMISSION, message, field=name, project=id_)
    can_be_missing = collection == "project" and not is_in_force("project_exists", call.rules)
    if not can_be_missing and (document is None or (collection == "queue" and not is_own)):
        raise not_found(collection, id_, field=name, message=_describe_deleted(collection, id_))
    if document and collection == "task" and name == "parent" and is_in_force("parent_completed", call.rules):
        _refuse_unfinished_parent(document)


def _describe_deleted(collection: str, id_: str) -> str | None:
    """Build the message for an id that marks a deleted document; None for any other id."""
    if not id_.startswith(layout.DELETED_PREFIX):
        return None
    deleted_id = id_.removeprefix(layout.DELETED_PREFIX)
    return f"The {collection} with the id {deleted_id!r} was deleted; name another one, or none."


def _refuse_unfinished_parent(parent: Document) -> None:
    if parent.get("status") != COMPLETED:
        status, allowed = str(parent.get("status")).upper(), COMPLETED.upper()
        message = f"parent needs a task that is {allowed}; this one is {status}."
        details = {"field": "parent", "parent": parent["_id"], "status": status, "allowed": [allowed]}
        raise InputError(ErrorCode.TASK_VALIDATION_ERROR, message, **details)


def _refuse_unknown_destination(call: MutationCall, value: InputValue) -> None:
    if not is_known_destination(value.value.strip(), call.storages):
        allowed = "in one of the configured storages" if call.storages else "a path, or a URI of a known kind"
        message = f"{value.name} must be {allowed}; {value.value!r} is not."
        raise InputError(ErrorCode.TASK_VALIDATION_ERROR, message, field=value.name, allowed=list(call.storages))
