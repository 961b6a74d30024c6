"""GraphiQL: what is served to whom, and the page in a real browser."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response, expect, sync_playwright
from starlette.applications import Starlette

from api.accepts import Accept
from api.graphiql import serving
from api.graphiql.serving import Example, build_graphiql_routes, find_built_files, read_examples
from tests.support.servers import HTTP, Server, run, serve

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
EVERY = list(read_examples())
EXAMPLES = [example for example in EVERY if "\nsubscription " not in example.query]
LIVE, LIVE_METRICS = [example for example in EVERY if example not in EXAMPLES]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A served taskql with the sample."""
    folder = tmp_path_factory.mktemp("graphiql")
    with serve(data_dir=folder) as started:
        assert run("import", "--sample", data_dir=folder).returncode == 0
        yield started


def find_files(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', page)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (BROWSER["Accept"], True),
        ("text/html", True),
        ("application/json;q=0.5, text/html", True),
        ("TEXT/HTML ; Q=0.2", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=much", False),
    ],
)
def test_a_page_is_for_clients_that_rank_it_above_json(accept: str, expected: bool) -> None:
    assert Accept(accept).prefers("text/html", "application/json") is expected


def test_a_browser_is_led_to_the_page(server: Server) -> None:
    page = HTTP.get(server.address.removesuffix("graphql"), headers=BROWSER, follow_redirects=True)
    assert str(page.url) == server.address
    assert "<title>taskql</title>" in page.text


def test_programs_are_answered_with_json_as_before(server: Server) -> None:
    question = {"query": "{ tasks { totalCount } }"}
    for accept in ("*/*", "application/json", "application/graphql-response+json"):
        answer = HTTP.get(server.address, params=question, headers={"Accept": accept})
        assert answer.json() == {"data": {"tasks": {"totalCount": 12}}}
    assert HTTP.get(server.address).json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert HTTP.get(server.address.removesuffix("graphql")).status_code == 404


def test_the_page_may_use_nothing_from_elsewhere(server: Server) -> None:
    page = HTTP.get(server.address, headers=BROWSER)
    policy = dict(directive.split(" ", 1) for directive in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"https?:|\*|eval", page.headers["content-security-policy"])
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not [name for name in find_files(page.text) if "//" in name]


def test_files_are_kept_by_the_browser_under_an_address_that_changes_with_them(server: Server) -> None:
    page = HTTP.get(server.address, headers=BROWSER)
    names = find_files(page.text)
    assert len(names) == 9
    for name in names:
        response = HTTP.get(page.url.join(name))
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    assert HTTP.get(page.url.join(re.sub(r"graphiql/\w+", "graphiql/0", names[0]))).status_code == 404
    assert HTTP.get(page.url.join(names[0].rpartition("/")[0] + "/..%2f..%2fapp.py")).status_code == 404


def test_ten_thousand_ranges_are_answered_quickly(server: Server) -> None:
    page = HTTP.get(server.address, headers=BROWSER)
    name = next(name for name in find_files(page.text) if name.endswith("/graphiql.js"))
    ranges = ",".join(f"{start}-{start}" for start in range(0, 20_000, 2))
    started = time.perf_counter()
    response = HTTP.get(page.url.join(name), headers={"Range": f"bytes={ranges}"})
    assert time.perf_counter() - started < 10
    assert (response.status_code, response.content) == (200, HTTP.get(page.url.join(name)).content)


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    with serve(data_dir=tmp_path, graphiql="false") as server:
        answer = HTTP.get(server.address, headers=BROWSER)
        assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert HTTP.get(server.address.removesuffix("graphql"), headers=BROWSER).status_code == 404


