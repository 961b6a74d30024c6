"""The command line: serve, import, export, init, schema."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Annotated, BinaryIO

import typer
import uvicorn
from pydantic import SecretStr
from pymongo.errors import PyMongoError

from api.about import VERSION
from api.app import create_app
from api.errors import shown
from api.export import Format, NotExportedError, export, export_context
from api.imports import SAMPLE, import_with_progress, print_report
from api.logs import log_to_stderr
from api.mongod import MongodError
from api.options import with_settings
from api.protocol import Protocol
from api.requests import Asked, asked_for, strict_json
from api.settings import Settings
from api.start import with_mongodb
from api.terminal import CommandError, err, fail, out, say
from models.store.database import DatabaseError, connect
from models.types import Viewer
from resolvers.errors import ApiError
from resolvers.root import build_schema
from resolvers.validation.limits import Limits
from schema.load import load
from schema.sources import SchemaError

cli = typer.Typer(no_args_is_help=True, invoke_without_command=True, add_completion=False)
schema = typer.Typer(help="The GraphQL schema that the HOCON files give.", no_args_is_help=True)
cli.add_typer(schema, name="schema")


def main() -> None:
    """Run a command; every foreseen failure is one paragraph on standard error and exit status 1."""
    log_to_stderr()
    # unlike their defaults these leave the embedded MongoDB cleanly
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        cli()
    except SchemaError as error:
        fail(*map(str, error.mistakes))
    except (CommandError, MongodError, DatabaseError) as error:
        fail(str(error))
    except PyMongoError as error:
        fail(f"MongoDB failed: {error}")


DATABASE = ("data_dir", "mongodb_uri", "mongodb_database", "company", "user")
LIMITS = (*(f"max_{field.name}" for field in fields(Limits)), "max_time_ms")


@cli.callback()
def about(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """A GraphQL API over machine-learning task data."""
    if version:
        say(out, f"taskql {VERSION}")
        raise typer.Exit


@cli.command()
@with_settings(*Settings.model_fields)
def serve(settings: Settings) -> None:
    """Serve GraphQL at /graphql until Ctrl-C. Starts an embedded MongoDB unless given the address of one."""
    with _listening(settings) as listener, with_mongodb(settings) as found:
        if settings.mongodb_uri:
            asyncio.run(_check(settings))
        host, port = listener.getsockname()[:2]
        app = create_app(found)
        config = uvicorn.Config(
            app, http=Protocol, ws="websockets-sansio", ws_max_size=found.max_body_bytes,
            ws_per_message_deflate=False, log_config=None, log_level="warning", lifespan="on", server_header=False,
        )  # fmt: skip
        try:
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}/graphql"
            _Server(config, address, app.state.stopping).run(sockets=[listener])
        except KeyboardInterrupt:
            say(out, "Stopped.")


class _Server(uvicorn.Server):
    """uvicorn's server, which says once that it is ready, and stops in order even at a second Ctrl-C."""

    def __init__(self, config: uvicorn.Config, address: str, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._address = address
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            say(out, f"taskql answers at {self._address}  (Ctrl-C stops it)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal waits for what is being answered, the next hangs up; uvicorn would print what it cancels."""
        if self.should_exit:
            asyncio.get_running_loop().call_soon_threadsafe(self._hang_up)
        else:
            super().handle_exit(sig, frame)

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise CommandError(
            f"Can't listen on {settings.host} port {settings.port}: {os.strerror(error.errno or 0)}. Stop the program "
            "that does, or take another port with --port or TASKQL_PORT (0 takes a free one)."
        ) from None
    with listener:
        yield listener


async def _check(settings: Settings) -> None:
    async with connect(_uri(settings), settings.mongodb_database):
        pass


def _uri(settings: Settings) -> str:
    assert isinstance(settings.mongodb_uri, SecretStr)
    return settings.mongodb_uri.get_secret_value()


@cli.command("import")
@with_settings(*DATABASE)
def import_(
    settings: Settings,
    paths: Annotated[list[Path] | None, typer.Argument(help="Session zips, dump folders, or folders of them.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Import the sample that comes with taskql.")] = False,
) -> None:
    """Import offline sessions of the ClearML SDK and dumps of a ClearML database.

    A session is the zip that the SDK writes; a dump is a folder of mongodump with <collection>.bson or .bson.gz, or one
    of <collection>.jsonl in MongoDB's extended JSON.
    Works while taskql serves the same data folder, and importing twice changes nothing. A file with a mistake imports
    nothing of itself, and the exit status is then 1.
    """
    if not paths and not sample:
        raise CommandError("Say what to import: paths of session zips and dump folders, or --sample.")
    with with_mongodb(settings) as found:
        report = asyncio.run(import_with_progress(found, [*(paths or []), *([SAMPLE] if sample else [])], out))
    print_report(report, out)
    if report.problems:
        sys.exit(1)


FORMAT_HELP = "What to write; csv when omitted, or jsonl for a file whose name ends so."


@cli.command("export")
@with_settings(*DATABASE, *LIMITS)
def export_(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="A GraphQL query of one list with nodes, or @ and a file with one.")],
    variables: Annotated[str, typer.Option(help="Its variables: a JSON object, or @ and a file with one.")] = "{}",
    form: Annotated[Format | None, typer.Option("--format", help=FORMAT_HELP)] = None,
    output: Annotated[Path | None, typer.Option(help="File to write, standard output otherwise.")] = None,
) -> None:
    """Export all that a query such as '{ tasks { nodes { id name } } }' lists, as CSV or JSON lines.

    Works while taskql serves the same data folder. A file is there only once it is whole; whatever was written to
    standard output is all of it only when the exit status is 0.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        values = strict_json(_text_or_file(variables).encode(), "variables")
        asked = asked_for({"query": _text_or_file(query), "variables": values})
        with with_mongodb(settings) as found, _whole(output) as file:
            asyncio.run(_export(found, asked, form or _format_of(output), file))
    except (NotExportedError, ApiError) as refused:
        errors = refused.errors if isinstance(refused, NotExportedError) else [refused]
        told = [shown(error) for error in errors]
        raise CommandError(" ".join(f"{error['extensions']['code']}: {error['message']}" for error in told)) from None


def _format_of(output: Path | None) -> Format:
    return Format.JSONL if output and output.suffix == ".jsonl" else Format.CSV


async def _export(settings: Settings, asked: Asked, form: Format, file: BinaryIO) -> None:
    spec = load()
    viewer = Viewer(user=settings.user, company=settings.company, role="admin")
    async with (
        connect(_uri(settings), settings.mongodb_database) as database,
        export_context(database, viewer, settings, spec) as context,
    ):
        _, parts = await export(build_schema(spec, settings.limits), asked, context, form)
        async for part in parts:
            file.write(part)


def _text_or_file(given: str) -> str:
    try:
        return Path(given[1:]).read_text("utf-8") if given.startswith("@") else given
    except OSError as error:
        raise CommandError(f"Can't read {given[1:]}: {os.strerror(error.errno or 0)}.") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"Can't read {given[1:]}: {error}.") from None


@contextmanager
def _whole(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that takes its place only once all is in it."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    place = output.resolve()
    if not place.parent.exists():
        raise CommandError(f"Can't write {output}: There is no folder {output.parent}.")
    partial = place.with_name(f".{place.name}.{os.getpid()}") if place.is_file() or not place.exists() else place
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(place)
    except OSError as error:
        raise CommandError(f"Can't write {output}: {os.strerror(error.errno or 0)}.") from None
    finally:
        if partial != place:
            partial.unlink(missing_ok=True)


@cli.command()
@with_settings(*DATABASE)
def init(settings: Settings) -> None:
    """Create the indexes and the default queue in a database that another program set up."""

    async def prepare(found: Settings) -> list[str]:
        async with connect(_uri(found), found.mongodb_database) as database:
            return await database.prepare(found.company, found.user)

    with with_mongodb(settings) as found:
        failed = asyncio.run(prepare(found))
    for failure in failed:
        say(err, f"index not created: {failure}")
    say(out, "The default queue is there, and all other indexes." if failed else "Indexes and default queue are there.")


@schema.command("print")
def print_schema() -> None:
    """Print the schema in GraphQL's definition language."""
    typer.echo(build_schema(load()).as_str())


@schema.command("check")
def check_schema() -> None:
    """Check the HOCON files and the schema they give; lists every mistake with its file and path."""
    spec = load()
    build_schema(spec)
    say(out, f"{len(spec.definitions)} definitions, {len(spec.endpoints)} endpoints, no mistakes.")


if __name__ == "__main__":
    main()
