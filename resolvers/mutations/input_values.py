"""What a caller gives of a document → what is stored of it: in its place, in the 2.3 layout, and found to be right."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import bson
from bson.errors import BSONError
from pydantic import ValidationError

from models import layout
from models.documents.base import OwnedDocument
from models.documents.task import Task
from models.rules import in_force, is_known_destination
from models.status import COMPLETED
from models.types import Document
from resolvers.errors import ErrorCode, ForbiddenError, InputError, not_found
from resolvers.mutations.transaction import Change
from schema.spec import FieldSpec, MapView, ObjectSpec, Ref, Spec

OF_THE_REQUEST = {"force", "idempotency_key"}  # what an input says besides values
DESTINATION = "output.destination"
Made = TypeVar("Made", bound=OwnedDocument)


class Given(NamedTuple):
    """A value, by its name in the API and where it is stored; None takes away what is there.

    `collection` and `id` are there for a reference.
    """

    name: str
    path: str
    value: Any
    collection: str | None = None
    id: str | None = None


# -- in its place ----------------------------------------------------------------------------------


def laid_out(change: Change, of: str, stored: Document, *but: str) -> list[Given]:
    """The values of a request, `but` some, as the definition of its input has them; `stored` is where they go to."""
    values = {name: value for name, value in change.asked.items() if name not in OF_THE_REQUEST.union(but)}
    return list(_Layout(change.spec, stored, change.now).of(change.spec.get_object(of), values))


class _Layout(NamedTuple):
    spec: Spec
    stored: Document
    now: datetime

    def of(self, owner: ObjectSpec, values: Mapping[str, Any], at: str = "", shown: str = "") -> Iterator[Given]:
        for field in owner.fields:
            if field.name in values:
                yield from self._placed(field, values[field.name], at, shown + field.graphql_name)

    def _placed(self, field: FieldSpec, value: Any, at: str, name: str) -> Iterator[Given]:
        place, *older = field.stored_paths or (at + field.name,)
        inner = self.spec.definitions[field.type.name] if isinstance(field.type, Ref) else None
        if isinstance(inner, ObjectSpec) and (value is not None or any(part.stored_paths for part in inner.fields)):
            parts = dict.fromkeys(part.name for part in inner.fields) if value is None else value
            yield from self.of(inner, parts, f"{place}.", f"{name}.")
            return
        written = (
            self._rewritten(field, value, name) if field.layout_writer else {place: self._mapped(field, value, name)}
        )
        for path, part in written.items():
            yield Given(name, path, part, field.relation, value if field.relation else None)
        for path in older:
            yield Given(name, path, None)

    def _rewritten(self, field: FieldSpec, value: Any, name: str) -> layout.StoredValues:
        """The values that newer servers keep of a field of older ones."""
        assert field.layout_writer
        try:
            written: layout.StoredValues = layout.WRITERS[field.layout_writer](
                value, self.now, *[layout.read_path(self.stored, path) for path in field.stored_paths]
            )
        except ValueError as error:
            raise _wrong(name, str(error)) from error
        return written

    def _mapped(self, field: FieldSpec, value: Any, name: str) -> Any:
        if value is None or not field.map_view:
            return value
        return _as_map(field.map_view, self._with_defaults(field.map_view, value), name)

    def _with_defaults(self, shown: MapView, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        fields = self.spec.get_object(shown.item_definition).fields
        defaults = {field.name: field.default for field in fields if field.default is not None}
        return [defaults | {name: value for name, value in item.items() if value is not None} for item in items]


def _as_map(shown: MapView, items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The stored map of a list, by the keys of its items."""
    found: dict[str, Any] = {}
    for item in items:
        *outer, key = _keys(shown, item, name)
        level = found
        for part in outer:
            level = level.setdefault(part, {})
        if key in level:
            raise _wrong(name, "two items have the same " + " and ".join(shown.key_fields))
        level[key] = item.get("value") if shown.is_key_value else item
    return found


def _keys(shown: MapView, item: dict[str, Any], name: str) -> list[str]:
    for part in shown.key_fields:
        if shown.key_encoding == "escaped":
            item[part] = item[part].strip()
        if not item[part].strip() or "\0" in item[part]:
            raise _wrong(name, f"the {part} of an item is empty or can't be stored")
    if shown.key_encoding == "artifact":
        return [layout.build_artifact_key(item["key"], item["mode"])]
    make: Callable[[str], str] = layout.escape if shown.key_encoding == "escaped" else str
    return [make(item[part]) for part in shown.key_fields]


