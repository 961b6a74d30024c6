"""Tasks taken to pieces for comparison: section and place → a key to compare and a text to show. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from models import layout
from models.types import Document
from resolvers.execution import scalars
from resolvers.texts import values
from resolvers.texts.budget import Budget
from resolvers.texts.configuration import read_configuration
from resolvers.texts.requirement_lines import lines_of, read_requirements
from resolvers.texts.values import Path, Scalar

SCRIPT = {
    "binary": "binary",
    "repository": "repository",
    "tag": "tag",
    "branch": "branch",
    "version_num": "versionNum",
    "entry_point": "entryPoint",
    "working_dir": "workingDir",
    "diff": "diff",
}
STATS = {"value": "last", "min_value": "min", "max_value": "max"}
FIELDS = (
    "hyperparams",
    "execution.parameters",
    "configuration",
    "execution.model_desc",
    "script",
    "last_metrics",
)


class Place(NamedTuple):
    section: str
    path: Path


class Piece(NamedTuple):
    """`key` is the same for equal values; `path` is the place in the task's own spelling."""

    key: str
    shown: str
    path: Path


Pieces = dict[Place, Piece]


def pieces(tasks: Sequence[Document], budget: Budget) -> list[Pieces]:
    """The pieces of each task; what is missing or of a wrong type is left out. Raises OverdueError."""
    configurations = _configurations(tasks, budget)
    return [_pieces_of(task, budget) | configuration for task, configuration in zip(tasks, configurations, strict=True)]


def _pieces_of(task: Document, budget: Budget) -> Pieces:
    found: Pieces = {}
    sections = {"hyperparams": _hyperparams, "script": _script, "requirements": _requirements, "last_metrics": _metrics}
    for section, read in sections.items():
        for path, piece in read(task, budget):
            budget.check_time()
            found[Place(section, path)] = piece
    return found


# -- configurations --------------------------------------------------------------------------------


def _configurations(tasks: Sequence[Document], budget: Budget) -> list[Pieces]:
    """Each configuration by the paths inside, or as one text in all tasks where one of them holds an unread text."""
    found: list[Pieces] = [{} for _ in tasks]
    items = [_configuration_items(task) for task in tasks]
    for name in dict.fromkeys(name for named in items for name in named):
        readings = _readings([named[name] for named in items if name in named], budget)
        is_whole = None in readings.values()
        for of_task, named in zip(found, items, strict=True):
            if name in named:
                text = named[name][0]
                reading = readings[text]
                whole: Mapping[Path, Scalar] = {(): _whole(text, reading)}
                parts = whole if is_whole or reading is None else reading
                of_task.update(_in_place(name, parts))
    return found


def _configuration_items(task: Document) -> dict[str, tuple[str, str]]:
    """Text and type of each configuration item, by its own name."""
    items = layout.read_configurations(task.get("configuration"), layout.read_path(task, "execution.model_desc"))
    return {
        layout.unescape(name): (value, scalars.serialize_text(item.get("type")) or "")
        for name, item in items.items()
        if isinstance(item, dict) and (value := scalars.serialize_text(item.get("value"))) is not None
    }


def _readings(items: Iterable[tuple[str, str]], budget: Budget) -> dict[str, dict[Path, Scalar] | None]:
    """Each text read once."""
    found: dict[str, dict[Path, Scalar] | None] = {}
    for text, type_ in items:
        if text not in found:
            found[text] = read_configuration(text, type_, budget)
    return found


def _whole(text: str, reading: Mapping[Path, Scalar] | None) -> Scalar:
    """A text as one value; two that can be read are alike when their values are."""
    key = f"text {text}" if reading is None else f"values {sorted((path, leaf.key) for path, leaf in reading.items())}"
    return Scalar(key, text, text)


def _in_place(name: str, parts: Mapping[Path, Scalar]) -> Iterator[tuple[Place, Piece]]:
    for path, leaf in parts.items():
        whole_path = (name, *path)
        yield Place("configuration", whole_path), Piece(leaf.key, leaf.shown, whole_path)


# -- the other sections ----------------------------------------------------------------------------

Parts = Iterator[tuple[Path, Piece]]


def _hyperparams(task: Document, _budget: Budget) -> Parts:
    sections = layout.read_hyperparams(task.get("hyperparams"), layout.read_path(task, "execution.parameters"))
    for section, items in sections.items():
        for name, item in items.items():
            if (value := scalars.serialize_text(item.get("value"))) is not None:
                yield _text((layout.unescape(section), layout.unescape(name)), value)


def _script(task: Document, _budget: Budget) -> Parts:
    script = layout.read_object(task, "script")
    for stored, name in SCRIPT.items():
        if value := scalars.serialize_text(script.get(stored)):
            yield _text((name,), value)


def _requirements(task: Document, budget: Budget) -> Parts:
    for manager, listed in layout.read_object(task, "script.requirements").items():
        lines = lines_of(listed, budget) if isinstance(listed, str) else listed if isinstance(listed, list) else []
        for required in read_requirements(filter(scalars.serialize_text, lines), budget):
            yield (manager, required.package), Piece(required.key, required.shown, (manager, required.name))


def _metrics(task: Document, _budget: Budget) -> Parts:
    for variants in layout.read_object(task, "last_metrics").values():
        for event in variants.values() if isinstance(variants, dict) else ():
            yield from _statistics(event) if isinstance(event, dict) else ()


def _statistics(event: Document) -> Parts:
    metric, variant = scalars.serialize_text(event.get("metric")), scalars.serialize_text(event.get("variant"))
    if metric is None or variant is None:
        return
    for stored, statistic in STATS.items():
        if (value := scalars.serialize_float(event.get(stored))) is not None:
            path, scalar = (metric, variant, statistic), values.number(value)
            yield path, Piece(scalar.key, scalar.shown, path)


def _text(path: Path, text: str) -> tuple[Path, Piece]:
    return path, Piece(text, text, path)
