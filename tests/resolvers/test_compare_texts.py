"""Comparing configurations and requirements: a difference is shown at its path, and layout is no difference."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import yaml
from bson.code import Code
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from resolvers.queries.comparison_values import collect_values
from resolvers.texts.budget import MAX_TEXT, Budget, OverdueError
from tests.resolvers.test_compare import BARE, COMPARE, Differences, compare
from tests.support.client import Client
from tests.support.factories import Document, escape, md5, task
from tests.support.generated import GENERATED

Database = AsyncDatabase[Document]
Tree = dict[str, Any]


def build_configurations(**items: str | tuple[str, str]) -> Document:
    """Configurations by name: a text, or a text and its type."""
    parts = {name: item if isinstance(item, tuple) else (item, "") for name, item in items.items()}
    return {
        "configuration": {
            escape(name): {"name": name, "value": text, "type": type_} for name, (text, type_) in parts.items()
        }
    }


def build_requirements(*lines: str, manager: str = "pip") -> Document:
    return {"script": {"requirements": {manager: "\n".join(lines)}}}


async def compare_two(client: Client, database: Database, one: Document, other: Document) -> dict[str, list[Any]]:
    """What differs between two tasks: the path with slashes → the two values."""
    await database.task.delete_many({})
    await database.task.insert_many([task(_id="a", **BARE | one), task(_id="b", **BARE | other)])
    found: Differences = await compare(client, "a", "b")
    return {"/".join(path[1:]): [value for value, _ in values] for path, values in found.items()}


# -- each format -----------------------------------------------------------------------------------

TRAIN = "train:\n  lr: 0.1\n  bs: {}\neval:\n  lr: 0.1\n  bs: {}\n"
FORMATS: dict[str, tuple[str | tuple[str, str], str | tuple[str, str], dict[str, list[Any]]]] = {
    "block YAML with the same keys in two places": (
        TRAIN.format(32, 64),
        TRAIN.format(32, 16),
        {"c/eval/bs": ["64", "16"]},
    ),
    "YAML three levels deep": ("enc:\n  conv:\n    k: 3\n", "enc:\n  conv:\n    k: 5\n", {"c/enc/conv/k": ["3", "5"]}),
    "block and flow YAML": ("a:\n  - 1\n  - x\nb: {c: 1}", "a: [1, x]\nb: {c: 2}", {"c/b/c": ["1", "2"]}),
    "YAML whose type has several words": (
        ("a: 1\nb = c: 2", "OmegaConf YAML"),
        ("a: 1\nb = c: 3", "OmegaConf YAML"),
        {"c/b = c": ["2", "3"]},
    ),
    "interpolations of Hydra": (
        "lr: ${oc.env:LR,0.1}\nout: ${hydra:run.dir}/x",
        "lr: ${oc.env:LR,0.2}\nout: ${hydra:run.dir}/x",
        {"c/lr": ["${oc.env:LR,0.1}", "${oc.env:LR,0.2}"]},
    ),
    "a compose file": (
        "services:\n  db:\n    image: mongo:${TAG:-6}\n",
        "services:\n  db:\n    image: mongo:${TAG:-7}\n",
        {"c/services/db/image": ["mongo:${TAG:-6}", "mongo:${TAG:-7}"]},
    ),
    "a shell script": (
        "#!/bin/sh\nset -e\ncd ${HOME}\n",
        "#!/bin/sh\nset -e\ncd ${TMP}\n",
        {"c": ["#!/bin/sh\nset -e\ncd ${HOME}\n", "#!/bin/sh\nset -e\ncd ${TMP}\n"]},
    ),
    "substitutions of HOCON": (
        'base = /data\nout = ${base}"/a"\nopt = ${?X}',
        'base = /data\nout = ${base}"/b"\nopt = ${?X}',
        {"c/out": ['${base}"/a"', '${base}"/b"']},
    ),
    "a substitution and the same in quotes": ("a = ${b}", 'a = "${b}"', {"c/a": ["${b}", '"${b}"']}),
    "a HOCON value that becomes an object": (
        "a = 1\na.b = 2",
        "a = 1\na.b = 3",
        {"c": ["a = 1\na.b = 2", "a = 1\na.b = 3"]},
    ),
    "HOCON with comments, dots and several lines": (
        'a.b { c = 1 # one\n}\nurl = http://x/y // z\ntext = """p\nq"""',
        'a { b.c = 2 }, url = http://x/y\ntext = "p\\nq"',
        {"c/a/b/c": ["1", "2"]},
    ),
    "HOCON in the style of ClearML": (
        ("opt {\n  lr = 0.1\n}\nl = [\n  1\n  2\n]", "dictionary"),
        ("opt {\n  lr = 0.1\n}\nl = [\n  1\n  3\n]", "dictionary"),
        {"c/l": ["[1,2]", "[1,3]"]},
    ),
    "JSON with comments": ('{"a": 1, // one\n "b": 2}', '{"a": 1, "b": 3}', {"c/b": ["2", "3"]}),
    "integers of thirty digits": (
        f"n = {'1' * 30}\nm = 1",
        f"n = {'1' * 29}2\nm = 1",
        {"c/n": ["1" * 30, "1" * 29 + "2"]},
    ),
    "a JSON list 300 deep": (
        "[" * 300 + "1" + "]" * 300,
        "[" * 300 + "2" + "]" * 300,
        {"c": ["[" * 300 + "1" + "]" * 300, "[" * 300 + "2" + "]" * 300]},
    ),
    "a number and its text": ('{"lr": 0.001}', '{"lr": "0.001"}', {"c/lr": ["0.001", '"0.001"']}),
    "a number and its text in a list": ("a: [1]", "a: ['1']", {"c/a": ["[1]", '["1"]']}),
    "true, null and their texts": (
        '{"a": true, "b": null}',
        '{"a": "true", "b": "null"}',
        {"c/a": ["true", '"true"'], "c/b": ["null", '"null"']},
    ),
    "a list and its text": ('{"a": [1]}', '{"a": "[1]"}', {"c/a": ["[1]", '"[1]"']}),
    "a period of time": ("wait = 30s", "wait = 31s", {"c/wait": ["30s", "31s"]}),
    "octal, sexagesimal, yes and dates as they stand": (
        "a: 010\nb: 1:30\nc: yes\nd: 2026-01-01",
        "a: 10\nb: 90\nc: true\nd: '2026-01-01'",
        {"c/a": ["010", "10"], "c/b": ["1:30", "90"], "c/c": ["yes", "true"], "c/d": ["2026-01-01", '"2026-01-01"']},
    ),
    "a key that is a number and one that is a text": ("1: a", "'1': a", {"c/1": ["a", "a"]}),
    "tags of YAML": (
        "m: !new:A\n  x: !ref <y>\n",
        "m: !new:B\n  x: !ref <z>\n",
        {"c/m": ["!new:A", "!new:B"], "c/m/x": ["!ref <y>", "!ref <z>"]},
    ),
    "a merge key": ("b: &b {x: 1, y: 1}\nt: {<<: *b, x: 2}", "b: {x: 1, y: 1}\nt: {x: 3, y: 1}", {"c/t/x": ["2", "3"]}),
    "a key twice": ('{"a": 1, "a": 2}', '{"a": 3, "a": 2}', {"c": ['{"a": 1, "a": 2}', '{"a": 3, "a": 2}']}),
    "objects under a key that is there twice in JSON": (
        ('{"a": {"b": 1}, "a": {"c": 2}}', "json"),
        ('{"a": {"b": 1, "c": 2}}', "json"),
        {"c": ['{"a": {"b": 1}, "a": {"c": 2}}', '{"a": {"b": 1, "c": 2}}']},
    ),
    "objects under a key that is there twice in YAML": (
        "a: {b: 1}\na: {c: 2}",
        "a: {b: 1, c: 2}",
        {"c": ["a: {b: 1}\na: {c: 2}", "a: {b: 1, c: 2}"]},
    ),
    "objects of HOCON, which belong together": (
        ("a: {b: 1}\na: {c: 2}", "hocon"),
        ("a: {b: 1, c: 3}", "hocon"),
        {"c/a/c": ["2", "3"]},
    ),
    "one merge key for several": (
        "a: &a {x: 1}\nb: &b {y: 1}\nt: {<<: [*a, *b]}",
        "a: &a {x: 1}\nb: &b {y: 1}\nt: {<<: [*a]}",
        {"c/t/y": ["1", None]},
    ),
    "a tag after a byte order mark": ("\ufeffé: 1\na: !x one", "é: 1\na: !x two", {"c/a": ["!x one", "!x two"]}),
    "a dictionary of Python": (
        "{'a': None, 'b': (1, 2)}",
        "{'a': 'None', 'b': (1, 3)}",
        {"c": ["{'a': None, 'b': (1, 2)}", "{'a': 'None', 'b': (1, 3)}"]},
    ),
    "None of Python and its text": ("{'a': None, 'b': True}", "{'a': 'None', 'b': True}", {"c/a": ["None", '"None"']}),
    "numbers of Python and their texts": (
        "{'a': nan, 'b': [inf, -inf]}",
        "{'a': 'nan', 'b': ['inf', '-inf']}",
        {"c/a": ["nan", '"nan"'], "c/b": ["[inf,-inf]", '["inf","-inf"]']},
    ),
    "NaN in a dictionary of ClearML": (
        ('{"a": NaN}', "dictionary"),
        ('{"a": "NaN"}', "dictionary"),
        {"c/a": ["NaN", '"NaN"']},
    ),
    "a set of Python": ("{'a': {1, 2}}", "{'a': {1, 3}}", {"c": ["{'a': {1, 2}}", "{'a': {1, 3}}"]}),
    "a quote in a text of Python": (
        "{'a': 'it\\'s', 'b': 1}",
        "{'a': 'it\\'s', 'b': 2}",
        {"c": ["{'a': 'it\\'s', 'b': 1}", "{'a': 'it\\'s', 'b': 2}"]},
    ),
    "an object of JavaScript": ("{a:1, b:2}", "{a:1, b:3}", {"c/b": ["2", "3"]}),
    "a comment of JavaScript": (
        '{"a": 1 /* one */}',
        '{"a": 1 /* two */}',
        {"c": ['{"a": 1 /* one */}', '{"a": 1 /* two */}']},
    ),
    "a comma too many": ("a = [1,,2]", "a = [1,2]", {"c": ["a = [1,,2]", "a = [1,2]"]}),
    "null and a home folder in HOCON": ("a = ~\nb { c = 1 }", "a = null\nb { c = 1 }", {"c/a": ['"~"', "null"]}),
    "a number beyond all measure and its text": (
        '{"a": 1e9999999999999999999999}',
        '{"a": "1e9999999999999999999999"}',
        {"c/a": ["1e9999999999999999999999"] * 2},
    ),
    "an infinity and a text like it": ("a: .inf", "a: .iNf", {"c/a": [".inf", ".iNf"]}),
    "two YAML documents": ("a: 1\n---\nb: 1", "a: 1\n---\nb: 2", {"c": ["a: 1\n---\nb: 1", "a: 1\n---\nb: 2"]}),
    "JSON and YAML": ('{"a": {"b": 1, "c": "x"}}', ("a:\n  b: 1\n  c: y", "yaml"), {"c/a/c": ["x", "y"]}),
    "YAML and what is none": ("a: 1", "a: [", {"c": ["a: 1", "a: ["]}),
    "half a surrogate pair": ('{"a": "\\ud800"}', '{"a": "\\ud801"}', {"c": ['{"a": "\\ud800"}', '{"a": "\\ud801"}']}),
    "plain text": ("made by hand", "made by a machine", {"c": ["made by hand", "made by a machine"]}),
    "a Markdown text by its type": (
        ("# One\nseen: yes", "md"),
        ("# Two\nseen: yes", "md"),
        {"c": ["# One\nseen: yes", "# Two\nseen: yes"]},
    ),
    "a text that is given up": ("a: 1", "", {"c": ["a: 1", ""]}),
}


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_difference_is_shown_at_its_path_with_the_stored_values(
    client: Client, database: Database, format_: str
) -> None:
    one, other, expected = FORMATS[format_]
    assert await compare_two(client, database, build_configurations(c=one), build_configurations(c=other)) == expected


ALIKE: dict[str, tuple[str, str]] = {
    "spaces and the order of keys": ('{"a": 1, "b": [1, 2]}', '{"b":[1,2],\n"a":1}'),
    "notations of a number": ('{"a": 1, "b": 1000, "c": 0.5, "d": 0}', '{"a": 1.0, "b": 1e3, "c": 5E-1, "d": -0.0}'),
    "notations of a large number": (f'{{"a": {10**40}}}', '{"a": 1e40}'),
    "quotes, comments and block style": ("a: 'x'\nb:\n- 1\n", "# made by hand\n{a: x, b: [1]}"),
    "an alias and what it repeats": ("a: &x {y: 1}\nb: *x", "a: {y: 1}\nb: {y: 1}"),
    "a block text and one in quotes": ("a: |\n  p\n  q\n", 'a: "p\\nq\\n"'),
    "JSON and block YAML": ('{"a": {"b": [1, "x", null, true]}}', "a:\n  b: [1, x, ~, true]"),
    "HOCON and JSON": ('a { b = 1 }\na.c = "x"', '{"a": {"b": 1, "c": "x"}}'),
    "several merge keys and what they take over": (
        "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 4}",
        "a: {x: 1}\nb: {x: 2, y: 3}\nc: {x: 1, y: 3, z: 4}",
    ),
    "an anchor of a value with a tag": ("a: &x !t 1\nb: *x", "a: !t 1\nb: !t 1"),
    "a byte order mark": ("\ufeffé: 1\na: !x foo", "é: 1\na: !x foo"),
    "a comment at the end of JSON": ('{"a": 1 // one\n}', '{"a": 1}'),
    "the last comma": ('{"a": [1,], "b": 2,}', '{"a": [1], "b": 2}'),
    "commas and line ends of HOCON": ("a = 1,\nb = [\n1,\n2\n3,\n]\n", "a = 1, b = [1, 2, 3]"),
    "line ends": ("a: 1\r\nb: 2\r\n", "a: 1\nb: 2"),
}


@pytest.mark.parametrize("what", ALIKE)
async def test_layout_is_no_difference(client: Client, database: Database, what: str) -> None:
    one, other = ALIKE[what]
    assert await compare_two(client, database, build_configurations(c=one), build_configurations(c=other)) == {}


async def test_a_text_that_is_not_read_makes_its_configuration_a_text_in_all_tasks(
    client: Client, database: Database
) -> None:
    texts = {"a": '{"x": 1}', "b": "x: 1.0", "c": "x: [", "d": "x: 2"}
    await database.task.insert_many(
        [task(_id=id_, **BARE | build_configurations(c=text)) for id_, text in texts.items()]
    )
    assert await compare(client, *texts) == {
        ("CONFIGURATION", "c"): [
            (texts["a"], "SAME"),
            (texts["b"], "SAME"),
            (texts["c"], "CHANGED"),
            (texts["d"], "CHANGED"),
        ]
    }


async def test_the_same_text_is_alike_whatever_its_type(client: Client, database: Database) -> None:
    one, other = build_configurations(c=("a: 1", "yaml")), build_configurations(c=("a: 1", "txt"))
    assert await compare_two(client, database, one, other) == {}


# -- requirements and metrics ----------------------------------------------------------------------

INDEX = "--extra-index-url https://a"
GIT = "-e git+https://example.org/a.git@{}#egg=a"
LINES: dict[str, tuple[list[str], list[str], dict[str, list[Any]]]] = {
    "an editable checkout": (
        [GIT.format("1f")],
        [GIT.format("2f")],
        {f"pip/{GIT.format('1f')}": [GIT.format("1f"), None], f"pip/{GIT.format('2f')}": [None, GIT.format("2f")]},
    ),
    "a folder": (["./one", "numpy"], ["./two", "numpy"], {"pip/./one": ["./one", None], "pip/./two": [None, "./two"]}),
    "an index": (
        ["--extra-index-url https://a"],
        [],
        {"pip/--extra-index-url https://a": ["--extra-index-url https://a", None]},
    ),
    "two checkouts, one of which changes": (
        ["git+https://a@1", "git+https://b@1"],
        ["git+https://a@1", "git+https://b@2"],
        {"pip/git+https://b@1": ["git+https://b@1", None], "pip/git+https://b@2": [None, "git+https://b@2"]},
    ),
    "one package with two markers": (
        ['numpy==1; python_version<"3.9"', 'numpy==2; python_version>="3.9"'],
        ['numpy==1; python_version<"3.9"', 'numpy==3; python_version>="3.9"'],
        {
            "pip/numpy": [
                '==1; python_version<"3.9"\n==2; python_version>="3.9"',
                '==1; python_version<"3.9"\n==3; python_version>="3.9"',
            ]
        },
    ),
    "extras": (["pkg[a]==1"], ["pkg[b]==1"], {"pip/pkg": ["[a]==1", "[b]==1"]}),
    "an address": (
        ["pkg @ https://a/1.whl#sha256=1"],
        ["pkg @ https://a/2.whl#sha256=1"],
        {"pip/pkg": ["@ https://a/1.whl#sha256=1", "@ https://a/2.whl#sha256=1"]},
    ),
    "a hash": (
        ["pkg==1 --hash=sha256:1"],
        ["pkg==1 --hash=sha256:2"],
        {"pip/pkg": ["==1 --hash=sha256:1", "==1 --hash=sha256:2"]},
    ),
    "versions of conda": (["scipy=1.0=py39_0"], ["scipy=1.1=py39_0"], {"pip/scipy": ["=1.0=py39_0", "=1.1=py39_0"]}),
    "hashes of two packages that change places": (
        ["a==1 \\", "  --hash=sha256:1", "b==1 \\", "  --hash=sha256:2"],
        ["a==1 \\", "  --hash=sha256:2", "b==1 \\", "  --hash=sha256:1"],
        {
            "pip/a": ["==1   --hash=sha256:1", "==1   --hash=sha256:2"],
            "pip/b": ["==1   --hash=sha256:2", "==1   --hash=sha256:1"],
        },
    ),
    "the line after a comment that ends with a backslash": (
        ["# from C:\\", "a==1", "b==1 # in D:\\", "c==1"],
        ["# from C:\\", "a==2", "b==1 # in D:\\", "c==2"],
        {"pip/a": ["==1", "==2"], "pip/c": ["==1", "==2"]},
    ),
    "a requirement with many hashes": (
        [f"a==1 {' '.join(f'--hash=sha256:{number:064}' for number in range(30))}"],
        ["a==2"],
        {"pip/a": [f"==1 {' '.join(f'--hash=sha256:{number:064}' for number in range(30))}", "==2"]},
    ),
    "the order of hashes": (["a==1 --hash=sha256:1 --hash=sha256:2"], ["a==1  --hash=sha256:2  --hash=sha256:1"], {}),
    "blanks in a line that names no package": (["-r  more.txt"], ["-r more.txt"], {}),
    "lines of Windows": (["\ufeffa==1\r", "b==1 \\\r", "--hash=sha256:1\r"], ["a==1", "b==1 --hash=sha256:1"], {}),
    "words": (
        ["as of today"],
        ["as of then"],
        {"pip/as of today": ["as of today", None], "pip/as of then": [None, "as of then"]},
    ),
    "the order, blanks and the spelling of names": (
        ["Scikit_Learn == 1.0 # pinned", "b>=1,<2", "", "# c"],
        ["b<2, >=1", "scikit-learn==1.0"],
        {},
    ),
}


@pytest.mark.parametrize("what", LINES)
async def test_no_line_of_requirements_is_passed_over(client: Client, database: Database, what: str) -> None:
    one, other, expected = LINES[what]
    assert await compare_two(client, database, build_requirements(*one), build_requirements(*other)) == expected


async def test_metrics_compare_as_numbers(client: Client, database: Database) -> None:
    def build_report(value: float) -> Document:
        event = {"metric": "m", "variant": "v", "value": value}
        return {"last_metrics": {md5("m"): {md5("v"): event}}}

    assert await compare_two(client, database, build_report(1), build_report(1.0)) == {}
    assert await compare_two(client, database, build_report(2**53 + 1), build_report(float(2**53))) == {
        "m/v/last": ["9007199254740993", "9007199254740992.0"]
    }


async def test_what_is_stored_as_javascript_is_not_compared(client: Client, database: Database) -> None:
    """The driver reads it as a kind of text that can't be a key."""
    code = Code("f()")
    one = {
        "hyperparams": {"a": {"b": {"value": code}}},
        "configuration": {"c": {"value": code, "type": code}},
        "script": {"branch": code, "requirements": {"pip": [code]}},
        "last_metrics": {"m": {"v": {"metric": code, "variant": code, "value": 1.0}}},
    }
    assert await compare_two(client, database, one, BARE) == {}


