"""Stored texts are data: comparing them opens no file and no connection, and reads no environment."""

import ast
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.resolvers.test_compare import BARE, COMPARE
from tests.resolvers.test_compare_texts import build_configurations
from tests.support.client import Client
from tests.support.factories import task
from tests.support.paths import ROOT

CANARY = "c4n4ry"
TYPES = ("", "hocon", "conf", "dictionary", "yaml", "json", "legacy")
SPELLINGS = (
    'include "{file}"',
    'INCLUDE "{file}"',
    'Include "{file}"',
    'include  \t"{file}"',
    'include\n"{file}"',
    'include # here\n"{file}"',
    'include // here\n"{file}"',
    'include file("{file}")',
    'INCLUDE FILE("{file}")',
    'include required("{file}")',
    'include required(file("{file}"))',
    'include "{folder}/*.conf"',
    'include "{folder}/.env"',
    'include "{folder}/**"',
    'include classpath("{file}")',
    'include package("canary:secret.conf")',
    'INCLUDE package("canary:secret.conf")',
    'include url("{url}/secret.conf")',
    'INCLUDE url("{url}/secret.conf")',
    'include url("file://{file}")',
    'include "{url}/secret.conf"',
    "include {file}",
    'a {{ include "{file}" }}',
    'a {{\n  b = 1\n  INCLUDE "{file}"\n}}',
    'a = [{{ include "{file}" }}]',
    'a.b {{ c = {{ include file("{file}") }} }}',
    'x = 1\ninclude "{file}"\ny = ${{canary}}',
    'x = 1, include "{file}"',
    '{{ include "{file}" }}',
    '{{"a": 1, include "{file}"}}',
    "x = ${{CANARY}}",
    "x = ${{?CANARY}}",
    'x = "a"${{CANARY}}',
    "x = ${{canary}}",
    "x: ${{CANARY}}",
    "x: ${{oc.env:CANARY}}",
    "x: $CANARY",
    "x: !include {file}",
    "x: !env CANARY",
    "x: !!python/object/apply:os.getenv [CANARY]",
    "x: !!python/object/apply:builtins.open ['{file}']",
    "x: !!python/name:canary.SECRET",
    "!!python/object/new:os.system [cat {file}]",
    "x: !url {url}/secret.yaml",
    "%INCLUDE {file}\n---\nx: 1",
    '{{"$ref": "file://{file}"}}',
    '{{"$ref": "{url}/secret.json"}}',
    '<!DOCTYPE x [<!ENTITY y SYSTEM "{file}">]><x>&y;</x>',
)


@pytest.fixture
def canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files, package and environment hold the secret; it is the working folder as well."""
    package = tmp_path / "canary"
    package.mkdir()
    (package / "__init__.py").write_text(f'SECRET = "{CANARY}"')
    for path in (tmp_path / "secret.conf", tmp_path / ".env", package / "secret.conf"):
        path.write_text(f"canary = {CANARY}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.setenv("canary", CANARY)
    return tmp_path


@pytest.fixture
def visits() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a listening port, and what was sent to it."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    seen.append(connection.recv(1000))
                    connection.sendall(f"HTTP/1.0 200 OK\r\n\r\ncanary = {CANARY}\n".encode())

        listening = threading.Thread(target=listen)
        listening.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
        server.shutdown(socket.SHUT_RDWR)
        listening.join()


@pytest.mark.parametrize("type_", TYPES)
async def test_a_stored_text_reads_no_file_no_address_and_no_environment(
    client: Client,
    database: AsyncDatabase[dict[str, object]],
    canaries: Path,
    visits: tuple[str, list[bytes]],
    type_: str,
) -> None:
    url, seen = visits
    texts = [spelling.format(file=canaries / "secret.conf", folder=canaries, url=url) for spelling in SPELLINGS]
    planted = {f"c{number}": (text, type_) for number, text in enumerate(texts)}
    await database.task.insert_many([task(_id="a", **BARE | build_configurations(**planted)), task(_id="b", **BARE)])
    answer = await client.answer(COMPARE, ids=["a", "b"])
    assert "errors" not in answer
    assert CANARY not in str(answer)
    assert {item["path"][0] for item in answer["data"]["compareTasks"]["items"]} == planted.keys()
    assert seen == []


@pytest.mark.parametrize("type_", TYPES)
async def test_an_include_is_shown_as_it_is_stored(
    client: Client, database: AsyncDatabase[dict[str, object]], canaries: Path, type_: str
) -> None:
    text = f'x = 1\na {{ INCLUDE "{canaries / "secret.conf"}" }}'
    await database.task.insert_many(
        [task(_id="a", **BARE | build_configurations(c=(text, type_))), task(_id="b", **BARE)]
    )
    [item] = (await client.data(COMPARE, ids=["a", "b"]))["compareTasks"]["items"]
    assert (item["path"], item["values"][0]["value"]) == (["c"], text)


def test_a_parser_that_can_include_reads_only_our_own_schema() -> None:
    """One module has pyhocon, for a folder of files; YAML is read event by event, so that nothing is constructed."""
    users: dict[str, set[str]] = {}
    for room in ("api", "models", "resolvers", "schema"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
                for name in {name.split(".")[0] for name in names}:
                    users.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    assert users["pyhocon"] == {"schema/sources.py"}
    assert users["yaml"] == {"resolvers/texts/yaml_text.py", "resolvers/texts/values.py"}
    assert not users.keys() & {"pickle", "marshal", "shelve", "configparser", "dotenv", "omegaconf", "json5", "hcl2"}
    read_yaml = ROOT / "resolvers" / "texts" / "yaml_text.py"
    called = {node.attr for node in ast.walk(ast.parse(read_yaml.read_text())) if isinstance(node, ast.Attribute)}
    assert not called & {"load", "load_all", "safe_load", "full_load", "unsafe_load", "construct_object", "compose"}
