"""The command `taskql` in real processes."""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.paths import DATA, ROOT
from tests.support.servers import HTTP, run, serve, standalone, wait_until

pytestmark = pytest.mark.slow

QUICK = "?serverSelectionTimeoutMS=100"


def test_tasks_imported_while_it_serves_are_answered_and_still_there_at_the_next_start(tmp_path: Path) -> None:
    with serve(data_dir=tmp_path) as server:
        imported = run("import", DATA, data_dir=tmp_path)
        assert imported.returncode == 0, imported.stdout + imported.stderr
        before = server.data("{ tasks { totalCount } }")
        ended, stderr = server.stop(signal.SIGTERM)
    again = run("import", "--sample", data_dir=tmp_path)
    with serve(data_dir=tmp_path) as server:
        after = server.data("{ tasks { totalCount } }")
    assert before == {"tasks": {"totalCount": 13}}
    assert after == before
    assert (ended, stderr) == (0, "")
    assert [row.split("│")[1:5] for row in again.stdout.splitlines() if "task " in row] == [
        [" task       ", " 0        ", " 0       ", " 12      "]
    ]


def test_the_queue_of_a_dump_takes_the_place_of_the_one_made_at_the_start(tmp_path: Path) -> None:
    with serve(data_dir=tmp_path) as server:
        run("import", DATA / "offline-sessions", data_dir=tmp_path)
        run("import", DATA / "clearml-backend", data_dir=tmp_path)
        data = server.data(
            '{ tasks(filter: {name: "η=0.01$"}) { nodes { project { id name path } } }'
            ' queue(id: "3dd792d84b984790ad1e23f314184a96") { name entries { taskId } } }'
        )
    projects = {node["project"]["id"]: node["project"] for node in data["tasks"]["nodes"]}
    assert projects["2279b43617824258ae491ae8b2b7c425"]["name"] == "baselines/digits"
    assert [project["path"] for project in projects.values()] == [["fa9466b2eda844859d70aa72b912d165"]] * len(projects)
    assert len(data["queue"]["entries"]) == 3


def test_it_is_ready_only_while_queries_are_answered(tmp_path: Path) -> None:
    with ExitStack() as until_the_end:
        with standalone(tmp_path) as uri:
            server = until_the_end.enter_context(serve(mongodb_uri=uri))
            base = server.address.removesuffix("/graphql")
            assert HTTP.get(f"{base}/healthz").status_code == 200
            assert HTTP.get(f"{base}/readyz").status_code == 200
        assert HTTP.get(f"{base}/readyz").status_code == 503
        assert HTTP.get(f"{base}/healthz").status_code == 200
        answer = HTTP.post(server.address, json={"query": "{ tasks { totalCount } }"}).json()
        assert answer["errors"][0]["extensions"]["code"] == "DATABASE_UNAVAILABLE"


def test_an_embedded_database_that_is_killed_runs_again_with_its_data(tmp_path: Path) -> None:
    def has_data() -> bool:
        answer = HTTP.post(server.address, json={"query": "{ tasks { totalCount } }"}).json()
        return bool(answer == {"data": {"tasks": {"totalCount": 12}}})

    with serve(data_dir=tmp_path) as server:
        assert run("import", "--sample", data_dir=tmp_path).returncode == 0
        [pid] = find_mongods(tmp_path)
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: "runs again" in server.read_stderr(), 60)
        assert wait_until(has_data, 30)
        status, stderr = server.stop()
    assert status == 0
    [warning] = stderr.splitlines()
    assert warning.split("WARNING")[1].strip() == "The embedded MongoDB had ended; it runs again."
    assert find_mongods(tmp_path) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_its_database_without_a_word_of_complaint(tmp_path: Path, ending: signal.Signals) -> None:
    with serve(data_dir=tmp_path) as server:
        assert len(find_mongods(tmp_path)) == 1
        status, stderr = server.stop(ending)
    assert (status, stderr) == (0, "")
    assert find_mongods(tmp_path) == []


HALF_A_REQUEST = (
    b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    b'Content-Length: 100\r\n\r\n{"query":'
)


