"""Documents that ask for too much, and what everything costs."""

import json
import re
import statistics
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from graphql import DocumentNode, build_schema, get_introspection_query, parse
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from resolvers import root
from resolvers.criteria.nesting import measure_nesting
from resolvers.criteria.pages import DEFAULT_PAGE
from resolvers.schema import Schema
from resolvers.validation.cost import USUAL_SIZE, CostModel, find_usual_sizes
from resolvers.validation.limits import DEFAULT_LIMITS, PLENTY, Counts, Limits, count_document, sort_fragments
from resolvers.validation.rules import MAX_ERRORS, MAX_SUGGESTING
from schema.load import load
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.documents import DOCS, find_examples
from tests.support.live import listen, open_socket
from tests.support.servers import run

FULL_INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
)
LOOSE = Limits(
    characters=10**7,
    tokens=10**6,
    depth=10**6,
    aliases=10**6,
    root_fields=10**6,
    directives=10**6,
    nesting=150,
    cost=10**12,
)


@cache
def build_limited_schema(limits: Limits = DEFAULT_LIMITS) -> Schema:
    return root.build_schema(load(), limits)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return build_limited_schema()


async def get_refusal(client: Client, commands: Commands, query: str, **variables: Any) -> dict[str, Any]:
    """The details of the refusal; the database has seen nothing."""
    commands.seen.clear()
    error = await client.error(query, **variables)
    assert error.pop("code") == "LIMIT_EXCEEDED", error
    assert commands.seen == []
    error.pop("message")
    return error


async def is_answered(client: Client, query: str, **variables: Any) -> bool:
    answer = await client.answer(query, **variables)
    return "errors" not in answer


def task(inner: str) -> str:
    return f'{{ task(id: "a") {{ {inner} }} }}'


def rows(inner: str) -> str:
    return f"{{ tasks(first: 500) {{ nodes {{ {inner} }} }} }}"


def names(number: int) -> str:
    return " ".join(f"a{n}: name" for n in range(number))


def metrics(number: int) -> str:
    return " ".join(f"m{n}: lastMetrics {{ value }}" for n in range(number))


# -- A: document limits ----------------------------------------------------------------------------


def nest_parents(levels: int) -> str:
    return "parent { " * levels + "id" + " }" * levels


async def test_a1_depth(client: Client, commands: Commands) -> None:
    assert await is_answered(client, task(nest_parents(10)))
    expected = {"limit": "depth", "maximum": 12, "actual": 13}
    assert expected == await get_refusal(client, commands, task(nest_parents(11)))


async def test_a2_depth_through_fragments(client: Client, commands: Commands) -> None:
    text = '{ task(id: "a") { ...A } } fragment A on Task { parent { ...B } } fragment B on Task { %s }'
    assert await is_answered(client, text % nest_parents(9))
    expected = {"limit": "depth", "maximum": 12, "actual": 13}
    assert expected == await get_refusal(client, commands, text % nest_parents(10))


async def test_a3_depth_through_inline_fragments(client: Client, commands: Commands) -> None:
    text = '{ ... { ... on Query { task(id: "a") { ... on Task { ... @include(if: true) { %s } } } } } }'
    assert await is_answered(client, text % nest_parents(10))
    expected = {"limit": "depth", "maximum": 12, "actual": 13}
    assert expected == await get_refusal(client, commands, text % nest_parents(11))


async def test_a4_introspection_may_be_as_deep_as_the_standard_query(client: Client, commands: Commands) -> None:
    assert await is_answered(client, FULL_INTROSPECTION)
    deeper = get_introspection_query(type_depth=10)
    expected = {"limit": "depth", "maximum": 15, "actual": 16}
    assert expected == await get_refusal(client, commands, deeper)
    assert expected == await get_refusal(client, commands, deeper.replace("__schema", "once: __schema"))


async def test_a5_aliases(client: Client, commands: Commands) -> None:
    assert await is_answered(client, task(names(100)))
    expected = {"limit": "aliases", "maximum": 100, "actual": 101}
    assert expected == await get_refusal(client, commands, task(names(101)))