# -- generated -------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(["lr", "b.c", "$d", "é", "x y", "1", "no", "null", "<<", "include", "a-b", "_", "T:1", "#x", ""]),
    st.text("abcxyz_", min_size=1, max_size=5),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "sgd",
            "0.1",
            "true",
            "null",
            "30s",
            "${a.b}",
            "[1]",
            "{",
            "a: b",
            "a # b",
            "x, y",
            "'",
            '"',
            "~",
            "2026-01-01",
            "http://x/y",
            "line\nline",
            " a ",
            "\\",
            "yes",
            "-",
            "=",
            "é€𝄞",
        ]
    ),
    # PyYAML writes a text such as 1e3 without quotes, which YAML 1.2 reads as a number
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="eE"), max_size=8),
)
NUMBERS = st.one_of(st.integers(-10, 10), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none())
LEAVES = st.one_of(SCALARS, SCALARS, st.lists(SCALARS, max_size=3))
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(NAMES, LEAVES, min_size=1, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAVES, inner), min_size=1, max_size=4),
    max_leaves=12,
)


def write_hocon(tree: Tree, indent: str = "") -> str:
    lines = []
    for place, (name, value) in enumerate(tree.items()):
        if isinstance(value, dict):
            opens = [" {", " = {", ": {"][place % 3]
            lines.append(f"{indent}{json.dumps(name)}{opens}\n{write_hocon(value, indent + '  ')}{indent}}} # end\n")
        else:
            lines.append(f"{indent}{json.dumps(name)}{' = ' if place % 2 else ': '}{json.dumps(value)}\n")
    return "".join(lines)