async def test_without_its_files_the_page_says_how_to_get_them() -> None:
    bare = Starlette(routes=build_graphiql_routes(find_built_files("no_such_package")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(bare), base_url="http://test") as client:
        page = (await client.get("/graphql", headers=BROWSER)).text
        assert "GraphiQL is missing" in page
        assert "uv sync --reinstall-package taskql" in page
        assert [(await client.get(f"/{name}")).status_code for name in find_files(page)] == [200, 200]


def test_the_licences_of_all_that_browsers_are_sent_come_with_it() -> None:
    built = find_built_files()
    assert built
    licences = (built / "licences.txt").read_text("utf-8")
    lock = json.loads((Path(serving.__file__).parent / "package-lock.json").read_text("utf-8"))
    packages = {path.rpartition("node_modules/")[2]: package for path, package in lock["packages"].items() if path}
    assert len(packages) > 90
    for name, package in packages.items():
        assert re.search(rf"^{name} {re.escape(package['version'])} \(.+\)$", licences, re.MULTILINE), name
    for owner in ("Facebook, Inc. and its affiliates", "GraphQL Contributors", "Marijn Haverbeke", "Fira Code Project"):
        assert re.search(rf"^Copyright .*{owner}", licences, re.MULTILINE), owner
    for words in ("Permission is hereby granted", "SIL OPEN FONT LICENSE", "Apache License\n"):
        assert words in licences


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_has_an_answer_without_errors(server: Server, example: Example) -> None:
    assert example.query.startswith(f"# {example.title}\n")
    variables = httpx.Response(200, text=example.variables).json() if example.variables else None
    answer = HTTP.post(server.address, json={"query": example.query, "variables": variables}).json()
    assert "errors" not in answer
    [value] = answer["data"].values()
    result_fields = ("nodes", "task", "results", "items", "totalCount")
    assert value if isinstance(value, list) else any(value.get(name) for name in result_fields)


def test_the_documentation_lists_types_in_the_order_of_their_names(server: Server) -> None:
    """Introspection gives them so, and GraphiQL shows them as they come."""
    names = [type_["name"] for type_ in server.data("{ __schema { types { name } } }")["__schema"]["types"]]
    assert len(names) > 100
    assert names == sorted(names)


def test_every_line_of_the_example_of_errors_is_an_error(server: Server) -> None:
    query = next(example.query for example in EXAMPLES if example.title == "Errors")
    lines = re.findall(r"^  # (\w+: .*)$", query, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        assert HTTP.post(server.address, json={"query": f"{{ {line} }}"}).json()["errors"][0]["extensions"]["code"]


def test_the_example_of_reports_runs_twice_as_its_comment_says(server: Server) -> None:
    """The curve keeps its three points, and the last metrics count both reports."""
    query = next(example.query for example in EXAMPLES if example.title == "Report metrics")
    counts = []
    for _ in range(2):
        [result] = server.data(query)["metricsReport"]["results"]
        assert (result["succeeded"], result["added"]) == (True, 3)
        assert result["task"]["series"] == [{"iterations": [1, 2, 3], "values": [0.53, None, 0.41]}]
        counts.append(result["task"]["lastMetrics"][0]["count"])
    assert counts[1] == counts[0] + 2


# -- in Chromium ---------------------------------------------------------------------------------


expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield chromium
        chromium.close()


# the cursor, to where the name of an operation stands
# the button has a menu as soon as GraphiQL knows that there are several operations
MENU_OF_OPERATIONS = ".graphiql-execute-button[aria-haspopup=menu]"
PUT_CURSOR = """(name) => {
  const editor = document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror;
  const found = editor.operations.find((operation) => operation.name.value === name);
  editor.focus();
  editor.setCursor(editor.posFromIndex(found.name.loc.end));
}"""


def is_answer_to(query: str) -> Callable[[Response], bool]:
    """Return whether a response answers a request with this text in its query."""
    return lambda response: query in (response.request.post_data_json or {}).get("query", "")


class Visit:
    """A page of a new visitor, with all that it asked for and complained of."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.page: Page = context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: line.type in {"error", "warning"} and self.complaints.append(line.text))
        self.page.goto(server.address.removesuffix("graphql"))
        expect(self.page.get_by_role("button", name="Execute query")).to_be_visible()

    @property
    def tabs(self) -> Locator:
        """The titles of the tabs."""
        return self.page.locator(".graphiql-tab-button")

    def reload_with(self, text: str) -> None:
        """Visit again, once the browser keeps tabs with this text."""
        self.page.wait_for_function("text => localStorage.getItem('graphiql:tabState')?.includes(text)", arg=text)
        self.page.reload()

    def example(self, example: Example) -> Locator:
        """The entry of an example in the list."""
        return self.page.get_by_label("Examples", exact=True).get_by_role("button", name=example.title, exact=True)

    def choose(self, example: Example) -> None:
        """Open an example, and wait until it is shown."""
        self.example(example).click()
        expect(self.page.locator(".graphiql-query-editor")).to_contain_text(example.query.splitlines()[0])

    def expect_variables(self, *, is_open: bool) -> None:
        expect(self.page.get_by_label("Hide editor tools" if is_open else "Show editor tools")).to_be_visible()

    def run(self, query: str) -> str:
        """The answer that the button brings to this query, once it is there to be seen."""
        expect(self.page.locator(".graphiql-query-editor")).to_contain_text(query.splitlines()[0])
        with self.page.expect_response(is_answer_to(query)) as waited:
            self.page.get_by_role("button", name="Execute query").click()
        expect(self.page.locator(".result-window")).to_contain_text(re.compile('"data"|"errors"'))
        return waited.value.text()


@contextmanager
def open_page(browser: Browser, server: Server, scheme: Literal["light", "dark"]) -> Iterator[Visit]:
    """A visit that asks no other host and has no complaint."""
    context = browser.new_context(color_scheme=scheme)
    context.set_default_timeout(30_000)
    opened = Visit(context, server)
    yield opened
    context.close()
    assert {httpx.URL(url).host for url in opened.asked} == {"127.0.0.1"}
    assert opened.complaints == []


@pytest.fixture(params=["light", "dark"])
def visit(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Visit]:
    with open_page(browser, server, request.param) as opened:
        yield opened


@pytest.fixture
def dark(browser: Browser, server: Server) -> Iterator[Visit]:
    with open_page(browser, server, "dark") as opened:
        yield opened


def test_a_visitor_runs_every_example(visit: Visit) -> None:
    """Each opens a tab with its title, and the pane of variables where it has some."""
    expect(visit.page).to_have_title("taskql")
    expect(visit.page.get_by_text("Choose one, then run it")).to_be_visible()
    for example in EXAMPLES:
        visit.choose(example)
        answer = visit.run(example.query)
        assert '"data"' in answer
        assert '"errors"' not in answer
        expect(visit.tabs).to_contain_text([example.title])
        visit.expect_variables(is_open=bool(example.variables))
    expect(visit.tabs).to_have_text([example.title for example in EXAMPLES])


def test_a_first_visit_opens_one_tab_with_the_title_of_its_example(visit: Visit) -> None:
    expect(visit.tabs).to_have_text([EVERY[0].title])
    visit.expect_variables(is_open=False)


def test_a_second_visit_finds_the_tabs_of_the_first(visit: Visit) -> None:
    """Neither an example nor an empty tab is added, and the text of the visitor is there."""
    visit.choose(EVERY[4])
    visit.choose(EVERY[1])
    expect(visit.tabs).to_have_text([EVERY[index].title for index in (0, 4, 1)])
    visit.page.get_by_label("New tab").click()
    visit.page.locator(".graphiql-query-editor textarea").first.focus()
    visit.page.keyboard.insert_text("query Mine { tasks { totalCount } }")
    titles = [*(EVERY[index].title for index in (0, 4, 1)), "Mine"]
    expect(visit.tabs).to_have_text(titles)
    visit.reload_with("Mine {")
    expect(visit.tabs).to_have_text(titles)
    visit.page.get_by_role("tab", name="Mine").click()
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("query Mine { tasks { totalCount } }")


def test_the_pane_of_variables_follows_the_tab(visit: Visit) -> None:
    paged = next(example for example in EVERY if example.variables)
    visit.choose(paged)
    visit.expect_variables(is_open=True)
    visit.reload_with("endCursor")
    visit.expect_variables(is_open=True)
    visit.page.get_by_role("tab", name=EVERY[0].title).click()
    visit.expect_variables(is_open=False)
    visit.page.get_by_role("tab", name=paged.title).click()
    visit.expect_variables(is_open=True)


def test_an_example_is_opened_and_run_by_keys(visit: Visit) -> None:
    """Tab goes from one example to the next; one that is open already is shown, not opened twice."""
    visit.example(EVERY[0]).focus()
    visit.page.keyboard.press("Tab")
    expect(visit.example(EVERY[1])).to_be_focused()
    for _ in range(2):
        visit.example(EVERY[1]).focus()
        visit.page.keyboard.press("Enter")
        expect(visit.tabs).to_have_text([EVERY[0].title, EVERY[1].title])
    expect(visit.example(EVERY[1])).to_have_attribute("aria-current", "true")
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("query Metrics")
    visit.page.locator(".graphiql-query-editor textarea").first.focus()
    with visit.page.expect_response(is_answer_to("query Metrics")) as waited:
        visit.page.keyboard.press("Control+Enter")
    assert waited.value.json()["data"]["tasks"]["nodes"]


@pytest.mark.parametrize("width", [320, 420, 700])
def test_everything_can_be_reached_on_a_narrow_window(visit: Visit, width: int) -> None:
    """The run button, the answer, the examples and the documentation lie inside the window."""
    visit.page.set_viewport_size({"width": width, "height": 800})
    visit.choose(EVERY[1])
    answer = visit.run(EVERY[1].query)
    assert '"data"' in answer
    names = (".graphiql-execute-button", ".result-window", ".graphiql-query-editor", ".graphiql-editor-tools")
    for name in names:
        box = visit.page.locator(name).bounding_box()
        assert box
        assert box["width"] > 30
        assert box["height"] > 20
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 800
    visit.page.get_by_label("Show Documentation Explorer").click()
    visit.page.get_by_role("link", name="Query", exact=True).click()
    expect(visit.page.get_by_text("Everything that can be read.")).to_be_visible()


KEEP_AND_KILL = 'mutation Keep { taskPing(input: {task: "a"}) { task { id } } } '
KILL = 'mutation Kill { taskPing(input: {task: "b"}) { task { id } } }'


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        (KEEP_AND_KILL + KILL, "Keep"),
        (KEEP_AND_KILL + KILL, "Kill"),
        (f"{KEEP_AND_KILL}\n{KILL}", "Kill"),
        (f"  {KEEP_AND_KILL}\n\t{KILL}", "Kill"),
        (f"# mutation Kill {{\n{KEEP_AND_KILL} # mutation Kill {{\n{KILL}", "Kill"),
        ('query A { tasks(filter: {name: "query B {"}) { totalCount } } query B { queues { totalCount } }', "A"),
        (
            'query A { tasks(filter: {name: """\nquery B {\n"""}) { totalCount } } query B { queues { totalCount } }',
            "B",
        ),
        ("query A { ...F } fragment F on Query { __typename } query AB { ...F } query ABC { ...F }", "AB"),
        ("query ABC { __typename } query AB { __typename } query A { __typename }", "A"),
        ("query query { __typename } query mutation { __typename }", "mutation"),
        ("query\nSplit\n{ __typename } query,Comma{__typename}", "Comma"),
        ("query A { __typename }" + " " * 200 + "query B { __typename }", "B"),
        ("subscription S { taskChanged { kind } } query Q { __typename }", "Q"),
        ("query Q { __typename } subscription S { taskChanged { kind } } mutation M { __typename }", "M"),
    ],
)
def test_the_chosen_operation_is_the_one_that_is_sent(dark: Visit, server: Server, query: str, chosen: str) -> None:
    """Text on its line, in strings and in comments changes nothing; Ctrl-Enter takes the one at the cursor."""
    dark.page.goto(f"{server.address}?query={quote(query)}")
    expect(dark.page.locator(".graphiql-query-editor")).to_contain_text(query.rsplit("\n", maxsplit=1)[-1].strip())
    dark.page.locator(MENU_OF_OPERATIONS).click()
    with dark.page.expect_response(is_answer_to(query)) as waited:
        dark.page.get_by_role("menuitem", name=chosen, exact=True).click()
    assert waited.value.request.post_data_json["operationName"] == chosen
    dark.page.evaluate(PUT_CURSOR, chosen)
    with dark.page.expect_response(is_answer_to(query)) as waited:
        dark.page.keyboard.press("Control+Enter")
    assert waited.value.request.post_data_json["operationName"] == chosen


def test_a_chosen_subscription_beside_a_query_on_its_line_goes_on(dark: Visit, server: Server) -> None:
    query = "query Q { __typename } subscription S { taskChanged { kind task { name } } }"
    dark.page.goto(f"{server.address}?query={quote(query)}")
    dark.page.locator(MENU_OF_OPERATIONS).click()
    dark.page.get_by_role("menuitem", name="S", exact=True).click()
    expect(dark.page.get_by_role("button", name="Stop query")).to_be_visible()
    dark.page.get_by_role("button", name="Stop query").click()
    expect(dark.page.get_by_role("button", name="Execute query")).to_be_visible()


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("{ __typename }", '"data"'),
        ("query { __typename } # query Other {", '"data"'),
        ("query Alone { __typename }", '"data"'),
        ("subscription {", '"PARSE_FAILED"'),
        ("query A { __typename } query B {", '"PARSE_FAILED"'),
        ("{ __typename } query A { __typename }", '"BAD_REQUEST"'),
        ("fragment F on Query { __typename }", '"BAD_REQUEST"'),
    ],
)
def test_a_document_without_a_choice_is_sent_as_it_is(dark: Visit, server: Server, query: str, answer: str) -> None:
    """An anonymous operation has no name, and the server explains the mistake in a text that does not parse."""
    dark.page.goto(f"{server.address}?query={quote(query)}")
    expect(dark.page.locator(".graphiql-query-editor")).to_contain_text(query)
    dark.page.locator(".graphiql-query-editor textarea").first.focus()
    with dark.page.expect_response(is_answer_to(query)):
        dark.page.keyboard.press("Control+Enter")
    expect(dark.page.locator(".result-window")).to_contain_text(answer)
    dark.complaints = [text for text in dark.complaints if "status of 400" not in text]  # Chromium notes each


def test_a_query_that_is_changed_and_run_at_once_is_sent_with_its_own_name(dark: Visit, server: Server) -> None:
    dark.page.goto(f"{server.address}?query={quote('query Before { __typename }')}")
    expect(dark.page.locator(".graphiql-query-editor")).to_contain_text("Before")
    with dark.page.expect_response(is_answer_to("query After { __typename }")) as waited:
        dark.page.evaluate("""() => {
            document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror
                .setValue('query After { __typename }');
            document.querySelector('.graphiql-execute-button').click();
        }""")
    assert waited.value.json() == {"data": {"__typename": "Query"}}


def test_a_subscription_shows_the_change_of_a_mutation(visit: Visit, server: Server) -> None:
    """And nothing more once it was stopped."""
    visit.choose(LIVE)
    visit.page.get_by_role("button", name="Execute query").click()
    stop = visit.page.get_by_role("button", name="Stop query")
    expect(stop).to_be_visible()
    result = visit.page.locator(".result-window")
    for _ in range(60):  # nothing says when the server began to listen
        name = f"seen at once {uuid4()}"
        server.data(f'mutation {{ taskCreate(input: {{name: "{name}", type: TESTING}}) {{ id }} }}')
        try:
            expect(result).to_contain_text(name, timeout=1000)
        except AssertionError:
            continue
        break
    expect(result).to_contain_text('"kind": "CREATED"')
    stop.click()
    server.data(f'mutation {{ taskCreate(input: {{name: "seen no more {uuid4()}", type: TESTING}}) {{ id }} }}')
    expect(visit.page.get_by_role("button", name="Execute query")).to_be_visible()
    expect(result).not_to_contain_text("seen no more")


def test_documentation_and_explorer_open(visit: Visit) -> None:
    visit.page.get_by_label("Show Documentation Explorer").click()
    visit.page.get_by_role("link", name="Query", exact=True).click()
    expect(visit.page.get_by_text("Everything that can be read.")).to_be_visible()
    visit.page.get_by_label("Show GraphiQL Explorer").click()
    expect(visit.page.get_by_text("pageSize:")).to_be_visible()
    visit.page.get_by_label("Show History").click()


def test_the_explorer_takes_every_example(visit: Visit) -> None:
    for example in EXAMPLES:
        visit.choose(example)
    visit.page.get_by_label("Show GraphiQL Explorer").click()
    operation_name = visit.page.locator(".graphiql-explorer-root input").first
    for example in EXAMPLES:
        visit.page.get_by_role("tab", name=example.title, exact=True).click()
        assert '"errors"' not in visit.run(example.query)
        [name] = re.findall(r"^(?:query|mutation|subscription) (\w+)", example.query, re.MULTILINE)
        expect(operation_name).to_have_value(name)


def test_the_explorer_shows_lists_and_nulls_and_keeps_them(visit: Visit, server: Server) -> None:
    lists = ("[{field: NAME}, {field: STATUS}]", "[QUEUED, FAILED]", '["a", "-b"]')
    template = "{ tasks(orderBy: %s, filter: {status: %s, tags: %s, parent: null}) { totalCount } }"
    query = template % lists
    visit.page.goto(f"{server.address}?query={quote(query)}")
    visit.page.get_by_label("Show GraphiQL Explorer").click()
    explorer = visit.page.locator(".graphiql-explorer-root")
    for argument in (*lists, "parent: null"):
        expect(explorer).to_contain_text(argument)
    explorer.get_by_text("pageSize:").click()
    editor = visit.page.locator(".graphiql-query-editor")
    expect(editor).to_contain_text("pageSize: 10")
    for argument_ in (*lists, "parent: null"):
        expect(editor).to_contain_text(argument_)


def test_html_in_a_query_and_in_its_answer_is_text(visit: Visit, server: Server) -> None:
    html = "<img src=x onerror=alert(1)>"
    query = f'{{ tasks(filter: {{ statusChanged: ["{html}"] }}) {{ totalCount }} }}'
    visit.page.goto(f"{server.address}?query={quote(query)}")
    assert html in visit.run(query)
    expect(visit.page.locator(".result-window")).to_contain_text(html)
    visit.page.get_by_label("Show History").click()
    expect(visit.page.locator(".graphiql-history-item")).to_contain_text(html)
    assert visit.page.locator("img").count() == 0


def test_colours_follow_the_system_and_can_be_changed(browser: Browser, server: Server) -> None:
    def background(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor"))

    seen = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
        page = Visit(context, server).page
        seen[scheme] = background(page)
        if scheme == "dark":
            page.get_by_label("Open settings dialog").click()
            page.get_by_role("button", name="Light", exact=True).click()
            assert background(page) == seen["light"]
        context.close()
    assert seen["light"] != seen["dark"]


def test_a_query_in_the_address_is_shown_and_not_run(browser: Browser, server: Server) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.address}?query=%7B%20queue(id%3A%20%22x%22)%20%7B%20name%20%7D%20%7D")
        expect(page.locator(".graphiql-query-editor")).to_contain_text('queue(id: "x")')
        expect(page.locator(".result-window")).not_to_contain_text("data")
