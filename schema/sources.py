"""HOCON files → plain trees, with the definitions of all files in one namespace."""

import hashlib
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from pyhocon import ConfigFactory
from pyhocon.exceptions import ConfigException
from pyparsing import ParseBaseException

STRING_OR_COMMENT = re.compile(r'"""[\s\S]*?"""|(?:#|//)[^\n]*')
INCLUDE = re.compile(r'(?:^|[\s{,])include\s+(?:required\s*\(\s*)?(?:file\s*\(\s*)?"([^"\n]+)"')
SECTIONS = {"_description", "_definitions", "_references", "_query", "_mutation", "_subscription"}
MAX_MESSAGE = 300  # characters of a parser's message; the rest is its grammar

HoconNode = Mapping[str, Any]
TreePath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    file: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.message}" if self.path else f"{self.file}: {self.message}"


class SchemaError(Exception):
    """The HOCON files have mistakes; `mistakes` lists all of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class HoconSources:
    """The files of a folder: `definitions` of all files together, `services` the other sections by file name.

    pyhocon takes a second to parse our files; a `cache_folder` keeps the trees of files without a mistake.
    """

    def __init__(self, folder: Path, cache_folder: Path | None = None) -> None:
        self.mistakes: list[Mistake] = []
        self.services: dict[str, HoconNode] = {}
        self.definitions: dict[str, Any] = {}
        self._files: dict[TreePath, str] = {}
        cache_file = cache_folder and cache_folder / f"{_hash_folder(folder)}.json"
        self._trees: dict[str, HoconNode] = _read_cache(cache_file) if cache_file else {}
        is_cached = bool(self._trees)
        for path in sorted(folder.glob("[!_]*.conf")):
            self._read_file(path)
        if not self.services and not self.mistakes:
            self.report_mistake((), f"no .conf file in {folder}")
        if cache_file and not is_cached and not self.mistakes:
            _write_cache(cache_file, self._trees)

    def report_mistake(self, path: TreePath, message: str) -> None:
        """Add a mistake at a path, with the file that holds the longest known beginning of it."""
        beginnings = (path[:end] for end in range(len(path), 0, -1))
        file = next((self._files[beginning] for beginning in beginnings if beginning in self._files), "schema")
        mistake = Mistake(file, ".".join(path), message)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def _read_file(self, path: Path) -> None:
        """Parse one file and merge its definitions into the common namespace."""
        self._check_includes(path, {path})
        try:
            tree = self._trees[path.name] = self._trees.get(path.name) or parse_hocon(path)
        except (ConfigException, ParseBaseException, OSError, UnicodeDecodeError) as error:
            self.mistakes.append(Mistake(path.name, "", _shorten_message(" ".join(str(error).split()))))
            return
        self._add_tree(path, tree)

    def _add_tree(self, path: Path, tree: HoconNode) -> None:
        sections: dict[str, Any] = {}
        for key, value in tree.items():
            has_form = isinstance(value, str if key == "_description" else Mapping)
            if key.startswith("_") and not (key in SECTIONS and has_form):
                message = f"unknown section, or a section of a wrong form; allowed: {', '.join(sorted(SECTIONS))}"
                self.mistakes.append(Mistake(path.name, key, message))
            if not key.startswith("_") or key == "_description" or isinstance(value, Mapping):
                sections[key] = value
        self.services[path.stem] = sections
        self._merge(self.definitions, sections.get("_definitions", {}), ("_definitions",), path.name)
        own_sections = {key: value for key, value in tree.items() if key != "_definitions"}
        self._files |= dict.fromkeys(_walk_paths(own_sections, (path.stem,)), path.name)

    def _check_includes(self, path: Path, seen: set[Path]) -> None:
        # pyhocon only logs a missing include and parses on
        for name in INCLUDE.findall(STRING_OR_COMMENT.sub(" ", path.read_text(encoding="utf-8", errors="replace"))):
            included = path.parent / name
            if not included.is_file():
                self.mistakes.append(Mistake(path.name, "", f'include "{name}": the file does not exist'))
            elif included not in seen:
                self._check_includes(included, seen | {included})

    def _merge(self, merged: dict[str, Any], tree: HoconNode, path: TreePath, file: str) -> None:
        for key, value in tree.items():
            inner_path = (*path, key)
            previous = merged.get(key)
            if previous is None:
                merged[key] = _copy_tree(value)
            elif isinstance(previous, dict) and isinstance(value, Mapping):
                self._merge(previous, value, inner_path, file)
            elif isinstance(previous, list) and isinstance(value, list):
                previous.extend(value)
            elif previous != value:
                message = f"{value!r}, but {self._files[inner_path]} says {previous!r}"
                self.mistakes.append(Mistake(file, ".".join(inner_path), message))
                continue
            self._files.setdefault(inner_path, file)
            if isinstance(value, Mapping):
                for deeper_path in _walk_paths(value, inner_path):
                    self._files.setdefault(deeper_path, file)


def _shorten_message(message: str) -> str:
    """Keep the beginning of a parser's message and the place at its end, without the grammar between them."""
    end = message.rfind("(at char")
    if len(message) <= MAX_MESSAGE or end < 0:
        return message[:MAX_MESSAGE]
    return f"{message[:120]}… {message[end:]}"


def _hash_folder(folder: Path) -> str:
    """Hash everything that the trees depend on: pyhocon's version and the files."""
    digest = hashlib.sha256(version("pyhocon").encode())
    for path in sorted(folder.glob("*.conf")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _read_cache(cache_file: Path) -> dict[str, HoconNode]:
    try:
        trees = orjson.loads(cache_file.read_bytes())
    except (OSError, ValueError):
        return {}
    return trees if isinstance(trees, dict) else {}


def _write_cache(cache_file: Path, trees: Mapping[str, HoconNode]) -> None:
    """Replace the trees of older files; do nothing where the folder can't be written."""
    new_file = cache_file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        new_file.write_bytes(orjson.dumps(trees))
        new_file.replace(cache_file)
        for old_file in cache_file.parent.glob("*.json"):
            if old_file != cache_file:
                old_file.unlink(missing_ok=True)


def parse_hocon(path: Path) -> HoconNode:
    """Parse a file into plain dicts: pyhocon's own keep the quotes around keys. It logs instead of raising."""
    logging.getLogger("pyhocon").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyhocon logs by a deprecated method
        tree: HoconNode = ConfigFactory.parse_file(str(path)).as_plain_ordered_dict()
    return tree


def _walk_paths(tree: HoconNode, path: TreePath = ()) -> Iterator[TreePath]:
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, Mapping):
            yield from _walk_paths(value, (*path, key))


def _copy_tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy_tree(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value
