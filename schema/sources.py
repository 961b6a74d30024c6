"""HOCON files → plain trees, their definitions merged into one namespace; every mistake with its file and path."""

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

TEXT = re.compile(r'"""[\s\S]*?"""|(?:#|//)[^\n]*')
INCLUDE = re.compile(r'(?:^|[\s{,])include\s+(?:required\s*\(\s*)?(?:file\s*\(\s*)?"([^"\n]+)"')
SECTIONS = {"_description", "_definitions", "_references", "_query", "_mutation", "_subscription"}
LONGEST = 300  # characters of a parser's message; the rest is its grammar

Node = Mapping[str, Any]
At = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    file: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.message}" if self.path else f"{self.file}: {self.message}"


class SchemaError(Exception):
    """The HOCON files can't be served; `mistakes` says all that is wrong with them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class Sources:
    """The files of a folder: `definitions` of all of them together, `services` the rest, by file name.

    pyhocon takes a second for ours; what it makes of files without a mistake is kept in the folder `kept`, if given.
    """

    def __init__(self, folder: Path, kept: Path | None = None) -> None:
        self.mistakes: list[Mistake] = []
        place = kept and kept / f"{_digest(folder)}.json"
        self._trees: dict[str, Node] = _kept(place) if place else {}
        was_kept = bool(self._trees)
        self.services: dict[str, Node] = {}
        self.definitions: dict[str, Any] = {}
        self._files: dict[At, str] = {}
        for path in sorted(folder.glob("[!_]*.conf")):
            self._read(path)
        if not self.services and not self.mistakes:
            self.mistake((), f"no .conf file in {folder}")
        if place and not was_kept and not self.mistakes:
            _keep(place, self._trees)

    def mistake(self, at: At, message: str) -> None:
        """Note a mistake at a path; the file is the one that said the innermost known part of it."""
        known = next((self._files[at[:end]] for end in range(len(at), 0, -1) if at[:end] in self._files), "schema")
        found = Mistake(known, ".".join(at), message)
        if found not in self.mistakes:
            self.mistakes.append(found)

    def _read(self, path: Path) -> None:
        """Parse one file and merge its definitions into the common namespace."""
        self._check_includes(path, {path})
        try:
            tree = self._trees[path.name] = self._trees.get(path.name) or parse(path)
        except (ConfigException, ParseBaseException, OSError, UnicodeDecodeError) as error:
            self.mistakes.append(Mistake(path.name, "", _short(" ".join(str(error).split()))))
            return
        self._take(path, tree)

    def _take(self, path: Path, tree: Node) -> None:
        for key in tree:
            is_section = key.startswith("_")
            if is_section and (
                key not in SECTIONS or not isinstance(tree[key], str if key == "_description" else Mapping)
            ):
                known = ", ".join(sorted(SECTIONS))
                self.mistakes.append(Mistake(path.name, key, f"unknown section, or of a wrong form; known are {known}"))
        sections = {
            key: value
            for key, value in tree.items()
            if key == "_description" or not key.startswith("_") or isinstance(value, Mapping)
        }
        self.services[path.stem] = sections
        self._merge(self.definitions, sections.get("_definitions", {}), ("_definitions",), path.name)
        own = {key: value for key, value in tree.items() if key != "_definitions"}
        self._files |= dict.fromkeys(_paths(own, (path.stem,)), path.name)

    def _check_includes(self, path: Path, seen: set[Path]) -> None:
        # pyhocon only logs a missing include and parses on
        for name in INCLUDE.findall(TEXT.sub(" ", path.read_text(encoding="utf-8", errors="replace"))):
            included = path.parent / name
            if not included.is_file():
                self.mistakes.append(Mistake(path.name, "", f'include "{name}": there is no such file'))
            elif included not in seen:
                self._check_includes(included, seen | {included})

    def _merge(self, into: dict[str, Any], tree: Node, at: At, file: str) -> None:
        for key, value in tree.items():
            here = (*at, key)
            old = into.get(key)
            if old is None:
                into[key] = _copy(value)
            elif isinstance(old, dict) and isinstance(value, Mapping):
                self._merge(old, value, here, file)
            elif isinstance(old, list) and isinstance(value, list):
                old.extend(value)
            elif old != value:
                self.mistakes.append(Mistake(file, ".".join(here), f"{value!r}, but {self._files[here]} says {old!r}"))
                continue
            self._files.setdefault(here, file)
            if isinstance(value, Mapping):
                for path in _paths(value, here):
                    self._files.setdefault(path, file)


def _short(message: str) -> str:
    """The message without the parser's grammar: its beginning, and the place at its end."""
    place = message.rfind("(at char")
    if len(message) <= LONGEST or place < 0:
        return message[:LONGEST]
    return f"{message[:120]}… {message[place:]}"


def _digest(folder: Path) -> str:
    """Of all that the trees of the files are made of."""
    found = hashlib.sha256(version("pyhocon").encode())
    for path in sorted(folder.glob("*.conf")):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _kept(place: Path) -> dict[str, Node]:
    try:
        trees = orjson.loads(place.read_bytes())
    except (OSError, ValueError):
        return {}
    return trees if isinstance(trees, dict) else {}


def _keep(place: Path, trees: Mapping[str, Node]) -> None:
    """In place of those of other files; without a word where nothing can be written."""
    written = place.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(orjson.dumps(trees))
        written.replace(place)
        for other in place.parent.glob("*.json"):
            if other != place:
                other.unlink(missing_ok=True)


def parse(path: Path) -> Node:
    """The file as plain dicts. pyhocon keeps quotes around keys until then, and logs instead of raising."""
    logging.getLogger("pyhocon").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the way in which it logs
        tree: Node = ConfigFactory.parse_file(str(path)).as_plain_ordered_dict()
    return tree


def _paths(tree: Node, at: At = ()) -> Iterator[At]:
    for key, value in tree.items():
        yield (*at, key)
        if isinstance(value, Mapping):
            yield from _paths(value, (*at, key))


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value
