"""Raw documents as a ClearML 2.3 server stores them, and tasks as a server of 2019 (API 2.4) did.

Every field can be given; a field given as ABSENT is not stored.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4

from api.settings import CLEARML_COMPANY

Document = dict[str, Any]

ABSENT: Any = object()
COMPANY = CLEARML_COMPANY
OTHER_COMPANY = "0" * 32
PUBLIC = ""
DAY = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - stored dates are naive UTC


def new_id() -> str:
    return uuid4().hex


def task(**fields: Any) -> Document:
    """A task that ran to its end, with something in every field that does not name another document."""
    return build_document(
        {
            "name": "train digits",
            "user": None,
            "type": "training",
            "status": "completed",
            "status_reason": "done",
            "status_message": "all epochs",
            "status_changed": DAY,
            "comment": "a comment",
            "report": "# A report",
            "created": DAY,
            "started": DAY,
            "completed": DAY,
            "published": DAY,
            "last_update": DAY,
            "last_change": DAY,
            "last_changed_by": None,
            "last_worker": "worker:0",
            "last_worker_report": DAY,
            "active_duration": 3600,
            "parent": None,
            "project": None,
            "tags": ["best", "mnist"],
            "system_tags": ["development"],
            "output": {"destination": "s3://bucket/out", "result": "success", "error": ""},
            "execution": {
                "queue": None,
                "framework": "PyTorch",
                "model_labels": {"cat": 1, "do%2Eg": 2},
                "artifacts": artifacts(artifact("confusion"), artifact("rows")),
            },
            "script": {
                "binary": "python3.11",
                "repository": "https://example.org/digits.git",
                "tag": "v1",
                "branch": "main",
                "version_num": "0a1b2c",
                "entry_point": "train.py",
                "working_dir": "src",
                "diff": "+ x",
                "requirements": {"pip": "numpy\n"},
            },
            "hyperparams": hyperparams(("Args", "lr", "0.1"), ("Args", "batch.size", "32"), ("General", "seed", "7")),
            "configuration": {
                "design": {"name": "design", "value": "resnet", "type": "legacy"},
                "model%2Eyaml": {"name": "model.yaml", "value": "a: 1", "type": "yaml", "description": "d"},
            },
            "container": {"image": "python:3.11", "arguments": "--rm"},
            "runtime": {"progress": 100, "since": DAY},
            "models": {"input": [], "output": []},
            "last_iteration": 1000,
            "last_metrics": last_metrics(("loss", "train", 0.25), ("loss", "test", 0.5), ("accuracy", "test", 0.9)),
            "unique_metrics": ["accuracy/test", "loss/test", "loss/train"],
        },
        fields,
    )


def old_task(**fields: Any) -> Document:
    """A task as a server of 2019 stored it: parameters, models and artifacts have other places and shapes."""
    newer = (
        "report",
        "last_change",
        "last_changed_by",
        "active_duration",
        "hyperparams",
        "configuration",
        "container",
        "runtime",
        "models",
        "unique_metrics",
    )
    execution = {
        "test_split": 0,
        "queue": None,
        "framework": "PyTorch",
        "docker_cmd": "python:3.11 --rm",
        "model": None,
        "model_desc": {"design": "resnet"},
        "model_labels": {"cat": 1},
        "parameters": {"lr": "0.1", "TF_DEFINE/batch": 32},
        "artifacts": [artifact("confusion"), artifact("rows")],
    }
    return task(**dict.fromkeys(newer, ABSENT) | {"execution": execution} | fields)


def project(**fields: Any) -> Document:
    return build_document(
        {
            "name": "vision/digits",
            "basename": "digits",
            "description": "Handwriting",
            "user": None,
            "parent": None,
            "path": [],
            "created": DAY,
            "tags": ["a"],
            "system_tags": [],
            "last_update": DAY,
            "default_output_destination": "s3://bucket",
        },
        fields,
    )


def queue(**fields: Any) -> Document:
    return build_document(
        {
            "name": "gpu queue",
            "created": DAY,
            "tags": ["fast"],
            "system_tags": ["default"],
            "entries": [],
            "last_update": DAY,
        },
        fields,
    )


def model(**fields: Any) -> Document:
    return build_document(
        {
            "name": "digits net",
            "user": None,
            "project": None,
            "parent": None,
            "task": None,
            "created": DAY,
            "comment": "trained",
            "tags": ["prod"],
            "system_tags": [],
            "uri": "s3://bucket/net.pt",
            "framework": "PyTorch",
            "design": {"layers": 3},
            "labels": {"cat": 1, "dog": 2},
            "ready": True,
            "last_update": DAY,
        },
        fields,
    )


def user(**fields: Any) -> Document:
    return build_document(
        {
            "name": "Ada Lovelace",
            "given_name": "Ada",
            "family_name": "Lovelace",
            "avatar": "https://example.org/ada.png",
            "created": DAY,
        },
        fields,
    )


def company(**fields: Any) -> Document:
    return {"_id": COMPANY, "name": "Example", "defaults": {}} | fields


# -- parts -----------------------------------------------------------------------------------------


def last_metrics(*values: tuple[str, str, float]) -> Document:
    """(metric, variant, value) → the stored map of maps."""
    stored: Document = {}
    for metric, variant, value in values:
        stored.setdefault(md5(metric), {})[md5(variant)] = {
            "metric": metric,
            "variant": variant,
            "value": value,
            "min_value": value - 1,
            "min_value_iteration": 3,
            "max_value": value + 1,
            "max_value_iteration": 5,
            "first_value": value,
            "first_value_iteration": 0,
            "mean_value": value,
            "count": 10,
            "x_axis_label": "epochs",
        }
    return stored


def hyperparams(*values: tuple[str, str, str]) -> Document:
    """(section, name, value) → the stored map of maps."""
    stored: Document = {}
    for section, name, value in values:
        stored.setdefault(escape(section), {})[escape(name)] = {
            "section": section,
            "name": name,
            "value": value,
            "type": "str",
            "description": "",
        }
    return stored


def artifact(key: str, **fields: Any) -> Document:
    return {
        "key": key,
        "type": "dict",
        "mode": "output",
        "uri": f"s3://bucket/{key}",
        "content_size": 2**40,
        "hash": "ff",
        "timestamp": 1_790_000_000,
        "display_data": [["rows", 3], ["mean", 0.5]],
        "type_data": {"preview": "{}", "content_type": "application/json", "data_hash": "ee"},
    } | fields


def artifacts(*items: Document) -> Document:
    return {f"{md5(item['key'])}_{item['mode']}": item for item in items}


def md5(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()  # noqa: S324 - the stored layout


def escape(name: str) -> str:
    """A free name as a document key, by the table in ClearML's sources."""
    key = "".join({"%": "%%", ".": "%2E", "$": "%24"}.get(char, char) for char in name.strip()).replace("__", "%_%_")
    return "%" + key if key.startswith("_") else key


def put(document: Document, path: str, value: Any) -> Document:
    """A copy of the document with the value at a dotted path, or with nothing there for ABSENT."""
    first, _, rest = path.partition(".")
    changed = dict(document)
    if rest:
        changed[first] = _put_in_value(changed.get(first) or {}, rest, value)
    elif value is ABSENT:
        changed.pop(first, None)
    else:
        changed[first] = value
    return changed


def _put_in_value(container: Any, path: str, value: Any) -> Any:
    if not isinstance(container, list):
        return put(container, path, value)
    return [*put({str(number): item for number, item in enumerate(container)}, path, value).values()]


def ids(documents: Iterable[Document]) -> list[Any]:
    return [document["_id"] for document in documents]


def build_document(defaults: Document, fields: Document) -> Document:
    document = {"_id": new_id(), "company": COMPANY} | defaults | fields
    return {name: value for name, value in document.items() if value is not ABSENT}
