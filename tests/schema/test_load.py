"""HOCON → spec: every mistake is reported with its file and path, and files without one are read correctly."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.dialect import FUNCTION_NAMES
from schema.load import load
from schema.sources import HoconSources, SchemaError
from schema.spec import EnumSpec, FieldSpec, ListOf, MapSpec, ObjectSpec, Ref, ScalarType, Spec

TASKS = """
_definitions {
  include "_common.conf"
  run {
    description: "A run."
    type: object
    required: [id, nme]
    x-collection: run
    x-colour: red
    properties {
      id { type: string, x-scalar: ID, x-stored: "_id" }
      project { type: string, x-relation: project }
      project_id { type: string }
      owner { type: string, x-relation: person }
      status { "$ref": "#/definitions/run_status_enum" }
      kind { type: string, enum: [fast, slow], default: medium }
      size { type: int }
      curve { "$ref": "#/definitions/curve" }
      notes { type: object, x-list { of: note } }
      tags { type: array }
    }
  }
  run_status_enum {
    type: string
    enum: [new, in-progress]
    x-values { new: "Just made.", old: "Long gone." }
  }
  run_status { type: object, properties.a { type: string } }
}
get_all {
  "2.1" {
    request.properties.name { type: string, x-filter: regex, patern: "a" }
  }
}
"""
PROJECTS = """
_definitions {
  project {
    type: object
    x-collection: project
    properties {
      id { type: string, x-scalar: Id }
      name { type: string, x-name: "full name" }
      last_run { type: string, x-read: newest }
      lastRun { type: string }
    }
  }
  run.description: "Something else."
  run_filter { x-like: runs.get_all }
}
"""
OPERATIONS = """
_query {
  runs {
    arguments.properties.first { type: whole }
    returns { "$ref": "#/definitions/run_connection" }
    cached: true
  }
}
"""
# pyhocon logs a missing include by a deprecated method
PYHOCON_WARNS = "ignore:The 'warn' method is deprecated:DeprecationWarning"


def write_files(at: Path, **files: str) -> Path:
    for name, text in files.items():
        (at / f"{name}.conf").write_text(text, encoding="utf-8")
    return at


def list_mistakes(at: Path) -> list[str]:
    """List the mistakes of a folder, without the lists of allowed keys."""
    try:
        load(at)
    except SchemaError as error:
        return [str(mistake).partition("; allowed: ")[0] for mistake in error.mistakes]
    return []


def refuse_function(annotation: str, name: str) -> str:
    allowed = ", ".join(FUNCTION_NAMES[annotation])
    return f"{name!r} is not one of {allowed}; name a new one in schema/dialect.py first"


def define_thing(properties: str = "", definitions: str = "") -> str:
    """Define a valid thing, with more properties and definitions."""
    return f"""
    _definitions {{
      thing {{ type: object, properties {{ a {{ type: string }}, {properties} }} }}
      {definitions}
    }}
    """


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings(PYHOCON_WARNS)
def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    at = write_files(
        tmp_path,
        tasks=TASKS,
        projects=PROJECTS,
        operations=OPERATIONS,
        broken="_definitions { thing { ",
        unresolved="_definitions.thing.properties.a = ${_references.nothing}",
    )
    run, project, status = "_definitions.run", "_definitions.project.properties", "_definitions.run_status_enum"
    name = "tasks.get_all.2.1.request.properties.name"
    expected = [
        "broken.conf: Expected '}', found end of text (at char 23), (line:1, col:24)",
        "operations.conf: operations._query.runs.arguments.properties.first.type: unknown type 'whole'",
        "operations.conf: operations._query.runs.cached: unknown key",
        "operations.conf: operations._query.runs.returns.$ref: #/definitions/run_connection names no definition",
        f"projects.conf: {project}.id.x-scalar: 'Id' is not one of ID, Long, JSON",
        f"projects.conf: {project}.lastRun: lastRun is also the GraphQL name of last_run",
        f"projects.conf: {project}.last_run.x-read: {refuse_function('x-read', 'newest')}",
        f"projects.conf: {project}.name: 'full name' can't be a GraphQL name",
        "projects.conf: _definitions.run_filter.x-like: endpoint runs.get_all does not exist",
        "projects.conf: _definitions.run_filter: needs properties, an enum or a map (additionalProperties)",
        f"tasks.conf: {run}.description: 'A run.', but projects.conf says 'Something else.'",
        f"tasks.conf: {run}.properties.curve.$ref: #/definitions/curve names no definition",
        f"tasks.conf: {run}.properties.kind.default: 'medium' is not in the enum",
        f"tasks.conf: {run}.properties.notes.x-list: note names no definition with properties",
        f"tasks.conf: {run}.properties.owner.x-relation: 'person' is not one of project, run",
        f"tasks.conf: {run}.properties.project_id: projectId is also the GraphQL name of project",
        f"tasks.conf: {run}.properties.size.type: unknown type 'int'",
        f"tasks.conf: {run}.properties.tags.items: an array needs the type of its items",
        f"tasks.conf: {run}.required: property nme does not exist",
        f"tasks.conf: {run}.x-colour: unknown annotation",
        "tasks.conf: _definitions.run_status: run_status and run_status_enum are both RunStatus in GraphQL",
        f"tasks.conf: {status}.enum: 'in-progress' can't be a GraphQL name",
        f"tasks.conf: {status}.x-values: old is not in the enum",
        'tasks.conf: include "_common.conf": the file does not exist',
        f"tasks.conf: {name}.patern: unknown key",
        f"tasks.conf: {name}.x-filter: {refuse_function('x-filter', 'regex')}",
        "unresolved.conf: Cannot resolve variable ${_references.nothing} (line: 1, col: 35)",
    ]
    assert expected == sorted(list_mistakes(at))


STORED = """
other {
  type: object, x-collection: other
  properties { id { type: string, x-scalar: ID }, thing { "$ref": "#/definitions/thing" } }
}"""
PROPERTIES = {
    "a reference to nothing": ('b { "$ref": "#/definitions/no" }', "b.$ref: #/definitions/no names no definition"),
    "a reference to elsewhere": ('b { "$ref": "thing" }', "b.$ref: thing names no definition"),
    "an unknown type": ("b { type: text }", "b.type: unknown type 'text'"),
    "an unknown format": ("b { type: string, format: date }", "b.type: unknown type 'string' (date)"),
    "no type at all": ("b {}", "b.type: unknown type None"),
    "a list of nothing": ("b { type: array }", "b.items: an array needs the type of its items"),
    "a default outside its enum": ("b { type: string, enum: [x], default: y }", "b.default: 'y' is not in the enum"),
    "a number outside its enum": ("b { type: integer, enum: [0, 1], default: 2 }", "b.default: 2 is not in the enum"),
    "a default outside the enum that is referred to": (
        'b { "$ref": "#/definitions/colour_enum", default: grey }',
        "b.default: 'grey' is not in the enum",
    ),
    "a second field of one name": (
        "b_c { type: string }, bC { type: string }",
        "bC: bC is also the GraphQL name of b_c",
    ),
    "a field named like the id of a relation": (
        "b { type: string, x-relation: other }, b_id { type: string }",
        "b_id: bId is also the GraphQL name of b",
    ),
    "a name that is none in GraphQL": ('"b-c" { type: string }', "b-c: 'b-c' can't be a GraphQL name"),
    "a name that GraphQL keeps for itself": ("b { type: string, x-name: __b }", "b: '__b' can't be a GraphQL name"),
    "an unknown annotation": ("b { type: string, x-colour: red }", "b.x-colour: unknown annotation"),
    "a size of no items": (
        "b { type: array, items { type: string }, x-size: 0.5 }",
        "b.x-size: must be a whole number from 1, not 0.5",
    ),
    "a size of one value": ("b { type: string, x-size: 5 }", "b.x-size: only a list has a size"),
    "an unknown key": ("b { type: string, requird: true }", "b.requird: unknown key"),
    "a relation to what is not stored": (
        "b { type: string, x-relation: thing }",
        "b.x-relation: 'thing' is not one of other",
    ),
    "a relation to nothing": ("b { type: string, x-relation: no }", "b.x-relation: 'no' is not one of other"),
    "a list of an unknown definition": (
        "b { type: object, x-list { of: no } }",
        "b.x-list: no names no definition with properties",
    ),
    "a list of an enum": (
        "b { type: object, x-list { of: colour_enum } }",
        "b.x-list: colour_enum names no definition with properties",
    ),
    "a list by an unknown property": (
        "b { type: object, x-list { of: thing, by: [c] } }",
        "b.x-list: thing has no property c",
    ),
    "a list with unknown keys": (
        "b { type: object, x-list { of: thing, key: sha1 } }",
        "b.x-list.key: 'sha1' is not one of md5, escaped, artifact, plain",
    ),
    "an unknown reader": (
        "b { type: string, x-read: newest }",
        f"b.x-read: {refuse_function('x-read', 'newest')}",
    ),
    "arguments of what is not loaded": (
        "b { type: string, x-arguments.properties.c { type: string } }",
        "b.x-arguments: only a related field (x-related) has arguments",
    ),
    "an unknown scalar": ("b { type: integer, x-scalar: Huge }", "b.x-scalar: 'Huge' is not one of ID, Long, JSON"),
}


@pytest.mark.parametrize(("hocon", "message"), PROPERTIES.values(), ids=PROPERTIES)
def test_a_mistake_in_a_property_is_reported(tmp_path: Path, hocon: str, message: str) -> None:
    text = define_thing(hocon, f"colour_enum {{ type: string, enum: [red, blue] }}, {STORED}")
    assert [f"a.conf: _definitions.thing.properties.{message}"] == list_mistakes(write_files(tmp_path, a=text))


def test_an_order_by_more_than_one_value_is_reported(tmp_path: Path) -> None:
    many = "_definitions.other.properties.b { type: array, items { type: string }, x-sortable: true }"
    assert list_mistakes(write_files(tmp_path, a=define_thing(definitions=STORED) + many)) == [
        "a.conf: _definitions.other.properties.b: x-sortable needs a scalar or an enum"
    ]


def test_two_fields_that_are_the_same_value_of_an_order_are_reported(tmp_path: Path) -> None:
    """A list would be ordered by the wrong one of them."""
    stored = """b {
      type: object, x-collection: b
      properties {
        id { type: string, x-scalar: ID, x-stored: "_id" }
        one { type: object, properties.two { type: string, x-sortable: true } }
        one_two { type: string, x-sortable: true }
      }
    }"""
    assert list_mistakes(write_files(tmp_path, a=define_thing(definitions=stored))) == [
        "a.conf: _definitions.b: two sort fields are ONE_TWO"
    ]


def test_a_list_is_not_ordered_by_the_fields_of_a_related_document(tmp_path: Path) -> None:
    """The document of the row does not hold them."""
    own = 'a { type: string, x-sortable: true }, first_other { "$ref": "#/definitions/other", x-related: children }'
    there = "_definitions.other.properties.size { type: integer, x-sortable: true }"
    thing = f"stored {{ type: object, x-collection: stored, properties {{ {own} }} }}"
    spec = load(write_files(tmp_path, a=define_thing(definitions=STORED + thing), b=there))
    assert [*spec.get_object("stored").sort_fields] == ["a"]


LOADED = {
    "for a part of a document": (
        "thing.properties",
        '"$ref": "#/definitions/other"',
        "only a definition with x-collection has related fields",
    ),
    "that is no object": (
        "other.properties",
        "type: array, items { type: string }",
        "a related field is an object or a list of objects; it, or its items, need a $ref",
    ),
}


@pytest.mark.parametrize(("where", "hocon", "message"), LOADED.values(), ids=LOADED)
def test_a_mistake_in_what_is_loaded_is_reported(tmp_path: Path, where: str, hocon: str, message: str) -> None:
    text = f"_definitions.{where}.b {{ {hocon}, x-related: children }}\n" + define_thing(definitions=STORED)
    assert list_mistakes(write_files(tmp_path, a=text)) == [f"a.conf: _definitions.{where}.b.x-related: {message}"]


def test_an_unknown_related_field_is_reported(tmp_path: Path) -> None:
    text = '_definitions.other.properties.b { "$ref": "#/definitions/thing", x-related: no }'
    assert list_mistakes(write_files(tmp_path, a=text, b=define_thing(definitions=STORED))) == [
        f"a.conf: _definitions.other.properties.b.x-related: {refuse_function('x-related', 'no')}"
    ]


DEFINITIONS = {
    "two of one name": (
        "e_enum { type: string, enum: [x] }, e { type: object, properties.a { type: string } }",
        "e: e and e_enum are both E in GraphQL",
    ),
    "one named like the enum of a property": (
        "e { type: object, properties.mode { type: string, enum: [x] } }, e_mode_enum { type: string, enum: [y] }",
        "e_mode_enum: e_mode_enum and e_mode are both EMode in GraphQL",
    ),
    "one named exactly like the enum of a property": (
        "e { type: object, properties.mode { type: string, enum: [x] } }, e_mode { type: string, enum: [y] }",
        "e_mode: e_mode and the enum of e.mode are both EMode in GraphQL",
    ),
    "a required property that is not there": (
        "e { type: object, required: [b], properties.a { type: string } }",
        "e.required: property b does not exist",
    ),
    "an unknown key": ("e { kind: object, properties.a { type: string } }", "e.kind: unknown key"),
    "an unknown annotation": ("e { x-table: e, properties.a { type: string } }", "e.x-table: unknown annotation"),
    "neither this nor that": (
        "e { type: object }",
        "e: needs properties, an enum or a map (additionalProperties)",
    ),
    "a map of nothing": (
        'e { additionalProperties { "$ref": "#/definitions/no" } }',
        "e.additionalProperties.$ref: #/definitions/no names no definition",
    ),
    "an enum value with a blank": (
        'e { type: string, enum: [x, "y z"] }',
        "e.enum: 'y z' can't be a GraphQL name",
    ),
    "an enum value that is a number": ("e { type: string, enum: [1] }", "e.enum: 1 can't be a GraphQL name"),
    "a description of no value": (
        'e { type: string, enum: [x], x-values { y: "Why." } }',
        "e.x-values: y is not in the enum",
    ),
    "two enum values of one name": ("e { type: string, enum: [x, X] }", "e.enum: x and X are both X in GraphQL"),
    "an endpoint that is not there": (
        "e { x-like: a.no, properties.a { type: string } }",
        "e.x-like: endpoint a.no does not exist",
    ),
    "a service that is not there": (
        "e { x-like: no.get, properties.a { type: string } }",
        "e.x-like: endpoint no.get does not exist",
    ),
    "the name of a type that GraphQL has": (
        "query { type: object, properties.a { type: string } }",
        "query: 'Query' can't be the name of a GraphQL type here",
    ),
    "all but an unknown property of an endpoint": (
        "e { x-like: a.get, x-without: [b] }",
        "e.x-like: a.get has no property b",
    ),
}


@pytest.mark.parametrize(("hocon", "message"), DEFINITIONS.values(), ids=DEFINITIONS)
def test_a_mistake_in_a_definition_is_reported(tmp_path: Path, hocon: str, message: str) -> None:
    get = 'get { "1.0" { request.properties.id { type: string, x-filter: listed } } }'
    text = f"_definitions {{ {hocon} }}\n{get}"
    assert [f"a.conf: _definitions.{message}"] == list_mistakes(write_files(tmp_path, a=text))


ENDPOINTS = {
    "a required property that is not there": (
        '"1.0" { request { required: [b], properties.a { type: string } } }',
        "1.0.request.required: property b does not exist",
    ),
    "an unknown type in the response": (
        '"1.0" { response.properties.a { type: text } }',
        "1.0.response.properties.a.type: unknown type 'text'",
    ),
    "an unknown key": ('"1.0" { descripton: "Does." }', "1.0.descripton: unknown key"),
    "an unknown key of the request": (
        '"1.0" { request { propertys {}, properties {} } }',
        "1.0.request.propertys: unknown key",
    ),
    "an unknown annotation of the response": (
        '"1.0" { response { x-colour: red, properties {} } }',
        "1.0.response.x-colour: unknown annotation",
    ),
}


@pytest.mark.parametrize(("hocon", "message"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_a_mistake_in_an_endpoint_is_reported(tmp_path: Path, hocon: str, message: str) -> None:
    assert [f"a.conf: a.do.{message}"] == list_mistakes(write_files(tmp_path, a=f"do {{ {hocon} }}"))


OPERATIONS_WRONG = {
    "an unknown type of argument": (
        "q { arguments.properties.a { type: text }, returns { type: string } }",
        "q.arguments.properties.a.type: unknown type 'text'",
    ),
    "an unknown key of the arguments": (
        "q { arguments { propertys {} }, returns { type: string } }",
        "q.arguments.propertys: unknown key",
    ),
    "an unknown key": ("q { returns { type: string }, cached: true }", "q.cached: unknown key"),
    "nothing to return": ("q {}", "q.returns.type: unknown type None"),
    "two of one name": (
        "q_a { returns { type: string } }, qA { returns { type: string } }",
        "qA: qA and q_a are both qA in GraphQL",
    ),
}


@pytest.mark.parametrize(("hocon", "message"), OPERATIONS_WRONG.values(), ids=OPERATIONS_WRONG)
def test_a_mistake_in_an_operation_is_reported(tmp_path: Path, hocon: str, message: str) -> None:
    assert [f"a.conf: a._query.{message}"] == list_mistakes(write_files(tmp_path, a=f"_query {{ {hocon} }}"))


OTHER_SHAPES = {
    "a definition": "_definitions.thing: 5",
    "the properties": "_definitions.thing { type: object, properties: 5 }",
    "a property": "_definitions.thing { type: object, properties.a: string }",
    "required": "_definitions.thing { type: object, required: a, properties.a { type: string } }",
    "an enum": "_definitions.e_enum { type: string, enum: red }",
    "x-values": "_definitions.e_enum { type: string, enum: [red], x-values: red }",
    "x-list": "_definitions.thing { type: object, properties.a { type: object, x-list: thing } }",
    "x-stored as a number": "_definitions.thing { type: object, properties.a { type: string, x-stored: 5 } }",
    "x-stored as an object": "_definitions.thing { type: object, properties.a { type: string, x-stored { b: 1 } } }",
    "x-like": "_definitions.thing { x-like: 5 }",
    "x-like of an endpoint without a request": '_definitions.thing.x-like: a.do\ndo { "1.0" { description: "Does." } }',
    "an endpoint": "do: 5",
    "an endpoint without a version": 'do { description: "Does." }',
    "a version": 'do { "1.x" { description: "Does." } }',
    "an operation": "_query.q: 5",
}


@pytest.mark.parametrize("hocon", OTHER_SHAPES.values(), ids=OTHER_SHAPES)
def test_what_has_another_shape_than_it_should_is_reported_too(tmp_path: Path, hocon: str) -> None:
    mistakes = list_mistakes(write_files(tmp_path, a=hocon))
    assert mistakes
    assert all(mistake.startswith("a.conf: ") for mistake in mistakes)


def test_a_file_that_is_no_hocon_is_reported_with_the_place(tmp_path: Path) -> None:
    [message] = list_mistakes(write_files(tmp_path, a="_definitions { thing } }", b=define_thing()))
    assert message.startswith("a.conf: ")
    assert message.endswith("(line:1, col:22)")
    assert len(message) < 300


def test_a_substitution_without_a_value_is_reported(tmp_path: Path) -> None:
    expected = ["a.conf: Cannot resolve variable ${nothing} (line: 2, col: 15)"]
    assert expected == list_mistakes(write_files(tmp_path, a="_definitions {\n thing.type = ${nothing} }"))


@pytest.mark.filterwarnings(PYHOCON_WARNS)
@pytest.mark.parametrize(
    "hocon",
    [
        '_references {\n  include "no.conf"\n}',
        '_references { include "no.conf" }',
        '_references { b: 1, include "no.conf" }',
    ],
    ids=["on a line of its own", "behind a brace", "behind a comma"],
)
def test_an_include_of_no_file_is_reported(tmp_path: Path, hocon: str) -> None:
    mistakes = list_mistakes(write_files(tmp_path, a=hocon + "\n" + define_thing()))
    assert mistakes == ['a.conf: include "no.conf": the file does not exist']


@pytest.mark.filterwarnings(PYHOCON_WARNS)
def test_an_include_of_no_file_is_reported_in_a_file_that_is_only_included(tmp_path: Path) -> None:
    at = write_files(
        tmp_path, a='_definitions {\n  include "_common.conf"\n}\n' + define_thing(), _common='include "no.conf"\n'
    )
    assert list_mistakes(at) == ['_common.conf: include "no.conf": the file does not exist']


@pytest.mark.filterwarnings(PYHOCON_WARNS)
def test_words_that_look_like_an_include_are_left_alone(tmp_path: Path) -> None:
    text = '_definitions.thing.description: """A list may\n  include "none" of them."""\n'
    assert list_mistakes(write_files(tmp_path, a=text + define_thing())) == []


def test_a_folder_without_files_is_reported(tmp_path: Path) -> None:
    assert [f"schema: no .conf file in {tmp_path}"] == list_mistakes(tmp_path)


def test_a_filter_property_that_does_not_say_how_it_filters_is_reported(tmp_path: Path) -> None:
    text = '_definitions.f_filter.x-like: a.get\nget { "1.0" { request.properties.id { type: string } } }'
    assert list_mistakes(write_files(tmp_path, a=text)) == ["a.conf: _definitions.f_filter.x-like: id needs x-filter"]


def test_files_that_are_only_included_make_no_schema(tmp_path: Path) -> None:
    assert [f"schema: no .conf file in {tmp_path}"] == list_mistakes(write_files(tmp_path, _common=define_thing()))


CONTRADICTIONS = {
    "two descriptions": (
        '_definitions.thing.description: "B."',
        "_definitions.thing.description: 'B.', but a.conf says 'A.'",
    ),
    "two types": (
        "_definitions.thing.properties.a.type: integer",
        "_definitions.thing.properties.a.type: 'integer', but a.conf says 'string'",
    ),
}


@pytest.mark.parametrize(("hocon", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_files_that_contradict_each_other_are_reported(tmp_path: Path, hocon: str, message: str) -> None:
    at = write_files(tmp_path, a='_definitions.thing.description: "A."\n' + define_thing(), b=hocon)
    assert [f"b.conf: {message}"] == list_mistakes(at)


def test_files_that_say_the_same_twice_agree(tmp_path: Path) -> None:
    assert list_mistakes(write_files(tmp_path, a=define_thing(), b=define_thing())) == []


# -- what is right ---------------------------------------------------------------------------------


def test_the_highest_version_of_an_endpoint_counts_wherever_it_stands(tmp_path: Path) -> None:
    text = """
    do {
      "2.9" { description: "Old." }
      "2.10" { description: "New.", request { required: [a], properties.a { type: string } } }
      "1.5" { description: "Oldest." }
    }
    """
    found = load(write_files(tmp_path, a=text)).endpoints["a", "do"]
    assert (found.version, found.description) == ("2.10", "New.")
    assert found.request
    assert [(field.name, field.is_required) for field in found.request.fields] == [("a", True)]


def test_an_include_is_looked_for_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    common = "shared {{ type: object, properties.{} {{ type: string }} }}"
    write_files(elsewhere, _common=common.format("wrong"))
    write_files(here, _common=common.format("right"), a='_definitions {\n  include "_common.conf"\n}\n')
    monkeypatch.chdir(elsewhere)
    assert [field.name for field in load(Path(os.path.relpath(here))).get_object("shared").fields] == ["right"]


def test_a_file_that_starts_with_an_underscore_is_only_included(tmp_path: Path) -> None:
    at = write_files(tmp_path, a=define_thing(), _drafts="this is { no HOCON")
    assert list(load(at).definitions) == ["thing"]


def test_descriptions_lose_their_indentation_but_not_their_own_steps(tmp_path: Path) -> None:
    text = '''
    _definitions {
      thing {
        description: """The first line.
          The second.

            - a step
          The last. """
        type: object
        properties.a { type: string, description: "  A.  " }
      }
    }
    '''
    found = load(write_files(tmp_path, a=text)).get_object("thing")
    assert found.description == "The first line.\nThe second.\n\n  - a step\nThe last. "
    assert [field.description for field in found.fields] == ["A.  "]


def test_letters_of_all_languages_are_read(tmp_path: Path) -> None:
    text = '_definitions.thing { description: "Größe ≥ 0, 日本語, 😀.", type: object, properties.a { type: string } }'
    assert load(write_files(tmp_path, a=text)).get_object("thing").description == "Größe ≥ 0, 日本語, 😀."


def test_quoted_keys_lose_their_quotes(tmp_path: Path) -> None:
    text = """
    "_definitions" {
      thing { properties { "a" { "type": string }, b { "$ref": "#/definitions/other" } } }
      "other" { properties.c { type: string } }
    }
    """
    found = load(write_files(tmp_path, a=text)).get_object("thing")
    assert [("a", ScalarType("String")), ("b", Ref("other"))] == [(field.name, field.type) for field in found.fields]


def test_a_substitution_can_be_changed_in_part(tmp_path: Path) -> None:
    text = """
    _references.flag { type: boolean, default: false, description: "Any." }
    do { "1.0" { request.properties {
      force = ${_references.flag} { description: "Ours." }
      other = ${_references.flag}
    } } }
    """
    found = load(write_files(tmp_path, a=text)).endpoints["a", "do"].request
    assert found
    assert [(field.description, field.default) for field in found.fields] == [("Ours.", False), ("Any.", False)]


def test_a_file_adds_properties_and_enum_values_to_another_ones_definitions(tmp_path: Path) -> None:
    newer = """
    _definitions {
      thing.properties.b { type: integer }
      colour_enum { enum: [blue, green], x-values { green: "Green." } }
    }
    """
    at = write_files(tmp_path, a=define_thing(definitions="colour_enum { type: string, enum: [red, blue] }"), b=newer)
    found = load(at)
    assert [field.name for field in found.get_object("thing").fields] == ["a", "b"]
    enum = found.definitions["colour_enum"]
    assert isinstance(enum, EnumSpec)
    assert [(v.name, v.description) for v in enum.values] == [("red", None), ("blue", None), ("green", "Green.")]


def test_a_definition_like_an_endpoint_takes_its_properties(tmp_path: Path) -> None:
    text = """
    get { "1.0" { request.properties { id { type: string, x-filter: listed }, page { type: integer } } } }
    _definitions.thing_filter { x-like: a.get, x-without: [page], properties.more { type: boolean } }
    """
    assert [field.name for field in load(write_files(tmp_path, a=text)).get_object("thing_filter").fields] == [
        "id",
        "more",
    ]


def test_a_relation_of_an_answer_that_is_not_stored_is_shown_as_the_object_alone(tmp_path: Path) -> None:
    plain = "other { type: object, x-collection: other, properties.id { type: string, x-scalar: ID } }"
    at = write_files(tmp_path, a=define_thing("owner { type: string, x-relation: other }", plain))
    assert list(load(at).get_object("thing").output_fields) == ["a", "owner"]


def test_a_stored_relation_is_shown_as_the_object_and_as_its_id(tmp_path: Path) -> None:
    at = write_files(tmp_path, a=define_thing("owner { type: string, x-relation: other }", STORED))
    shown = load(at).get_object("thing").output_fields
    assert {"a": ScalarType("String"), "owner": Ref("other"), "ownerId": ScalarType("ID")} == {
        name: output_field.type for name, output_field in shown.items()
    }


def test_lists_may_lie_in_lists(tmp_path: Path) -> None:
    at = write_files(tmp_path, a=define_thing("rows { type: array, items { type: array, items { type: number } } }"))
    [_, rows] = load(at).get_object("thing").fields
    assert ListOf(ListOf(ScalarType("Float"))) == rows.type


# -- the repository's own files --------------------------------------------------------------------


def walk_descriptions(spec: Spec) -> Iterator[tuple[str, str | None]]:
    """Every element of the spec by its path, with its description."""
    for name, definition in spec.definitions.items():
        yield name, definition.description
        if isinstance(definition, ObjectSpec):
            yield from walk_field_descriptions(name, definition.fields)
            yield from walk_field_descriptions(name, tuple(definition.output_fields.values()))
        elif isinstance(definition, EnumSpec):
            yield from ((f"{name}.{value.name}", value.description) for value in definition.values)
        else:
            assert isinstance(definition, MapSpec)
    for (service, name), endpoint in spec.endpoints.items():
        yield f"{service}.{name}", endpoint.description
        for part in (endpoint.request, endpoint.response):
            if part:
                yield from walk_field_descriptions(f"{service}.{name}.{part.name}", part.fields)
    for name, operation in spec.queries.items():
        yield f"Query.{name}", operation.description
        yield from walk_field_descriptions(f"Query.{name}", operation.arguments)


def walk_field_descriptions(owner: str, fields: tuple[FieldSpec, ...]) -> Iterator[tuple[str, str | None]]:
    for field in fields:
        yield f"{owner}.{field.name}", field.description
        yield from walk_field_descriptions(f"{owner}.{field.name}", field.arguments)


def test_the_schema_of_this_repository_has_no_mistakes() -> None:
    assert load().definitions


def test_every_element_is_described_in_whole_sentences() -> None:
    poor = {
        path: text
        for path, text in walk_descriptions(load())
        if not text or not text.endswith(".") or text[0].islower()
    }
    assert poor == {}


MANY = """
_mutation {
  run_start {
    description: "Starts a run."
    input {
      required: [task, worker]
      properties { task { type: string }, worker { type: string }, force { type: boolean } }
    }
    payload { required: [id], properties { id { type: string }, started { type: integer } } }
    many {
      description: "for many."
      input { required: [ids], properties.ids { type: array, items { type: string } } }
      result { required: [id], properties { id { type: string, x-scalar: ID }, done { type: boolean } } }
    }
  }
}
"""


def test_a_mutation_for_many_takes_what_the_single_one_takes_and_answers_it_for_each(tmp_path: Path) -> None:
    (tmp_path / "runs.conf").write_text(MANY)
    spec = load(tmp_path)
    assert list(spec.mutations) == ["run_start", "run_start_many"]
    single, many = spec.mutations.values()
    assert (single.single_mutation, many.single_mutation, many.graphql_name) == (None, "run_start", "runStartMany")
    assert many.description == "Does runStart for many."
    takes = spec.get_object("run_start_many_input").fields
    assert {field.name: field.is_required for field in takes} == {"ids": True, "worker": True, "force": False}
    assert many.returns == Ref("run_start_many_payload")
    [results] = spec.get_object("run_start_many_payload").fields
    assert results.type == ListOf(Ref("run_start_many_result"))
    each = spec.get_object("run_start_many_result").fields
    assert {field.name: (field.type, field.is_required) for field in each} == {
        "id": (ScalarType("ID"), True),
        "started": (ScalarType("Int"), False),
        "done": (ScalarType("Boolean"), False),
    }


def test_mistakes_in_a_mutation_for_many_are_reported(tmp_path: Path) -> None:
    (tmp_path / "runs.conf").write_text(MANY.replace("done { type: boolean }", "done { type: bool }, 7: x"))
    with pytest.raises(SchemaError) as raised:
        load(tmp_path)
    assert any("bool" in mistake.message for mistake in raised.value.mistakes)
    (tmp_path / "runs.conf").write_text(MANY.replace("result {", "results {"))
    with pytest.raises(SchemaError, match="unknown key"):
        load(tmp_path)


# -- the cache --------------------------------------------------------------------------------------


def read_sources(at: Path, cache: Path) -> HoconSources:
    sources = HoconSources(at, cache)
    assert sources.mistakes == []
    return sources


def test_what_was_read_once_is_read_again_without_its_files_being_parsed(tmp_path: Path) -> None:
    """The cache ends when any file changes, also one that is only included."""
    cache = tmp_path / "cache"
    at = write_files(tmp_path, things='_definitions { include "_part.conf" }', _part='a { description: "one" }')
    parsed = read_sources(at, cache)
    [file] = cache.iterdir()
    file.write_bytes(file.read_bytes().replace(b"one", b"cached"))
    assert read_sources(at, cache).definitions == {"a": {"description": "cached"}}
    assert parsed.definitions == {"a": {"description": "one"}}
    (at / "_part.conf").write_text('a { description: "two" }')
    assert read_sources(at, cache).definitions == {"a": {"description": "two"}}
    assert [other.name for other in cache.iterdir()] != [file.name]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_cache_that_can_not_be_read_is_made_again(tmp_path: Path, content: bytes) -> None:
    at = write_files(tmp_path, things='_definitions { a { description: "one" } }')
    expected = read_sources(at, tmp_path / "cache").definitions
    [file] = (tmp_path / "cache").iterdir()
    file.write_bytes(content)
    assert read_sources(at, tmp_path / "cache").definitions == expected


def test_a_folder_without_write_access_gets_no_cache(tmp_path: Path) -> None:
    at = write_files(tmp_path, things='_definitions { a { description: "one" } }')
    (tmp_path / "cache").write_text("a file")
    assert read_sources(at, tmp_path / "cache").definitions == {"a": {"description": "one"}}


def test_files_with_mistakes_are_not_cached(tmp_path: Path) -> None:
    at = write_files(tmp_path, things="_definitions { a {")
    assert HoconSources(at, tmp_path / "cache").mistakes
    assert not (tmp_path / "cache").exists()
