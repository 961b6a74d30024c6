"""The stored layout of a task: escaped names, hashes of names, and old documents read in the new shape.

Documents are written in the layout of a ClearML 2.3 server; those of a 2019 server (API 2.4) are still read. The
readers take raw stored values: a value that is missing or of a wrong type is passed over, never an error.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

LEGACY_SECTION = "Args"
LEGACY_TYPE = "legacy"
TF_DEFINE = "TF_DEFINE"
DELETED_PREFIX = "__DELETED__"  # before the id of a deleted document

BLANKS = " \t\r\n"  # around a command
StoredValues = dict[str, Any]  # stored path → value, None for a removed one

_ESCAPES = {"%%": "%", "%2E": ".", "%24": "$", "%_": "_"}
_ESCAPE = re.compile("|".join(_ESCAPES))


def read_path(document: Any, path: str) -> Any:
    """Read the value at a dotted path; None where an object on the path is missing."""
    for name in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def read_object(document: Any, path: str) -> dict[str, Any]:
    """Read the object at a dotted path; an empty one where none is stored."""
    value = read_path(document, path)
    return value if isinstance(value, dict) else {}


def hash_name(name: str) -> str:
    """Hash a metric or variant to its key in ``last_metrics``: lower-case hex md5 of the UTF-8 name."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def build_artifact_key(key: str, mode: str) -> str:
    """Build the key of an artifact in ``execution.artifacts``: ``<md5 of its key>_<mode>``."""
    return f"{hash_name(key)}_{mode}"


def escape(name: str) -> str:
    """Turn a free name into a document key, less its surrounding blanks.

    :raises ValueError: nothing is left of the name
    """
    if not (name := name.strip()):
        raise ValueError("An empty name cannot be a key")
    key = name.replace("%", "%%").replace(".", "%2E").replace("$", "%24").replace("__", "%_%_")
    return f"%{key}" if key.startswith("_") else key


def unescape(key: str) -> str:
    """Restore the name of a key; a key that was never escaped stays as it is."""
    return _ESCAPE.sub(lambda match: _ESCAPES[match[0]], key)


def escape_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Escape the names of a map.

    :raises ValueError: a name is empty, or two names differ by surrounding blanks only
    """
    escaped = {escape(name): value for name, value in values.items()}
    if len(escaped) < len(values):
        raise ValueError("Two names become the same key")
    return escaped


def write_first_model(model: str | None, now: datetime, items: Any, legacy: Any) -> StoredValues:
    """Write a model as the first of ``models.input``, with the name that ClearML's own servers give it."""
    if model is None:
        return {"models.input": None}
    first = {"name": "Input Model", "model": model, "updated": now}
    rest = read_model_items(items, legacy)[1:]
    return {"models.input": [first, *(item for item in rest if _read_model_id(item.get("model")))]}


def write_docker_cmd(command: str | None, _now: datetime, _container: Any, _legacy: Any) -> StoredValues:
    """Write a command as the image and the arguments of the container, whose other settings stay."""
    parts = _split_command(command) or dict.fromkeys(("image", "arguments"))
    return {f"container.{name}": text for name, text in parts.items()}


def write_model_desc(texts: Mapping[str, Any] | None, _now: datetime, items: Any, _legacy: Any) -> StoredValues:
    """Write texts as the configurations of the type legacy; those of other types stay.

    :raises ValueError: a name is empty, two names are the same without the blanks around them, or a value is not text
    """
    if not all(isinstance(text, str) for text in (texts or {}).values()):
        raise ValueError("all its values must be texts")
    removed = [key for key, item in read_configurations(items, None).items() if item.get("type") == LEGACY_TYPE]
    new = {
        key: {"name": unescape(key), "value": text, "type": LEGACY_TYPE}
        for key, text in escape_keys(texts or {}).items()
    }
    return {f"configuration.{key}": item for key, item in (dict.fromkeys(removed) | new).items()}