async def test_a5_aliases_of_a_fragment_count_wherever_it_is_spread(client: Client, commands: Commands) -> None:
    text = task("...F parent { ...F }") + " fragment F on Task { %s }"
    assert await is_answered(client, text.replace("%s", names(50)))
    expected = {"limit": "aliases", "maximum": 100, "actual": 102}
    assert expected == await get_refusal(client, commands, text.replace("%s", names(51)))


async def test_a6_directives(client: Client, commands: Commands) -> None:
    assert await is_answered(client, task("... @include(if: true) { name } " * 100))
    expected = {"limit": "directives", "maximum": 100, "actual": 101}
    for known in ("... @include(if: true) { name } " * 101, "name " + "@nowhere " * 101):
        assert expected == await get_refusal(client, commands, task(known))
    everywhere = "query ($a: ID! @b) @b { task(id: $a) @b { ...F @b ... @b { id } } } fragment F on Task @b { id @b }"
    assert count_text(everywhere).directives == 7


async def test_a7_tokens(client: Client, commands: Commands) -> None:
    text = task("id " * 100 + "#\n" * 3890)
    assert parse(text).token_count == 4000
    assert await is_answered(client, text)
    assert await get_refusal(client, commands, text + " #") == {"limit": "tokens", "maximum": 4000}


def long(size: int, start: str = "{ __typename } # ", end: str = "") -> str:
    """A document of so many characters, each of two bytes but for the start and the end."""
    return start + "é" * (size - len(start) - len(end)) + end


async def test_a8_characters(client: Client, commands: Commands) -> None:
    for start, end in (("{ __typename } # ", ""), ('{ task(id: "', '") { id } }'), ('{ task(id: """', '""") { id } }')):
        assert await is_answered(client, long(100_000, start, end))
        expected = {"limit": "characters", "maximum": 100_000, "actual": 100_001}
        assert expected == await get_refusal(client, commands, long(100_001, start, end))
    expected["actual"] = 1_900_000
    assert expected == await get_refusal(client, commands, long(1_900_000))
    assert await is_answered(client, "query ($id: ID!) { task(id: $id) { id } }", id="é" * 1_000_000)


async def test_a8_characters_are_counted_at_every_door(client: Client, app: Starlette) -> None:
    text = long(100_001)
    refusals = [
        await client.http.post("/graphql", json={"query": text}, headers={"accept": accept})
        for accept in ("application/json", "application/graphql-response+json", "text/event-stream")
    ]
    refusals.append(await client.http.post("/export", json={"query": text}))
    assert all('"limit":"characters"' in refusal.text for refusal in refusals)
    async with listen(app) as address, open_socket(address) as connection:
        listener = await connection.subscribe(text)
        assert (await listener.error())["limit"] == "characters"


@pytest.mark.slow
def test_a8_characters_are_counted_on_the_command_line(mongodb_uri: str) -> None:
    said = run("export", "{ tasks { nodes { id } } }", mongodb_uri=mongodb_uri, max_characters=20)
    assert said.returncode == 1
    assert "LIMIT_EXCEEDED" in said.stderr


def build_fan_out(fragments: int, leaf: str = "a: name") -> str:
    """Fragments that each spread the next one twice."""
    links = "".join(f"fragment F{n} on Task {{ ...F{n + 1} ...F{n + 1} }} " for n in range(fragments - 1))
    return f"{{ tasks {{ nodes {{ ...F0 }} }} }} {links} fragment F{fragments - 1} on Task {{ {leaf} }}"


async def test_a9_fan_out(client: Client, commands: Commands) -> None:
    expected = {"limit": "aliases", "maximum": 100}
    assert await get_refusal(client, commands, build_fan_out(8)) == expected | {"actual": 128}
    assert await get_refusal(client, commands, build_fan_out(90)) == expected
    assert count_text(build_fan_out(400)).aliases == PLENTY


def test_a9_takes_no_longer_for_fanning_out(schema: Schema) -> None:
    def whole(text: str) -> Callable[[], Any]:
        return lambda: schema._take_document_steps(text)

    def ours(text: str) -> Callable[[], Any]:
        document = parse(text)
        fragments = sort_fragments(document)
        assert fragments is not None
        return lambda: (count_document(document, fragments), price_document(schema, document).compute({}))

    few, many = measure_medians(whole(build_fan_out(3)), whole(build_fan_out(21)))
    assert many <= 3 * few
    times = measure_medians(*(ours(build_fan_out(number, "__typename")) for number in (22, 45, 90)))
    assert times[1] <= 3 * times[0]
    assert times[2] <= 3 * times[1]


