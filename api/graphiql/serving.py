"""Serve GraphiQL to browsers, at the address that answers programs with JSON."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from api.accepts import read_accept
from api.answers import JSON_TYPE, RESPONSE_TYPE

FOLDER = Path(__file__).parent
BUILT_PACKAGE = "taskql_graphiql"  # hatch_build.py adds it to the wheel
BUILT_FILES = ("react.js", "react-dom.js", "graphiql.js", "graphiql.css", "explorer.js", "explorer.css")
PAGE_FILES = ("page.js", "page.css", "icon.svg")
MEDIA_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # GraphiQL's menus and dialogs bring style elements
    "img-src": "'self' data:",
    "font-src": "data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
GUARD_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PAGE_HEADERS = GUARD_HEADERS | {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}
ASSET_HEADERS = GUARD_HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}


class Example(NamedTuple):
    """A query that teaches; the first line of its comment is its title."""

    title: str
    query: str
    variables: str


def read_examples() -> Iterator[Example]:
    """Read the queries of the folder, in its order, each with the variables beside it."""
    for path in sorted((FOLDER / "examples").glob("*.graphql")):
        query = path.read_text("utf-8")
        title = query.partition("\n")[0].removeprefix("#").strip()
        variables = path.with_suffix(".json")
        yield Example(title, query, variables.read_text("utf-8") if variables.exists() else "")


def find_built_files(package: str = BUILT_PACKAGE) -> Path | None:
    """Return the folder of GraphiQL's own files; None when the build left them out."""
    spec = find_spec(package)
    for location in (spec and spec.submodule_search_locations) or ():
        folder = Path(location)
        if all((folder / name).is_file() for name in BUILT_FILES):
            return folder
    return None


def build_graphiql_routes(built: Path | None) -> list[BaseRoute]:
    """Return the routes of the page, of the redirect from `/`, and of the files.

    Without GraphiQL's own files the page says that they are missing.
    """
    files = _read_files(built)
    version = _hash_files(files)
    html = (FOLDER / ("page.html" if built else "missing.html")).read_text("utf-8")
    page = html.replace("{files}", f"graphiql/{version}")

    async def send_page(_request: Request) -> Response:
        return HTMLResponse(page, headers=PAGE_HEADERS)

    async def redirect_to_page(_request: Request) -> Response:
        return RedirectResponse("graphql", headers={"Vary": "Accept"})

    async def send_file(request: Request) -> Response:
        """Send the whole file: to serve a Range, which a server may ignore, would cost more than it saves."""
        name = request.path_params["name"]
        if request.path_params["version"] != version or name not in files:
            return Response("Not Found", 404, media_type="text/plain")
        return Response(files[name], headers=ASSET_HEADERS, media_type=MEDIA_TYPES[Path(name).suffix])

    return [
        PageRoute("/graphql", send_page),
        PageRoute("/", redirect_to_page),
        Route("/graphiql/{version}/{name}", send_file),
    ]


class PageRoute(Route):
    """A route for clients that prefer a page to JSON; it does not match for all others."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is Match.FULL and read_accept(Headers(scope=scope)).prefers("text/html", JSON_TYPE, RESPONSE_TYPE):
            return match, child_scope
        return Match.NONE, {}


def _read_files(built: Path | None) -> dict[str, bytes]:
    files = {name: (FOLDER / name).read_bytes() for name in PAGE_FILES}
    files["examples.json"] = orjson.dumps([example._asdict() for example in read_examples()])
    if built:
        files |= {name: (built / name).read_bytes() for name in BUILT_FILES}
    return files


def _hash_files(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]
