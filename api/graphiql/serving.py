"""Serves GraphiQL to browsers, at the address that answers programs with JSON."""

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

from api.accepts import accept_of
from api.requests import JSON_TYPE, RESPONSE_TYPE

HERE = Path(__file__).parent
BUILT = "taskql_graphiql"  # the package that hatch_build.py adds to the wheel
NEEDED = ("react.js", "react-dom.js", "graphiql.js", "graphiql.css", "explorer.js", "explorer.css")
OWN = ("page.js", "page.css", "icon.svg")
KINDS = {
    ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json",
}  # fmt: skip
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
GUARDS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PAGE = GUARDS | {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}
ASSET = GUARDS | {"Cache-Control": "public, max-age=31536000, immutable"}


class Example(NamedTuple):
    """A query that teaches; the first line of its comment is its title."""

    title: str
    query: str
    variables: str


def examples() -> Iterator[Example]:
    """The queries of the folder, in its order, each with the variables beside it."""
    for path in sorted((HERE / "examples").glob("*.graphql")):
        query = path.read_text("utf-8")
        beside = path.with_suffix(".json")
        title = query.partition("\n")[0].removeprefix("#").strip()
        yield Example(title, query, beside.read_text("utf-8") if beside.exists() else "")


def find_built(package: str = BUILT) -> Path | None:
    """The folder of GraphiQL's own files; None when the build left them out."""
    spec = find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or () if spec else ())]
    return next((folder for folder in folders if all((folder / name).is_file() for name in NEEDED)), None)


def graphiql_routes(built: Path | None) -> list[BaseRoute]:
    """The page, the way to it from `/`, and its files; without GraphiQL's own files a page that says so."""
    files = {name: (HERE / name).read_bytes() for name in OWN}
    files["examples.json"] = orjson.dumps([example._asdict() for example in examples()])
    files |= {name: (built / name).read_bytes() for name in NEEDED} if built else {}
    version = _version(files)
    html = (HERE / ("page.html" if built else "missing.html")).read_text("utf-8")
    page = html.replace("{files}", f"graphiql/{version}")

    async def show(_request: Request) -> Response:
        return HTMLResponse(page, headers=PAGE)

    async def lead(_request: Request) -> Response:
        return RedirectResponse("graphql", headers={"Vary": "Accept"})

    async def send(request: Request) -> Response:
        """A file as a whole: a Range, which may be ignored, would cost more than it saves."""
        name = request.path_params["name"]
        if request.path_params["version"] != version or name not in files:
            return Response("Not Found", 404, media_type="text/plain")
        return Response(files[name], headers=ASSET, media_type=KINDS[Path(name).suffix])

    return [PageRoute("/graphql", show), PageRoute("/", lead), Route("/graphiql/{version}/{name}", send)]


class PageRoute(Route):
    """A route for those who would rather have a page than JSON; to all others it is not there."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        accept = accept_of(Headers(scope=scope)) if match is Match.FULL else None
        if accept and accept.prefers("text/html", JSON_TYPE, RESPONSE_TYPE):
            return match, found
        return Match.NONE, {}


def _version(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]
