"""What a real browser lets front ends of other origins do."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.servers import Server, serve

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP rebound.test 127.0.0.1",
]
ASK = """async ([address, method]) => {
  const query = '{ __typename }';
  const asked = method === 'GET'
    ? [`${address}?query=${encodeURIComponent(query)}`]
    : [address, {method, headers: {'content-type': 'application/json'}, body: JSON.stringify({query})}];
  try { return await (await fetch(...asked)).json(); } catch (error) { return String(error); }
}"""

SEND_FORM = """([address, kind]) => {
  const form = document.createElement('form');
  Object.assign(form, {action: address, method: 'post', enctype: kind});
  const field = document.createElement('input');
  Object.assign(field, {name: '{"query": "{ __typename }", "a": "', value: '"}'});
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


class FrontEnd(http.server.BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>front end</title>")

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def front_end() -> Iterator[str]:
    """The origin of a served front end."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FrontEnd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def origins() -> Iterator[tuple[str, str]]:
    """The origins of two front ends."""
    with front_end() as one, front_end() as other:
        yield one, other


@pytest.fixture(scope="module")
def taskql(mongodb_uri: str, origins: tuple[str, str]) -> Iterator[Server]:
    """A served taskql that lets the first front end ask."""
    with serve(mongodb_uri=mongodb_uri, mongodb_database="taskql_browser", allowed_origins=origins[0]) as server:
        yield server


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_front_end_may_ask_when_its_origin_is_allowed_and_not_otherwise(
    page: Page, taskql: Server, origins: tuple[str, str], method: str
) -> None:
    allowed, other = origins
    page.goto(allowed)
    assert page.evaluate(ASK, [taskql.address, method]) == {"data": {"__typename": "Query"}}
    page.goto(other)
    assert page.evaluate(ASK, [taskql.address, method]) == "TypeError: Failed to fetch"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_origin_reaches_nothing(
    page: Page, taskql: Server, origins: tuple[str, str], kind: str
) -> None:
    page.goto(origins[0])
    with page.expect_response(taskql.address) as waited:
        page.evaluate(SEND_FORM, [taskql.address, kind])
    assert (waited.value.status, waited.value.request.headers["content-type"].partition(";")[0]) == (415, kind)
    assert waited.value.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


def test_a_name_that_is_bound_to_this_machine_reads_nothing(page: Page, taskql: Server) -> None:
    rebound = taskql.address.replace("127.0.0.1", "rebound.test")
    page.goto(rebound)
    answer = page.evaluate(ASK, [rebound, "POST"])
    assert answer["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert "data" not in answer