def build_artifact_map(artifacts: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Turn a list of artifacts into the stored map; of two with the same key and mode the later one stays.

    :raises KeyError: an artifact has no key
    """
    stored: list[dict[str, Any]] = [{"mode": "output", **item} for item in artifacts]
    return {build_artifact_key(item["key"], item["mode"]): item for item in stored}


def read_hyperparams(new: Any, legacy: Any) -> dict[str, dict[str, Any]]:
    """Read the hyperparameters as section → name → item, sections and names escaped.

    :param new: ``hyperparams``; its items win
    :param legacy: ``execution.parameters``, a flat map of name → value
    """
    sections = _convert_legacy_hyperparams(legacy) if isinstance(legacy, dict) else {}
    if isinstance(new, dict):
        for section, items in new.items():
            if isinstance(items, dict):
                sections[section] = sections.get(section, {}) | _select_objects(items)
    return sections


def read_container(new: Any, legacy: Any) -> dict[str, Any]:
    """Read the settings of the container, keys escaped.

    :param new: ``container``; when it names an image, only it counts
    :param legacy: ``execution.docker_cmd``, the image and its arguments on one line
    """
    settings = new if isinstance(new, dict) else {}
    if _read_nonempty_text(settings.get("image")):
        return settings
    return settings | _split_command(legacy)


def read_docker_cmd(new: Any, legacy: Any) -> str | None:
    """Read the image of the container and its arguments on one line; None without an image."""
    settings = read_container(new, legacy)
    image, arguments = _read_nonempty_text(settings.get("image")), _read_nonempty_text(settings.get("arguments"))
    return f"{image} {arguments}" if image and arguments else image


def read_configurations(new: Any, legacy: Any) -> dict[str, dict[str, Any]]:
    """Read the configurations as name → item, names escaped.

    :param new: ``configuration``; its items win
    :param legacy: ``execution.model_desc``, a flat map of name → text
    """
    texts = legacy if isinstance(legacy, dict) else {}
    items = {
        escape(name): {"name": name, "value": _convert_legacy_text(text), "type": LEGACY_TYPE}
        for name, text in texts.items()
        if name.strip()
    }
    return items | _select_objects(new)


def read_model_desc(new: Any, legacy: Any) -> dict[str, str | None] | None:
    """Read the texts of the configurations of the type legacy, by name; None when there are none."""
    items = [(unescape(key), item) for key, item in read_configurations(new, legacy).items()]
    texts = {name: item.get("value") for name, item in items if item.get("type") == LEGACY_TYPE}
    return {name: text if type(text) is str else None for name, text in texts.items()} or None


def find_legacy_name(section: str, name: str) -> str | None:
    """Find the name of a hyperparameter in the flat map of an older server; None where it has none there."""
    if section.strip() == TF_DEFINE:
        return f"{TF_DEFINE}/{name.strip()}"
    is_old = section.strip() == LEGACY_SECTION and not name.startswith(f"{TF_DEFINE}/")
    return name.strip() if is_old else None


def read_model_items(items: Any, legacy: Any) -> list[dict[str, Any]]:
    """Read ``models.input`` or ``models.output`` as stored, else one item built of the older model id."""
    stored = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    if stored or not (model := _read_model_id(legacy)):
        return stored
    return [{"model": model}]


def number_items(items: Any) -> list[dict[str, Any]] | None:
    """Add to each item of a list its ``position``, counted from 1."""
    if not isinstance(items, list):
        return None
    return [item | {"position": number} for number, item in enumerate(items, 1) if isinstance(item, dict)]


def read_first_model(inputs: Any, legacy: Any) -> str | None:
    """Read the id of the first input model, else ``execution.model``."""
    return next(iter(_list_model_ids(inputs)), _read_model_id(legacy))


def read_last_model(outputs: Any, legacy: Any) -> str | None:
    """Read the id of the last output model, else ``output.model``."""
    return next(reversed(_list_model_ids(outputs)), _read_model_id(legacy))


def _select_objects(items: Any) -> dict[str, Any]:
    if not isinstance(items, dict):
        return {}
    return {name: item for name, item in items.items() if isinstance(item, dict)}


def _convert_legacy_hyperparams(parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for path, value in parameters.items():
        section, name = LEGACY_SECTION, path
        if path.startswith(f"{TF_DEFINE}/"):
            section, name = TF_DEFINE, path.removeprefix(f"{TF_DEFINE}/")
        if name.strip():
            item = {"section": section, "name": name, "value": _convert_legacy_text(value), "type": LEGACY_TYPE}
            sections.setdefault(escape(section), {})[escape(name)] = item
    return sections


def _convert_legacy_text(value: Any) -> str | None:
    """Convert a value of an older server to the text that newer ones store."""
    is_text = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return str(value) if is_text else None


def _split_command(command: Any) -> dict[str, str]:
    """Split a command into the image, which ends at the first blank, and the arguments; empty without an image."""
    image, _, arguments = (_read_nonempty_text(command) or "").strip(BLANKS).partition(" ")
    return {"image": image, "arguments": arguments} if image else {}


def _read_nonempty_text(value: Any) -> str | None:
    """Read a text that is not empty; the driver's Code, a str as well, is not text."""
    return value if type(value) is str and value else None


def _list_model_ids(items: Any) -> list[str]:
    return [model for item in read_model_items(items, None) if (model := _read_model_id(item.get("model")))]


def _read_model_id(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


# The schema's annotation x-read → a function of the stored values.
READERS: Mapping[str, Callable[..., Any]] = {
    "hyperparams": read_hyperparams,
    "container": read_container,
    "docker_cmd": read_docker_cmd,
    "configuration": read_configurations,
    "model_desc": read_model_desc,
    "model_items": read_model_items,
    "numbered": number_items,
    "first_model": read_first_model,
    "last_model": read_last_model,
}
# The annotation x-write → a function of the new value, the time and the stored values.
WRITERS: Mapping[str, Callable[..., StoredValues]] = {
    "with_first_model": write_first_model,
    "with_docker_cmd": write_docker_cmd,
    "with_model_desc": write_model_desc,
}
