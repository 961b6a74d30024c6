"""Generated serializers: their source shows in a traceback, and lives no longer than they do."""

import gc
import linecache
import traceback
from collections.abc import Iterable
from typing import Any

import pytest

from resolvers.execution.selection import Selection, build_field
from resolvers.execution.serializer import MAX_CACHED_SOURCE, Serialize, Serializer
from schema.load import load


def build(keys_of_fields: Iterable[tuple[str, str]]) -> Serialize:
    """Build the serializer of plain fields of a task: (key in the answer, field)."""
    spec = load()
    task = spec.get_object("task")
    fields = tuple(build_field(key, task.output_fields[field], {}, None) for key, field in keys_of_fields)
    return Serializer(spec).build(Selection(task, fields))


class FaultyDocument(dict[str, Any]):
    """A document whose comment can't be read."""

    def get(self, key: str, default: Any = None) -> Any:
        if key == "comment":
            raise RuntimeError("broken")
        return super().get(key, default)


def test_a_traceback_shows_the_generated_line_of_the_field_that_fails() -> None:
    serialize = build([("name", "name"), ("note", "comment"), ("type", "type")])
    document = FaultyDocument(name="a", type="training")
    with pytest.raises(RuntimeError) as caught:
        serialize(document, document, {})
    [line] = [frame.line for frame in traceback.extract_tb(caught.tb) if frame.name == "serialize"]
    assert line == "'note': v if (v := get('comment')) is None or type(v) is str else convert1(v),"


def test_the_lines_of_a_long_source_go_with_its_serializer() -> None:
    serialize = build((f"key{number:0100}", "name") for number in range(MAX_CACHED_SOURCE // 100))
    filename = serialize.__code__.co_filename
    assert linecache.getline(filename, 1) == "def serialize(document, root, pending):\n"
    del serialize
    gc.collect()
    assert linecache.getline(filename, 1) == ""


def test_a_selection_of_a_hundred_and_twenty_fields_is_compiled_once() -> None:
    keys_of_fields = [(f"name{number}", "name") for number in range(120)]
    assert build(keys_of_fields).__code__ is build(keys_of_fields).__code__