def test_a_second_ctrl_c_hangs_up_on_a_client_that_is_waited_for(tmp_path: Path) -> None:
    """The first one ends the server once the client has its answer, and lets nobody else in."""
    with serve(data_dir=tmp_path, max_body_seconds=600) as server:
        url = httpx.URL(server.address)
        address = (url.host, url.port or 0)
        with socket.create_connection(address, timeout=60) as client:
            client.sendall(HALF_A_REQUEST)
            assert client.recv(100).startswith(b"HTTP/1.1 100")  # it reads the body
            server.process.send_signal(signal.SIGINT)
            assert wait_until(lambda: not is_open(address), 60)
            assert server.process.poll() is None
            assert server.stop() == (0, "")
            assert client.recv(100) == b""
    assert find_mongods(tmp_path) == []


def is_open(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=60).close()
    except ConnectionError:
        return False
    return True


def test_a_second_ctrl_c_on_its_way_out_is_without_a_word_of_complaint(tmp_path: Path) -> None:
    with serve(data_dir=tmp_path) as server:
        server.process.send_signal(signal.SIGINT)
        status, stderr = server.stop()
    assert status in {0, 130, -signal.SIGINT}  # it may come when all is done but to wait for the database's end
    assert stderr == ""
    assert find_mongods(tmp_path) == []


def test_a_taken_port_is_one_paragraph(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("serve", "--port", taken.getsockname()[1], data_dir=tmp_path)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "Address already in use" in refused.stderr
    assert "--port" in refused.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "not a loopback address"),  # noqa: S104 - it is refused
        ({"host": "example.org"}, "not a loopback address"),
        ({"port": "many"}, "TASKQL_PORT: Input should be a valid integer"),
        ({"port": 70000}, "TASKQL_PORT: Input should be less than or equal to 65535"),
        ({"mongodb_database": "a/b"}, "TASKQL_MONGODB_DATABASE"),
        ({"mongodb_uri": "mongodb://127.0.0.1:1/" + QUICK}, "MongoDB does not answer"),
        ({"mongodb_uri": "http://127.0.0.1"}, "TASKQL_MONGODB_URI is not a usable MongoDB address"),
        ({"data_dir": "/dev/null/x"}, "/dev/null/x"),
    ],
)
def test_settings_that_cannot_be_used_are_one_paragraph(settings: dict[str, object], message: str) -> None:
    refused = run("serve", **({"port": 0} | settings))
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert message in refused.stderr


def test_an_option_wins_over_the_environment() -> None:
    refused = run(
        "serve",
        "--port",
        0,
        "--mongodb-uri",
        f"mongodb://127.0.0.1:1/{QUICK}",
        mongodb_uri=f"mongodb://127.0.0.1:2/{QUICK}",
    )
    assert "127.0.0.1:1:" in refused.stderr


def test_a_password_in_the_address_is_never_shown() -> None:
    refused = run("serve", port=0, mongodb_uri="mongodb://me:s3cret@127.0.0.1:1/" + QUICK)
    assert "MongoDB does not answer" in refused.stderr
    assert "s3cret" not in refused.stdout + refused.stderr


def test_a_bad_file_is_named_and_makes_the_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "task.jsonl").write_text('{"_id": "a", "name": "cut off')
    report = run("import", tmp_path / "task.jsonl", DATA / "offline-sessions", data_dir=tmp_path / "data")
    assert report.returncode == 1
    assert "INVALID_JSON" in report.stdout
    assert "task.jsonl, line 1" in report.stdout
    assert "task       │ 3 " in report.stdout


def test_an_import_without_a_source_names_the_sources(tmp_path: Path) -> None:
    refused = run("import", data_dir=tmp_path)
    assert refused.returncode == 1
    assert "--sample" in refused.stderr


def test_the_schema_is_printed_and_checked() -> None:
    assert run("schema", "print").stdout == (ROOT / "schema" / "schema.graphql").read_text()
    assert "no mistakes" in run("schema", "check").stdout


def find_mongods(folder: Path) -> list[int]:
    pids = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if b"mongod" in command.split(b"\0")[0] and str(folder).encode() in command:
            pids.append(int(entry.parent.name))
    return pids