def measure_medians(*works: Callable[[], Any], rounds: int = 25) -> list[float]:
    """CPU time of each, interleaved."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            start = time.process_time()
            work()
            taken.append(time.process_time() - start)
    return [statistics.median(taken) for taken in times]


async def test_a10_fragment_cycles_are_left_to_validation(client: Client, commands: Commands) -> None:
    for text in (
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }",
        "{ __typename } fragment A on Query { ... { ...B } } fragment B on Query { a: tasks { nodes { id ...A } } }",
    ):
        start = time.process_time()
        answer = await client.answer(text)
        assert time.process_time() - start < 1
        assert "within itself" in answer["errors"][0]["message"]
        assert answer["errors"][0]["extensions"]["code"] == "VALIDATION_FAILED"
    assert commands.seen == []


async def test_a11_errors_are_listed_up_to_a_hundred() -> None:
    schema = build_limited_schema(LOOSE)
    text = rows(" ".join(f"x{number}" for number in range(10_000)))
    start = time.process_time()
    result = await schema.execute(text)
    assert time.process_time() - start < 5
    assert len(result.errors or ()) == MAX_ERRORS


async def test_a11_validation_that_gives_up_is_a_limit(client: Client, commands: Commands) -> None:
    assert await is_answered(client, rows("name " * 150))
    assert await get_refusal(client, commands, rows("name " * 3000)) == {"limit": "validation"}
    *wrong, last = (await client.answer(f"{{ tasks(filter: {{tags: [{'1 ' * 500}]}}) {{ totalCount }} }}"))["errors"]
    assert {error["extensions"]["code"] for error in wrong} == {"VALIDATION_FAILED"}
    assert last["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "validation"}


async def test_a11_names_are_suggested_while_there_are_few_errors(client: Client) -> None:
    for number, has_suggestions in ((1, True), (MAX_SUGGESTING, True), (MAX_SUGGESTING + 1, False)):
        errors = (await client.answer(rows(" ".join(f"statusMessag{n}" for n in range(number)))))["errors"]
        assert ["Did you mean" in error["message"] for error in errors] == [has_suggestions] * number


PAGES = {
    "literal": ("(first: 7)", {}, 7),
    "from the back": ("(last: 7)", {}, 7),
    "by number": ("(page: 3, pageSize: 7)", {}, 7),
    "variable": ("(first: $n)", {"n": 7}, 7),
    "variable as a whole float": ("(first: $n)", {"n": 7.0}, 7),
    "default of the variable": ("(first: $d)", {}, 9),
    "variable before its default": ("(first: $d)", {"d": 7}, 7),
    "null before the default": ("(first: $d)", {"d": None}, DEFAULT_PAGE),
    "absent variable": ("(first: $n)", {}, DEFAULT_PAGE),
    "absent": ("", {}, DEFAULT_PAGE),
    "null": ("(first: null)", {}, DEFAULT_PAGE),
    "negative": ("(first: -7)", {}, 0),
    "negative variable": ("(first: $n)", {"n": -7}, 0),
    "huge": ("(first: 2000000000)", {}, 500),
    "huge variable": ("(first: $n)", {"n": 10**30}, 500),
    "more digits than Python reads": (f"(first: {'9' * 5000})", {}, 500),
    "a text": ("(first: $n)", {"n": "7"}, DEFAULT_PAGE),
    "several": ("(first: 3, last: $n)", {"n": 7}, 7),
}


@pytest.mark.parametrize(("said", "variables", "page"), PAGES.values(), ids=PAGES)
def test_a12_a_page_costs_what_is_asked_for(schema: Schema, said: str, variables: dict[str, Any], page: int) -> None:
    """What lies outside the range counts as its end, and is refused by the list itself."""
    text = f"query ($n: Int, $d: Int = 9) {{ tasks{said} {{ nodes {{ id parent {{ id }} }} edges {{ cursor }} }} }}"
    assert price_document(schema, parse(text)).compute(variables) == 1 + 3 * page


async def test_a12_the_cost_is_that_of_each_request_not_of_the_document(client: Client, commands: Commands) -> None:
    text = "query ($n: Int) " + rows(metrics(20)).replace("500", "$n")
    for _ in range(2):
        assert await is_answered(client, text, n=499)
        expected = {"limit": "cost", "maximum": 500_000, "actual": 1 + 500 * 1001}
        assert expected == await get_refusal(client, commands, text, n=500)


async def test_a12_more_names_than_a_task_usually_has_cost_as_many_as_they_are(
    client: Client, commands: Commands
) -> None:
    """A task has about 50 metrics; a request may name more, in its text or in a variable."""
    names = [f"m{number}" for number in range(300)]
    literal = rows(f'lastMetrics(metric: {json.dumps(names)}, variant: ["v"]) {{ value }}')
    by_variable = rows('lastMetrics(metric: $names, variant: ["v"]) { value }')
    assert (await cost(client, literal))["requested"] == 1 + 500 * 301
    found = await cost(client, f"query ($names: [String!]) {by_variable}", variables={"names": names})
    assert found["requested"] == 1 + 500 * 301
    more = {"names": [f"m{number}" for number in range(1000)]}
    expected = {"limit": "cost", "maximum": 500_000, "actual": 1 + 500 * 1001}
    assert expected == await get_refusal(client, commands, f"query ($names: [String!]) {by_variable}", **more)


async def test_a13_nested_lists_multiply(client: Client, commands: Commands) -> None:
    expected = {"limit": "cost", "maximum": 500_000, "actual": 1 + 500 * 5001}
    assert expected == await get_refusal(client, commands, rows(metrics(100)))
    inside = "subprojects(first: 250) { %s }"
    two, three = (f"{{ projects(first: 250) {{ nodes {{ {inside % part} }} }} }}" for part in ("id", inside % "id"))
    assert await is_answered(client, two)
    expected["actual"] = 1 + 250 * (1 + 250 * (1 + 250))
    assert expected == await get_refusal(client, commands, three)


def test_a13_pages_in_pages_multiply() -> None:
    nested = build_schema("type Query { things(first: Int = 50): Page } type Page { nodes: [Query] }")
    text = "{ things(first: 250) { nodes { things(first: 250) { nodes { __typename } } } } }"
    assert CostModel(nested, {}, 500).build_operation_costs(parse(text), {})[None].compute({}) == 1 + 250 * (
        1 + 1 + 250
    )
    text = "{ things { nodes { things(first: 250) { nodes { __typename } } } } }"
    assert CostModel(nested, {}, 500).build_operation_costs(parse(text), {})[None].compute({}) == 1 + 50 * (1 + 1 + 250)


async def test_a14_refusals_hold_nothing_of_the_schema(client: Client) -> None:
    words = set(load().definitions) | {"Task", "Query", "lastMetrics", "nodes", "hyperparams"}
    for text in (
        task(nest_parents(20)),
        task(names(101)),
        task("id " + "@a" * 101),
        "{ " + " ".join(f"a{n}: __typename" for n in range(30)) + " }",
        rows(metrics(50)),
        rows("name " * 3000),
        "{ " + "x " * 4000 + "}",
    ):
        [error] = (await client.answer(text))["errors"]
        assert error["extensions"].keys() <= {"code", "limit", "maximum", "actual"}
        assert not words & set(re.findall(r"\w+", error["message"]))


async def test_fields_at_the_root(client: Client, commands: Commands) -> None:
    def text(number: int) -> str:
        fields = " ".join(f'a{n}: task(id: "{n}") {{ id }}' for n in range(number - 1))
        return f"{{ {fields} ...F }} fragment F on Query {{ __typename }}"

    assert await is_answered(client, text(20))
    assert await get_refusal(client, commands, text(21)) == {"limit": "rootFields", "maximum": 20, "actual": 21}


async def test_a_page_beyond_the_limit_is_refused_by_the_list(client: Client, commands: Commands) -> None:
    for name in ("first", "last", "pageSize"):
        expected = {"limit": "page", "maximum": 500, "actual": 501, "field": name}
        assert expected == await get_refusal(client, commands, f"{{ tasks({name}: 501) {{ totalCount }} }}")


async def test_every_operation_of_a_document_is_held_to_the_limits(client: Client, commands: Commands) -> None:
    text = f"query A {{ __typename }} query B {task(nest_parents(20))}"
    response = await client.http.post("/graphql", json={"query": text, "operationName": "A"})
    assert response.json()["errors"][0]["extensions"]["limit"] == "depth"
    assert commands.seen == []


# -- nesting ---------------------------------------------------------------------------------------


def test_nesting_is_counted_in_json_and_in_literals_alike() -> None:
    for value, depth in (("1", 0), ("[]", 1), ("[1, [2], 3]", 2), ("{a: [{b: 1}]}", 3), ("{}", 1)):
        assert count_text(f"{{ field(argument: {value}) }}").nesting == depth
        assert count_text(f"query ($a: A = {value}) {{ field }}").nesting == depth
        assert count_text(f"query ($a: A @directive(argument: {value})) {{ field }}").nesting == depth
        assert count_text(f"query @directive(argument: {value}) {{ field }}").nesting == depth
        assert count_text(f"{{ field @directive(argument: {value}) }}").nesting == depth
        assert count_text(f"{{ ...F }} fragment F on A @directive(argument: {value}) {{ field }}").nesting == depth
        assert measure_nesting(json.loads(re.sub(r"(\w+):", r'"\1":', value))) == depth


async def test_nesting_of_literals(client: Client, commands: Commands) -> None:
    def text(levels: int) -> str:
        return "{ tasks(filter: {tags: " + "[" * levels + '"a"' + "]" * levels + "}) { totalCount } }"

    [error] = (await client.answer(text(63)))["errors"]
    assert error["extensions"] == {"code": "VALIDATION_FAILED"}
    assert await get_refusal(client, commands, text(64)) == {"limit": "nesting", "maximum": 64, "actual": 65}
    for levels in (190, 1000, 100_000):
        [error] = (await client.answer(text(levels)))["errors"]
        assert error["extensions"]["code"] in {"PARSE_FAILED", "LIMIT_EXCEEDED"}


@pytest.mark.parametrize("levels", [100, 190, 198, 1000])
async def test_no_nesting_of_selections_exhausts_the_stack(client: Client, levels: int) -> None:
    for part, end in (("... on Query { ", "__typename"), ("... { a: ", "__typename"), ("parent { ", "id")):
        text = (
            task(part * levels + end + " }" * levels) if end == "id" else f"{{ {part * levels}{end}{' }' * levels} }}"
        )
        for limits in (DEFAULT_LIMITS, LOOSE):
            result = await build_limited_schema(limits).execute(text, context_value=None)
            assert "recursion" not in str(result.errors).lower()
        codes = {error["extensions"]["code"] for error in (await client.answer(text)).get("errors", ())}
        assert codes <= {"LIMIT_EXCEEDED", "PARSE_FAILED", "VALIDATION_FAILED"}


async def test_nesting_of_variables(client: Client, commands: Commands) -> None:
    text = "query ($tags: [String!]) { tasks(filter: {tags: $tags}) { totalCount } }"
    [error] = (await client.answer(text, tags=nested(64)))["errors"]
    assert error["extensions"] == {"code": "VALIDATION_FAILED"}
    assert await get_refusal(client, commands, text, tags=nested(65)) == {"limit": "nesting", "maximum": 64}
    assert await get_refusal(client, commands, text, tags=nested(500)) == {"limit": "nesting", "maximum": 64}
    assert await get_refusal(client, commands, text, unknown={"a": nested(64)}) == {"limit": "nesting", "maximum": 64}


async def test_a_body_nested_beyond_all_reading_is_refused(client: Client) -> None:
    body = '{"query": "{ __typename }", "variables": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}"
    response = await client.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


def nested(levels: int) -> Any:
    value: Any = "a"
    for _ in range(levels):
        value = [value]
    return value


# -- counts and costs by another way ---------------------------------------------------------------

SMALL = build_schema("""
    schema { query: T }
    type T {
      leaf(x: J): Int
      one: T
      many: [T!]!
      page(first: Int, pageSize: Int = 3): T
      named(key: [String!], other: [String!]): [T!]!
      sized: [T]
    }
    scalar J