# -- right in itself -------------------------------------------------------------------------------


def made(kind: type[Made], given: list[Given], **fields: Any) -> Made:
    """The new document of these values and, beneath them, fields; raises InputError when they make none."""
    for one in given:
        _put(fields, one)
    try:
        found: Made = kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        name = next((one.name for one in given if f"{at}.".startswith(f"{one.path}.")), at)
        raise _wrong(name, first["msg"].removeprefix("Value error, ")) from error
    return found


def signed(change: Change) -> dict[str, Any]:
    """What a new document says of who made it, and when."""
    return {
        "company": change.viewer.company, "user": change.viewer.user, "created": change.now, "last_update": change.now,
    }  # fmt: skip


def changed(given: list[Given]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Stored path → value of what is set of a task, and the paths of what is taken away."""
    unset = tuple(one.path for one in given if one.value is None)
    for one in given:
        field = Task.model_fields.get(one.path)
        if one.value is None and field and (field.is_required() or field.default_factory):
            raise _wrong(one.name, "a task always has one, so that null can't clear it")
    # what a task needs and this does not change is right already
    right = made(Task, given, company="", name="---", type="").stored()
    return {one.path: layout.read_path(right, one.path) for one in given if one.value is not None}, unset


def _put(document: Document, one: Given) -> None:
    *outer, key = one.path.split(".")
    for part in outer:
        document = document.setdefault(part, {})
    document.pop(key, None)
    if one.value is None:
        return
    document[key] = one.value
    try:
        bson.encode({key: one.value})
    except (BSONError, OverflowError) as error:
        raise _wrong(one.name, f"this can't be stored ({error})") from error


def _wrong(name: str, reason: str) -> InputError:
    return InputError(ErrorCode.DATA_VALIDATION_ERROR, f"{name}: {reason[:1].lower()}{reason[1:]}.", field=name)


# -- right among others ----------------------------------------------------------------------------


async def refuse_unfitting(change: Change, given: list[Given]) -> None:
    """Raises ApiError when a value refers to what is not there, or breaks one of the documented rules."""
    for one in given:
        if one.collection and one.id is not None:
            await _refuse_reference(change, one.name, one.collection, one.id)
        if one.path == DESTINATION and one.value is not None and in_force("output_dest_known", change.rules):
            _refuse_destination(change, one)


async def _refuse_reference(change: Change, name: str, collection: str, id_: str) -> None:
    seen = await change.tx.read_visible(collection, {"_id": id_}, {"company": 1, "status": 1})
    found = seen[0] if seen else None
    is_own = found is not None and change.viewer.can_write(found)
    if collection == "project" and found and not is_own:
        message = "Nothing is put into a public project by those who read it."
        raise ForbiddenError(ErrorCode.NO_WRITE_PERMISSION, message, field=name, project=id_)
    is_lax = collection == "project" and not in_force("project_exists", change.rules)
    if not is_lax and (found is None or (collection == "queue" and not is_own)):
        raise not_found(collection, id_, field=name, message=_describe_deleted(collection, id_))
    if found and collection == "task" and name == "parent" and in_force("parent_completed", change.rules):
        _refuse_unfinished(found)


def _describe_deleted(collection: str, id_: str) -> str | None:
    """The message for an id that marks a deleted document; None for any other id."""
    if not id_.startswith(layout.DELETED_PREFIX):
        return None
    deleted_id = id_.removeprefix(layout.DELETED_PREFIX)
    return f"The {collection} with the id {deleted_id!r} was deleted; name another one, or none."


def _refuse_unfinished(parent: Document) -> None:
    status = parent.get("status")
    if status != COMPLETED:
        message = f"The parent of a task is COMPLETED, and this one is {str(status).upper()}."
        raise InputError(ErrorCode.TASK_VALIDATION_ERROR, message, field="parent", parent=parent["_id"],
                         status=str(status).upper(), allowed=[COMPLETED.upper()])  # fmt: skip


def _refuse_destination(change: Change, one: Given) -> None:
    if not is_known_destination(one.value.strip(), change.storages):
        allowed = "in one of the configured storages" if change.storages else "a path, or a known kind of URI"
        message = f"The destination of the output is {allowed}; {one.value!r} is not."
        raise InputError(ErrorCode.TASK_VALIDATION_ERROR, message, field=one.name, allowed=list(change.storages))
