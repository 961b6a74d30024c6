"""The command line: serve, import, export, init, schema."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from pymongo.errors import PyMongoError

from api.app import create_app
from api.contexts import open_export_context
from api.errors import format_error
from api.export import Format, NotExportedError, open_export
from api.import_command import SAMPLE, import_with_progress, print_report
from api.logs import log_to_stderr
from api.mongod import MongodError
from api.options import with_settings
from api.requests import GraphQLRequest, build_graphql_request, parse_strict_json
from api.server import open_listener, run_server
from api.server_info import VERSION
from api.settings import Settings
from api.start import connect_to_database, with_mongodb
from api.terminal import CommandError, err, fail, out, say
from models.store.database import DatabaseError
from resolvers.errors import ApiError
from resolvers.root import build_schema
from resolvers.validation.limits import Limits
from schema.load import load
from schema.sources import SchemaError

cli = typer.Typer(no_args_is_help=True, invoke_without_command=True, add_completion=False)
schema = typer.Typer(help="The GraphQL schema that the HOCON files give.", no_args_is_help=True)
cli.add_typer(schema, name="schema")

DATABASE_SETTINGS = ("data_dir", "mongodb_uri", "mongodb_database", "company", "user")
LIMIT_SETTINGS = (*(f"max_{field.name}" for field in fields(Limits)), "max_time_ms")
FORMAT_HELP = "Format of the output. Default: jsonl for a file whose name ends so, else csv."


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


@cli.callback()
def print_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A GraphQL API over machine-learning task data."""
    if version:
        say(out, f"taskql {VERSION}")
        raise typer.Exit


# -- serve -----------------------------------------------------------------------------------------


@cli.command()
@with_settings(*Settings.model_fields)
def serve(settings: Settings) -> None:
    """Serve GraphQL at /graphql until Ctrl-C. Starts an embedded MongoDB unless given the address of one."""
    with open_listener(settings) as listener, with_mongodb(settings) as connected:
        if settings.mongodb_uri:
            asyncio.run(_check_connection(settings))
        run_server(create_app(connected), listener, connected.max_body_bytes)


async def _check_connection(settings: Settings) -> None:
    async with connect_to_database(settings):
        pass


# -- import ----------------------------------------------------------------------------------------


@cli.command("import")
@with_settings(*DATABASE_SETTINGS)
def run_import(
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
    sources = [*(paths or []), *([SAMPLE] if sample else [])]
    with with_mongodb(settings) as connected:
        report = asyncio.run(import_with_progress(connected, sources, out))
    print_report(report, out)
    if report.problems:
        sys.exit(1)


# -- export ----------------------------------------------------------------------------------------


@cli.command("export")
@with_settings(*DATABASE_SETTINGS, *LIMIT_SETTINGS)
def run_export(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="A GraphQL query of one list with nodes, or @ and a file with one.")],
    variables: Annotated[str, typer.Option(help="Its variables: a JSON object, or @ and a file with one.")] = "{}",
    format_: Annotated[Format | None, typer.Option("--format", help=FORMAT_HELP)] = None,
    output: Annotated[Path | None, typer.Option(help="File to write, standard output otherwise.")] = None,
) -> None:
    """Export all that a query such as '{ tasks { nodes { id name } } }' lists, as CSV or JSON lines.

    Works while taskql serves the same data folder. A file appears only once it is complete; standard output is complete
    only when the exit status is 0.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        values = parse_strict_json(_read_text_or_file(variables).encode(), "variables")
        request = build_graphql_request({"query": _read_text_or_file(query), "variables": values})
        with with_mongodb(settings) as connected, _open_output(output) as file:
            asyncio.run(_write_export(connected, request, format_ or _choose_format(output), file))
    except NotExportedError as error:
        raise CommandError(_describe_errors(error.errors)) from None
    except ApiError as error:
        raise CommandError(_describe_errors([error])) from None


def _read_text_or_file(argument: str) -> str:
    if not argument.startswith("@"):
        return argument
    path = argument[1:]
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"Can't read {path}: {os.strerror(error.errno or 0)}.") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"Can't read {path}: {error}.") from None


def _choose_format(output: Path | None) -> Format:
    return Format.JSONL if output and output.suffix == ".jsonl" else Format.CSV


@contextmanager
def _open_output(output: Path | None) -> Iterator[BinaryIO]:
    """Yield standard output, or a file beside the output that replaces it once it is complete."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    target = output.resolve()
    if not target.parent.exists():
        raise CommandError(f"Can't write {output}: the folder {output.parent} does not exist.")
    is_replaceable = target.is_file() or not target.exists()
    partial = target.with_name(f".{target.name}.{os.getpid()}") if is_replaceable else target
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(target)
    except OSError as error:
        raise CommandError(f"Can't write {output}: {os.strerror(error.errno or 0)}.") from None
    finally:
        if partial != target:
            partial.unlink(missing_ok=True)


async def _write_export(settings: Settings, request: GraphQLRequest, format_: Format, file: BinaryIO) -> None:
    spec = load()
    async with (
        connect_to_database(settings) as database,
        open_export_context(database, settings, spec) as context,
    ):
        export = await open_export(build_schema(spec, settings.limits), request, context, format_)
        async for chunk in export.chunks:
            file.write(chunk)


def _describe_errors(errors: Sequence[Exception]) -> str:
    formatted = [format_error(error) for error in errors]
    return " ".join(f"{error['extensions']['code']}: {error['message']}" for error in formatted)


# -- init and schema -------------------------------------------------------------------------------


@cli.command()
@with_settings(*DATABASE_SETTINGS)
def init(settings: Settings) -> None:
    """Create the indexes and the default queue in a database that another program set up."""
    with with_mongodb(settings) as connected:
        failures = asyncio.run(_prepare_database(connected))
    for failure in failures:
        say(err, f"index not created: {failure}")
    say(out, "The default queue and all other indexes exist." if failures else "Indexes and default queue exist.")


async def _prepare_database(settings: Settings) -> list[str]:
    async with connect_to_database(settings) as database:
        return await database.prepare(settings.company, settings.user)


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
