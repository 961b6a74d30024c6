"""The values of a task that a comparison compares, by section and path. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from models import layout
from models.types import Document
from resolvers.execution import scalars
from resolvers.texts import values
from resolvers.texts.budget import Budget
from resolvers.texts.configuration import read_configuration
from resolvers.texts.requirement_lines import join_lines, read_requirements
from resolvers.texts.values import NamePath, ScalarValue

SCRIPT_FIELDS = {
    "binary": "binary",
    "repository": "repository",
    "tag": "tag",
    "branch": "branch",
    "version_num": "versionNum",
    "entry_point": "entryPoint",
    "working_dir": "workingDir",
    "diff": "diff",
}
STATISTICS = {"value": "last", "min_value": "min", "max_value": "max"}
STORED_PATHS = (
    "hyperparams",
    "execution.parameters",
    "configuration",
    "execution.model_desc",
    "script",
    "last_metrics",
)


class ValuePath(NamedTuple):
    """A section and the path in it. Tasks that spell a name differently have the same path."""

    section: str
    path: NamePath


class ComparisonValue(NamedTuple):
    """`key` is the same for equal values; `path` is in the task's own spelling."""

    key: str
    text: str
    path: NamePath


ComparisonValues = dict[ValuePath, ComparisonValue]
PathsAndValues = Iterator[tuple[NamePath, ComparisonValue]]
ReadTexts = dict[str, Mapping[NamePath, ScalarValue] | None]  # None for a text that no format reads


def collect_values(tasks: Sequence[Document], budget: Budget) -> list[ComparisonValues]:
    """The values of each task, without those that are missing or of a wrong type. Raises OverdueError."""
    configurations = _collect_configurations(tasks, budget)
    return [_collect_sections(task, budget) | of_task for task, of_task in zip(tasks, configurations, strict=True)]


def _collect_sections(task: Document, budget: Budget) -> ComparisonValues:
    collected: ComparisonValues = {}
    for section, read in SECTION_READERS.items():
        for path, value in read(task, budget):
            budget.check_time()
            collected[ValuePath(section, path)] = value
    return collected


# -- configurations --------------------------------------------------------------------------------


def _collect_configurations(tasks: Sequence[Document], budget: Budget) -> list[ComparisonValues]:
    """Each configuration by the paths inside it; as one text in all tasks if the text of one of them can't be read."""
    collected: list[ComparisonValues] = [{} for _ in tasks]
    texts_of_tasks = [_read_configuration_texts(task) for task in tasks]
    for name in dict.fromkeys(name for texts in texts_of_tasks for name in texts):
        read_texts = _read_each_text([texts[name] for texts in texts_of_tasks if name in texts], budget)
        has_unread = None in read_texts.values()
        for of_task, texts in zip(collected, texts_of_tasks, strict=True):
            if name in texts:
                text, _ = texts[name]
                of_task.update(_build_configuration_values(name, text, read_texts[text], is_whole=has_unread))
    return collected


def _build_configuration_values(
    name: str, text: str, leaves: Mapping[NamePath, ScalarValue] | None, *, is_whole: bool
) -> ComparisonValues:
    if is_whole or leaves is None:
        leaves = {(): _build_whole_text(text, leaves)}
    built: ComparisonValues = {}
    for path, leaf in leaves.items():
        full_path = (name, *path)
        built[ValuePath("configuration", full_path)] = ComparisonValue(leaf.key, leaf.text, full_path)
    return built


def _read_configuration_texts(task: Document) -> dict[str, tuple[str, str]]:
    """The text and the type of each configuration, by its name."""
    items = layout.read_configurations(task.get("configuration"), layout.read_path(task, "execution.model_desc"))
    texts = {}
    for key, item in items.items():
        text = scalars.serialize_text(item.get("value"))
        if text is not None:
            texts[layout.unescape(key)] = text, scalars.serialize_text(item.get("type")) or ""
    return texts


def _read_each_text(texts: Iterable[tuple[str, str]], budget: Budget) -> ReadTexts:
    """Read each text once, however many tasks have it."""
    read_texts: ReadTexts = {}
    for text, type_ in texts:
        if text not in read_texts:
            read_texts[text] = read_configuration(text, type_, budget)
    return read_texts


def _build_whole_text(text: str, leaves: Mapping[NamePath, ScalarValue] | None) -> ScalarValue:
    """A text as one value; two texts that can be read are equal when their values are."""
    key = f"text {text}"
    if leaves is not None:
        key = f"values {sorted((path, leaf.key) for path, leaf in leaves.items())}"
    return ScalarValue(key, text, text)


# -- the other sections ----------------------------------------------------------------------------


def _read_hyperparam_values(task: Document, _budget: Budget) -> PathsAndValues:
    sections = layout.read_hyperparams(task.get("hyperparams"), layout.read_path(task, "execution.parameters"))
    for section, items in sections.items():
        for name, item in items.items():
            text = scalars.serialize_text(item.get("value"))
            if text is not None:
                yield _build_text_value((layout.unescape(section), layout.unescape(name)), text)


def _read_script_values(task: Document, _budget: Budget) -> PathsAndValues:
    script = layout.read_object(task, "script")
    for stored_name, name in SCRIPT_FIELDS.items():
        if text := scalars.serialize_text(script.get(stored_name)):
            yield _build_text_value((name,), text)


def _read_requirement_values(task: Document, budget: Budget) -> PathsAndValues:
    for manager, stored in layout.read_object(task, "script.requirements").items():
        lines: Iterable[str] = ()
        if isinstance(stored, str):
            lines = join_lines(stored, budget)
        elif isinstance(stored, list):
            lines = stored
        for required in read_requirements(filter(scalars.serialize_text, lines), budget):
            value = ComparisonValue(required.key, required.text, (manager, required.name))
            yield (manager, required.package), value


def _read_metric_values(task: Document, _budget: Budget) -> PathsAndValues:
    for variants in layout.read_object(task, "last_metrics").values():
        for event in variants.values() if isinstance(variants, dict) else ():
            if isinstance(event, dict):
                yield from _read_statistics(event)


def _read_statistics(event: Document) -> PathsAndValues:
    metric, variant = scalars.serialize_text(event.get("metric")), scalars.serialize_text(event.get("variant"))
    if metric is None or variant is None:
        return
    for stored_name, name in STATISTICS.items():
        number = scalars.serialize_float(event.get(stored_name))
        if number is not None:
            path, scalar = (metric, variant, name), values.make_number(number)
            yield path, ComparisonValue(scalar.key, scalar.text, path)


def _build_text_value(path: NamePath, text: str) -> tuple[NamePath, ComparisonValue]:
    return path, ComparisonValue(text, text, path)


SECTION_READERS: Mapping[str, Callable[[Document, Budget], PathsAndValues]] = {
    "hyperparams": _read_hyperparam_values,
    "script": _read_script_values,
    "requirements": _read_requirement_values,
    "last_metrics": _read_metric_values,
}
