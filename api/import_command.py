"""The progress bar and the report of `taskql import`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from api.settings import Settings
from api.start import connect_to_database
from api.terminal import escape_controls, say
from models.imports.importer import Progress as Step
from models.imports.importer import Report, import_files
from schema.load import load
from schema.spec import ObjectSpec, Spec

SAMPLE = Path(__file__).parent / "sample"


async def import_with_progress(settings: Settings, paths: Sequence[Path], screen: Console) -> Report:
    """Import the files into the database of the settings; raises DatabaseError and PyMongoError."""
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), console=screen, transient=True
    )
    async with connect_to_database(settings) as database:
        if await database.is_ours():
            await database.prepare(settings.company, settings.user)
        with bar:
            line = bar.add_task("reading")

            def show_step(step: Step) -> None:
                bar.update(line, description=escape_controls(step.file.name), completed=step.done, total=step.total)

            report = await import_files(
                database.database,
                paths,
                company=settings.company,
                user=settings.user,
                shown_fields=list_shown_fields(load()),
                progress=show_step,
            )
        await database.replace_placeholders(settings.company)
    return report


def list_shown_fields(spec: Spec) -> dict[str, set[str]]:
    """Return the stored top-level fields that the API shows, by collection."""
    shown_fields = {}
    for definition in spec.definitions.values():
        if isinstance(definition, ObjectSpec) and definition.collection:
            paths = [path for field in definition.fields for path in field.stored_paths or (field.name,)]
            shown_fields[definition.collection] = {path.partition(".")[0] for path in paths}
    return shown_fields


def print_report(report: Report, screen: Console) -> None:
    if report.collections:
        _print_tallies(report, screen)
    if report.not_mapped:
        fields = [f"{collection}.{name} ({count})" for (collection, name), count in sorted(report.not_mapped.items())]
        say(screen, f"Stored, but not shown by the API: {', '.join(fields)}")
    for count, sentence in (
        (report.not_visible, "documents belong to other companies and are not visible here"),
        (report.not_ours, "documents are stored for another company, and were left as they are"),
        (report.skipped_values, "reported values are not numbers and were left out"),
        (report.values_beyond_maximum, "reported values belong to more metrics than a task keeps and were left out"),
    ):
        if count:
            say(screen, f"{count} {sentence}.")
    if report.unknown_files:
        names = ", ".join(str(Path(*path.parts[-2:])) for path in report.unknown_files)
        say(screen, f"Left out, because they are neither sessions nor dumps of the database backend: {names}")
    for problem in report.problems:
        say(screen, ("not imported", "red"), f" {problem.code.name}: {problem}")


def _print_tallies(report: Report, screen: Console) -> None:
    table = Table("collection", "imported", "updated", "skipped")
    for name, tally in sorted(report.collections.items()):
        table.add_row(name.removeprefix("taskql_"), *map(str, (tally.imported, tally.updated, tally.skipped)))
    screen.print(table)
    if any(tally.skipped for tally in report.collections.values()):
        say(screen, "Skipped documents were there already, the same or newer.")