""")
SIZES = {("T", "named"): 40, ("T", "sized"): 6}
VARIABLES: Mapping[str, Any] = {"n": 5, "keys": ["a", "b"], "yes": True, "no": False}
PAGE_ARGUMENTS = {
    "": 3,
    "(first: 4)": 4,
    "(first: $n)": 5,
    "(first: null, pageSize: null)": 50,
    "(pageSize: 7)": 7,
    "(first: -1)": 3,
    "(first: 9999)": 500,
    "(first: $gone)": 3,
    "(first: $gone, pageSize: null)": 50,
    "(first: $eight)": 8,
}
NAMED_ARGUMENTS = {
    "": 40,
    '(key: ["a"])': 10,
    '(key: "a", other: $keys)': 2,
    "(key: $keys, other: $keys)": 4,
    "(key: [])": 0,
    '(key: ["a", "b", "c", "d", "e"])': 40,
    "(key: $gone, other: $keys)": 20,
}
DIRECTIVES = {
    "": (0, True),
    " @include(if: $yes)": (1, True),
    " @include(if: $no)": (1, False),
    " @skip(if: true)": (1, False),
    " @skip(if: $no) @include(if: true)": (2, True),
    " @odd(x: [[1]])": (1, True),
}
HEAD = "query ($n: Int, $keys: [String!], $yes: Boolean!, $no: Boolean!, $gone: Int, $eight: Int = 8)"


@st.composite
def selections(draw: st.DrawFn, spreads: tuple[int, ...], depth: int = 3) -> list[tuple[Any, ...]]:
    kinds = ["leaf", *(["one", "many", "page", "named", "sized", "inline"] if depth else []), *spreads]
    made = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)):
        arguments = {"page": PAGE_ARGUMENTS, "named": NAMED_ARGUMENTS}.get(str(kind), {"": 0})
        inner = [] if kind == "leaf" or isinstance(kind, int) else draw(selections(spreads, depth - 1))
        made.append(
            (
                kind,
                draw(st.sampled_from(sorted(arguments))),
                draw(st.sampled_from(sorted(DIRECTIVES))),
                draw(st.booleans()),
                inner,
            )
        )
    return made


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[tuple[Any, ...]], list[list[tuple[Any, ...]]]]:
    """A selection, and fragments that spread only later ones."""
    number = draw(st.integers(0, 4))
    fragments = [draw(selections(tuple(range(at + 1, number)), 2)) for at in range(number)]
    return draw(selections(tuple(range(number)))), fragments


def write_document(selection: list[tuple[Any, ...]]) -> str:
    parts = []
    for kind, arguments, directive, has_alias, inner in selection:
        if isinstance(kind, int):
            parts.append(f"...F{kind}{directive}")
        elif kind == "inline":
            parts.append(f"...{' on T' if has_alias else ''}{directive} {write_document(inner)}")
        else:
            alias = "alias: " if has_alias else ""
            parts.append(f"{alias}{kind}{arguments}{directive} {write_document(inner) if inner else ''}")
    return "{ " + " ".join(parts) + " }"


def expand_fragments(selection: list[tuple[Any, ...]], fragments: list[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """Every fragment written out where it is spread, as one inline."""
    return [
        ("inline", "", directive, False, expand_fragments(fragments[kind], fragments))
        if isinstance(kind, int)
        else (kind, arguments, directive, has_alias, expand_fragments(inner, fragments))
        for kind, arguments, directive, has_alias, inner in selection
    ]


def count_naively(selection: list[tuple[Any, ...]]) -> Counts:
    aliases = directives = fields = depth = levels = 0
    for kind, arguments, directive, has_alias, inner in selection:
        below = count_naively(inner)
        is_field = kind != "inline"
        aliases += below.aliases + (is_field and has_alias)
        directives += below.directives + DIRECTIVES[directive][0]
        fields += 1 if is_field else below.fields
        depth = max(depth, below.depth + is_field)
        levels = max(levels, below.nesting, 2 if "odd" in directive else 0, int("[" in arguments))
    return Counts(aliases, directives, fields, depth, 0, levels)


def price_naively(selection: list[tuple[Any, ...]], page: int) -> int:
    total = 0
    for kind, arguments, directive, _, inner in selection:
        if not DIRECTIVES[directive][1]:
            continue
        if kind == "inline":
            total += price_naively(inner, page)
        elif kind == "page":
            total += 1 + price_naively(inner, PAGE_ARGUMENTS[arguments])
        elif kind != "leaf":
            number = {"one": 1, "many": page, "sized": 6, "named": NAMED_ARGUMENTS.get(arguments, 0)}[kind]
            total += number * (1 + price_naively(inner, USUAL_SIZE))
    return total


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(documents())
def test_counts_and_cost_are_those_of_the_document_written_out(made: tuple[Any, Any]) -> None:
    selection, fragments = made
    text = HEAD + write_document(selection)
    text += "".join(f" fragment F{n} on T {write_document(fragment)}" for n, fragment in enumerate(fragments))
    whole = expand_fragments(selection, fragments)
    assert count_text(text) == count_naively(whole)
    document = parse(text)
    operation = CostModel(SMALL, SIZES, 500).build_operation_costs(document, sort_fragments(document) or {})[None]
    assert operation.compute(VARIABLES) == min(PLENTY, price_naively(whole, USUAL_SIZE))


def count_text(text: str) -> Counts:
    document = parse(text)
    fragments = sort_fragments(document)
    assert fragments is not None
    return count_document(document, fragments)


def price_document(schema: Schema, document: DocumentNode) -> Any:
    fragments = sort_fragments(document)
    assert fragments is not None
    [operation] = schema._cost_model.build_operation_costs(document, fragments).values()
    return operation


# -- what things cost ------------------------------------------------------------------------------

DASHBOARD = rows(
    """
  id name type status comment created started completed published statusChanged statusMessage lastUpdate lastIteration
  lastWorker tags systemTags activeDuration projectId parentId project { id name }
