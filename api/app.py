"""The program on one screen: lifespan, routes, middleware."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from api.answers import answer_refusal
from api.contexts import build_context, open_export_context
from api.errors import RefusedError
from api.export import ExportView
from api.graphiql.serving import build_graphiql_routes, find_built_files
from api.graphql import GraphQLView
from api.lingering_close import LingeringCloseMiddleware
from api.middleware import AcceptEncodingMiddleware, MaskFaultsMiddleware, UniformAnswersMiddleware
from api.requests import METHODS
from api.server_info import describe_server
from api.settings import Settings
from api.start import open_database
from api.streams import WebSocketView
from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.queries.export import ExportContext
from resolvers.root import build_schema
from schema.load import load

MIN_COMPRESSED = 1400  # bytes: less fits into one packet as it is
GZIP_LEVEL = 1  # of a 500 KB answer: 29 % in 2.7 ms of CPU; Starlette's level 9 takes 20 ms for 24 %
# headers that a front end in a browser may read, beside those that are always readable
READABLE_HEADERS = ("Retry-After", "Content-Disposition", "Allow", "Accept-Post")


def create_app(settings: Settings) -> Starlette:
    """Create the ASGI application; its database is at `settings.mongodb_uri`."""
    spec = load()
    server_info = describe_server(settings)
    schema = build_schema(spec, settings.limits, introspection=settings.introspection, about=server_info)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_database(settings, spec) as database:
            app.state.database = database
            yield

    def create_context(connection: HTTPConnection) -> Context:
        return build_context(connection.app.state.database, settings, spec)

    def create_export_context(request: Request) -> AbstractAsyncContextManager[ExportContext]:
        return open_export_context(request.app.state.database, settings, spec)

    graphql = GraphQLView(schema, create_context, settings)
    sockets = WebSocketView(graphql.stream, create_context, settings.allowed_origins)
    export = ExportView(schema, create_export_context, settings, graphql.slots)
    app = Starlette(
        lifespan=lifespan,
        routes=[
            *(build_graphiql_routes(find_built_files()) if settings.graphiql else ()),
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", sockets),
            Route("/export", export),
            Route("/healthz", check_health),
            Route("/readyz", check_readiness),
        ],
        middleware=build_middleware(settings),
    )
    app.state.stopping = graphql.stopping
    return app


def build_middleware(settings: Settings) -> list[Middleware]:
    """List the steps before and after every route, from the outside in."""
    listening_host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return [
        # The client gets to see an answer that comes before the end of its body.
        Middleware(LingeringCloseMiddleware),
        # Errors have one shape, answers have safe headers.
        Middleware(UniformAnswersMiddleware),
        # Foreign hosts and origins are refused.
        Middleware(TrustedHostMiddleware, allowed_hosts=[*settings.allowed_hosts, listening_host], www_redirect=False),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=METHODS.split(", "),
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=READABLE_HEADERS,
        ),
        # Long answers are compressed for clients that accept it.
        Middleware(AcceptEncodingMiddleware),
        Middleware(GZipMiddleware, minimum_size=MIN_COMPRESSED, compresslevel=GZIP_LEVEL),
        # Faults are masked.
        Middleware(MaskFaultsMiddleware),
    ]


async def check_health(_request: Request) -> Response:
    """Answer 200 while the process runs."""
    return JSONResponse({"status": "ok"})


async def check_readiness(request: Request) -> Response:
    """Answer 200 while the database answers, else 503."""
    try:
        await request.app.state.database.ping()
    except PyMongoError:
        refusal = RefusedError(503, "The database does not answer.", ErrorCode.DATABASE_UNAVAILABLE)
        return answer_refusal(refusal).to_response()
    return JSONResponse({"status": "ready"})