WRITERS: dict[str, tuple[str, Callable[[Tree], str], Callable[[Tree], str]]] = {
    "json": ("json", json.dumps, lambda tree: json.dumps(dict(reversed(tree.items())), indent=2, ensure_ascii=False)),
    "yaml": (
        "yaml",
        lambda tree: yaml.safe_dump(tree, default_flow_style=False),
        lambda tree: yaml.safe_dump(tree, default_flow_style=True, allow_unicode=True, sort_keys=False, width=20),
    ),
    "hocon": ("hocon", write_hocon, lambda tree: json.dumps(tree, indent=1).replace(",\n", "\n")),
    "untyped json": ("", json.dumps, lambda tree: json.dumps(tree, indent=2)),
    "untyped yaml": ("", yaml.safe_dump, lambda tree: yaml.safe_dump(tree, default_flow_style=None)),
}


def walk_places(tree: Tree, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all leaves."""
    return [
        leaf
        for name, value in tree.items()
        for leaf in (walk_places(value, (*path, name)) if isinstance(value, dict) else [(*path, name)])
    ]


def read_value(tree: Tree, path: tuple[str, ...]) -> Any:
    return read_value(tree[path[0]], path[1:]) if path else tree


def set_value(tree: Tree, path: tuple[str, ...], value: Any) -> Tree:
    return tree | {path[0]: set_value(tree[path[0]], path[1:], value) if len(path) > 1 else value}


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; a number is neither a text nor a truth."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def is_text_of(shown: str | None, value: Any) -> bool:
    """Whether a shown text is this value: JSON, or a text without quotes."""
    assert shown is not None
    if isinstance(value, str) and not shown.startswith('"'):
        return shown == value
    return is_same(json.loads(shown), value)


class Change(NamedTuple):
    """A tree, and another value for the leaf at a path."""

    tree: Tree
    path: tuple[str, ...]
    before: Any
    after: Any


@st.composite
def draw_changes(draw: st.DrawFn) -> Change:
    tree = draw(TREES)
    path = draw(st.sampled_from(walk_places(tree)))
    before = read_value(tree, path)
    return Change(tree, path, before, draw(LEAVES.filter(lambda value: not is_same(before, value))))


@pytest.mark.slow
@settings(GENERATED, max_examples=GENERATED.max_examples // 5)
@given(made=st.tuples(*[draw_changes()] * len(WRITERS)))
async def test_one_changed_value_is_the_one_item_of_a_comparison(
    client: Client, database: Database, made: tuple[Change, ...]
) -> None:
    """Nested YAML, JSON and HOCON, of which one value is changed and the layout too."""
    one, same, other = {}, {}, {}
    expected: dict[tuple[str, ...], Change] = {}
    for change, (name, (type_, write, write_other)) in zip(made, WRITERS.items(), strict=True):
        one[name] = write(change.tree), type_
        same[name] = write_other(change.tree), type_
        other[name] = write_other(set_value(change.tree, change.path, change.after)), type_
        expected["CONFIGURATION", name, *change.path] = change
    tasks = {"one": one, "same": same, "other": other}
    await database.task.insert_many(
        [task(_id=id_, **BARE | build_configurations(**items)) for id_, items in tasks.items()]
    )
    try:
        found = await compare(client, *tasks)
    finally:
        await database.task.delete_many({})
    assert found.keys() == expected.keys()
    for path, values in found.items():
        [first, second, third], states = zip(*values, strict=True)
        assert states == ("SAME", "SAME", "CHANGED")
        assert is_text_of(first, expected[path].before)
        assert is_text_of(second, expected[path].before)
        assert is_text_of(third, expected[path].after)


PACKAGES = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True),
    st.from_regex(r"[1-9](\.[1-9]){0,3}", fullmatch=True),
    min_size=1,
    max_size=6,
)
OTHER_LINES = st.lists(
    st.sampled_from([GIT.format("1"), "./local", "--extra-index-url https://a", "git+https://b@2", "-r more.txt"]),
    unique=True,
)


@st.composite
def draw_requirements(draw: st.DrawFn) -> tuple[list[str], list[str], str, str]:
    """Lines, the same in another order and layout with another version of one package, that package, its version."""
    packages, others = draw(PACKAGES), draw(OTHER_LINES)
    changed = draw(st.sampled_from([*packages]))
    lines = [f"{name}=={version}" for name, version in packages.items()] + others
    after = [f"{name} == {version}" for name, version in (packages | {changed: "99"}).items()] + others
    return lines, draw(st.permutations(after)), changed, packages[changed]


@pytest.mark.slow
@settings(GENERATED, max_examples=GENERATED.max_examples // 5)
@given(made=draw_requirements())
async def test_one_changed_requirement_is_the_one_item_of_a_comparison(
    client: Client, database: Database, made: tuple[list[str], list[str], str, str]
) -> None:
    before, after, changed, version = made
    found = await compare_two(client, database, build_requirements(*before), build_requirements(*after))
    assert found == {f"pip/{changed}": [f"=={version}", "== 99"]}


# -- what it costs ---------------------------------------------------------------------------------


def build_hocon(characters: int, value: int = 1) -> str:
    """HOCON of so many characters."""
    lines, length = [], 0
    while length < characters - 40:
        lines.append(f"section{len(lines):06} {{ x = {value} }}\n")
        length += len(lines[-1])
    return "".join(lines) + "#" * (characters - length)


async def test_four_tasks_of_four_configurations_take_less_than_a_second(client: Client, database: Database) -> None:
    tasks = [
        task(
            _id=f"t{number}",
            **BARE | build_configurations(**{name: (build_hocon(16_000, number), "hocon") for name in "abcd"}),
        )
        for number in range(4)
    ]
    await database.task.insert_many(tasks)
    start = time.process_time()
    found = await compare(client, "t0", "t1", "t2", "t3")
    assert len(found) > 4 * 400
    assert time.process_time() - start < 1


def measure_seconds(text: str) -> float:
    start = time.process_time()
    collect_values([build_configurations(c=text)], Budget(600))
    return time.process_time() - start


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcdefghi"
)
COSTLY = {
    "deep JSON": '{"a":' * 90 + "[" + "1," * 60_000 + "1]" + "}" * 90,
    "JSON too deep": '{"a":' * 50_000,
    "open lists": "[" * 250_000,
    "open objects": "{" * 250_000,
    "an alias bomb": BOMB,
    "tag directives": "".join(f"%TAG !a{number}! b\n" for number in range(15_000)),
    "a dotted key": "a." * 100_000 + "b = 1",
    "many sections": "".join(f"a{number} {{ b = 1 }}\n" for number in range(15_000)),
    "merged sections": "".join(f"a {{ b {{ c {{ d{number} = 1 }} }} }}\n" for number in range(9_000)),
    "blanks": "a = " + " " * 250_000 + "b",
    "open quotes": 'a = "' + '\\"' * 120_000,
    "merge keys": "a: &a {"
    + ", ".join(f"k{number}: 1" for number in range(3000))
    + "}\n"
    + "".join(f"b{number}: {{<<: *a}}\n" for number in range(3000)),
    "digits": "a = " + "1" * 250_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("what", COSTLY)
def test_no_text_costs_more_than_its_share(what: str) -> None:
    assert measure_seconds(COSTLY[what]) < 2


@pytest.mark.slow
async def test_a_text_beyond_the_maximum_is_compared_as_a_whole(client: Client, database: Database) -> None:
    one, other = build_hocon(MAX_TEXT, 1), build_hocon(MAX_TEXT, 2)
    inside = await compare_two(
        client, database, build_configurations(c=(one, "hocon")), build_configurations(c=(other, "hocon"))
    )
    beyond = await compare_two(
        client, database, build_configurations(c=(one + "#", "hocon")), build_configurations(c=(other + "#", "hocon"))
    )
    assert inside["c/section000000/x"] == ["1", "2"]
    assert beyond == {"c": [one + "#", other + "#"]}


async def test_an_alias_bomb_is_compared_as_a_whole_and_leaves_the_others_readable(
    client: Client, database: Database
) -> None:
    one, other = build_configurations(a=BOMB, b="x: 1"), build_configurations(a=BOMB + "z: 1", b="x: 2")
    assert await compare_two(client, database, one, other) == {"a": [BOMB, BOMB + "z: 1"], "b/x": ["1", "2"]}


async def test_others_are_answered_while_tasks_are_compared(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.task.insert_many([task(_id="a", **BARE), task(_id="b", **BARE)])
    started, answered = threading.Event(), threading.Event()

    def wait(tasks: list[Document], budget: Budget) -> Any:
        started.set()
        assert answered.wait(60)
        return collect_values(tasks, budget)

    monkeypatch.setattr("resolvers.queries.comparison.collect_values", wait)
    comparing = asyncio.create_task(compare(client, "a", "b"))
    assert await asyncio.to_thread(started.wait, 60)
    assert await client.data("{ __typename }") == {"__typename": "Query"}
    assert not comparing.done()
    answered.set()
    assert await comparing == {}


async def test_a_comparison_ends_with_the_time_of_an_operation(
    client: Client, database: Database, beside: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.task.insert_many([task(_id="a", **BARE), task(_id="b", **BARE)])
    monkeypatch.setattr("resolvers.queries.comparison.collect_values", lambda _tasks, budget: read_text(budget))
    error = await beside(max_time_ms=1000).error(COMPARE, ids=["a", "b"])
    assert (error["code"], error["field"]) == ("TIMEOUT", "ids")
    monkeypatch.undo()
    assert await compare(client, "a", "b") == {}


async def test_a_comparison_ends_when_its_client_leaves(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.task.insert_many([task(_id="a", **BARE), task(_id="b", **BARE)])
    started, ended = threading.Event(), threading.Event()

    def work(_tasks: list[Document], budget: Budget) -> None:
        started.set()
        try:
            read_text(budget)
        except OverdueError:
            ended.set()
            raise

    monkeypatch.setattr("resolvers.queries.comparison.collect_values", work)
    comparing = asyncio.create_task(client.answer(COMPARE, ids=["a", "b"]))
    assert await asyncio.to_thread(started.wait, 60)
    comparing.cancel()
    assert await asyncio.to_thread(ended.wait, 30)


def read_text(budget: Budget) -> None:
    """Work that has no end of its own."""
    while True:
        budget.spend(0)
        budget.check_time()


def test_reading_looks_at_the_clock() -> None:
    for part in (build_configurations(c="a: 1"), build_requirements("numpy==1")):
        with pytest.raises(OverdueError):
            collect_values([part], Budget(-1))


class Stopped(Budget):
    """A budget whose time is over after so many looks at the clock."""

    def __init__(self, looks: int) -> None:
        super().__init__(600)
        self._looks = looks

    def check_time(self) -> None:
        self._looks -= 1
        if self._looks < 0:
            raise OverdueError


def test_reading_looks_at_the_clock_for_every_requirement() -> None:
    many = build_requirements(*(f"package{number}==1" for number in range(1000)))
    with pytest.raises(OverdueError):
        collect_values([many], Stopped(looks=999))
    assert len(collect_values([many], Stopped(looks=5000))[0]) == 1000