"""
    + " ".join(f'm{n}: lastMetrics(metric: ["metric {n}"], variant: ["test"]) {{ value }}' for n in range(30))
)


async def cost(client: Client, query: str, **more: Any) -> dict[str, Any]:
    response = await client.http.post("/graphql", json={"query": query, "extensions": {"cost": True}, **more})
    answer = response.json()
    assert "errors" not in answer
    found: dict[str, Any] = answer["extensions"]["cost"]
    return found


async def test_a_dashboard_of_500_tasks_with_30_metrics_passes(client: Client) -> None:
    assert await cost(client, DASHBOARD) == {"requested": 1 + 500 * 32, "budget": 500_000}
    by_metric = DASHBOARD.replace(', variant: ["test"]', "")
    assert await cost(client, by_metric) == {"requested": 1 + 500 * 302, "budget": 500_000}


async def test_every_example_of_the_docs_costs_less_than_half_the_budget(client: Client) -> None:
    examples = find_examples()
    assert len(examples) >= 24
    for query in (*examples, FULL_INTROSPECTION):
        if query.startswith("subscription"):
            continue  # it has no first answer that would show its cost
        # whether or not the tasks that it names are there
        answer = await client.http.post("/graphql", json={"query": query, "extensions": {"cost": True}})
        price = answer.json()["extensions"]["cost"]
        assert price["requested"] < price["budget"] / 2, query


async def test_the_cost_that_the_docs_print_is_so(client: Client) -> None:
    [body] = re.findall(r"-d '(\{[^']*\"cost\": true\}\})'", DOCS["limits"])
    response = await client.http.post(
        "/graphql", content=body.replace("\n", ""), headers={"Content-Type": "application/json"}
    )
    assert json.dumps(response.json()["extensions"], separators=(",", ":")) in DOCS["limits"]
    [product] = re.findall(r"500 . \(1 \+ 30\) \+ 1 = (\d+)\s+of\s+500000", DOCS["limits"])
    assert int(product) == 500 * 31 + 1


async def test_the_cost_is_shown_only_when_asked_and_also_when_refused(client: Client) -> None:
    assert "extensions" not in await client.answer("{ tasks { totalCount } }")
    request = {"query": rows(metrics(50)), "extensions": {"cost": True}}
    answer = (await client.http.post("/graphql", json=request)).json()
    assert answer["extensions"]["cost"] == {"requested": 1_250_501, "budget": 500_000}
    assert answer["errors"][0]["extensions"]["actual"] == 1_250_501
    response = await client.http.get("/graphql", params={"query": "{ __typename }", "extensions": '{"cost": true}'})
    assert response.json()["extensions"] == {"cost": {"requested": 0, "budget": 500_000}}


async def test_a_request_may_cost_exactly_the_maximum(beside: Callable[..., Client]) -> None:
    query = "{ tasks(first: 7) { nodes { id } } }"
    assert await is_answered(beside(max_cost=8), query)
    error = await beside(max_cost=7).error(query)
    assert (error["limit"], error["maximum"], error["actual"]) == ("cost", 7, 8)


async def test_a_list_in_a_document_has_a_thousand_values_at_most(client: Client) -> None:
    query = "{ tasks(filter: {id: %s}) { totalCount } }"
    assert await is_answered(client, query % json.dumps(["x"] * 1000))
    error = await client.error(query % json.dumps(["x"] * 1001))
    assert (error["limit"], error["maximum"], error["actual"]) == ("values", 1000, 1001)


async def test_the_cost_of_the_named_operation_counts(client: Client) -> None:
    text = "query A { tasks(first: 3) { nodes { id } } } query B { tasks(first: 4) { nodes { id } } }"
    for name, expected in (("A", 4), ("B", 5)):
        assert (await cost(client, text, operationName=name))["requested"] == expected


def test_only_lists_have_a_size() -> None:
    types = build_limited_schema()._schema.type_map
    for (name, field), size in find_usual_sizes(load()).items():
        assert "[" in str(types[name].fields[field].type)  # type: ignore[attr-defined]
        assert size > 0


# -- E: leaks --------------------------------------------------------------------------------------

MISSPELT: Mapping[str, tuple[str, dict[str, Any]]] = {
    "field": ("{ task(id: 1) { nam } }", {}),
    "argument": ("{ task(idd: 1) { name } }", {}),
    "enum value": ("{ tasks(filter: {status: [COMPLETE]}) { totalCount } }", {}),
    "input field": ('{ tasks(filter: {nam: "x"}) { totalCount } }', {}),
    "type name": ("query ($f: TaskFiltr) { tasks(filter: $f) { totalCount } }", {}),
    "type condition": ("{ ... on Querry { __typename } }", {}),
    "directive argument": ("{ __typename @include(iff: true) }", {}),
    "enum value in a variable": (
        "query ($f: TaskFilter) { tasks(filter: $f) { totalCount } }",
        {"f": {"status": ["COMPLETE"]}},
    ),
    "input field in a variable": ("query ($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": {"nam": "x"}}),
}


@pytest.fixture
def closed(beside: Callable[..., Client]) -> Client:
    """A client of the same application without introspection."""
    return beside(introspection=False, max_depth=3)


@pytest.mark.parametrize(("query", "variables"), MISSPELT.values(), ids=MISSPELT)
async def test_e1_suggestions_go_with_introspection(
    client: Client, closed: Client, query: str, variables: dict[str, Any]
) -> None:
    opened = await client.answer(query, **variables)
    answer = await closed.answer(query, **variables)
    assert "Did you mean" in str(opened)
    assert "Did you mean" not in str(answer)
    assert answer["errors"][0]["extensions"]["code"] == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { types { name } } }",
        '{ __type(name: "Task") { name } }',
        "{ a: __schema { b: types { name } } }",
        "{ ...F } fragment F on Query { ...G } fragment G on Query { x: __schema { types { name } } }",
        "{ ... { ... on Query @include(if: true) { __schema { types { name } } } } }",
        "query A { __typename } query B { __schema { types { name } } }",
        FULL_INTROSPECTION,
    ],
)
async def test_e2_introspection_can_be_turned_off(closed: Client, query: str) -> None:
    name = "A" if query.startswith("query A") else None
    [error] = (await closed.http.post("/graphql", json={"query": query, "operationName": name})).json()["errors"]
    assert error["message"] == "Introspection is turned off here."
    assert error["extensions"] == {"code": "VALIDATION_FAILED"}


async def test_e2_typename_stays(closed: Client) -> None:
    query = "{ __typename tasks { __typename nodes { __typename } } }"
    assert (await closed.data(query))["tasks"]["__typename"] == "TaskConnection"


async def test_limits_are_settings(closed: Client) -> None:
    [error] = (await closed.answer('{ task(id: "a") { parent { parent { id } } } }'))["errors"]
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "depth", "maximum": 3, "actual": 4}
