"""How CI runs the tests (.ci/suite.py): what fails gets a second try, alone. Small projects show it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

SUITE = ROOT / ".ci" / "suite.py"
SETTINGS = """
[tool.pytest.ini_options]
addopts = "-q -p xdist.plugin --numprocesses 2 --dist worksteal"
filterwarnings = ["error"]
"""
HEAD = """
import os
from pathlib import Path
import pytest

def is_first_time(name):
    try:
        Path(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def test_steady(): pass
def test_steady_too(): pass
"""
FLAKY = 'def test_flaky(): assert not is_first_time("flaky"), "the reason"\n'
FLAKY_NAMES = '@pytest.mark.parametrize("x", ["a - b", "c"])\ndef test_named(x): assert not is_first_time(x)\n'
FLAKY_FIXTURE = """
@pytest.fixture
def late(): assert not is_first_time("fixture")
def test_late(late): pass
"""
CRASHING = 'def test_crash():\n    if is_first_time("crash"): os._exit(3)\n'
BROKEN = 'def test_broken(): assert 1 == 2, "the other reason"\n'
SKIPPED = "@pytest.mark.skip\ndef test_skipped(): pass\n"


def run_suite(folder: Path, source: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and the lines of standard output."""
    (folder / "pyproject.toml").write_text(SETTINGS)
    (folder / "test_it.py").write_text(source)
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the other plugins take a second to load
    done = subprocess.run(
        [sys.executable, SUITE, *arguments],
        cwd=folder,
        env=plain,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("source", "unsteady", "count"),
    [
        (FLAKY, ["test_flaky"], "3 passed"),
        (
            FLAKY_NAMES + FLAKY_FIXTURE + CRASHING,
            ["test_named[a - b]", "test_named[c]", "test_late", "test_crash"],
            "6 passed",
        ),
    ],
)
def test_a_test_that_fails_once_is_named_and_costs_nothing(
    tmp_path: Path, source: str, unsteady: list[str], count: str
) -> None:
    """The last line counts it as passed, the line before it names it, and what pytest said of it is there."""
    status, lines = run_suite(tmp_path, HEAD + source)
    assert status == 0
    assert re.fullmatch(rf"{count} in [\d.]+s", lines[-1])
    assert set(lines[-2].removeprefix("unsteady: ").split(", ")) == {f"test_it.py::{name}" for name in unsteady}
    assert lines[-2].startswith("unsteady: ")
    assert any(line.startswith(("FAILED test_it.py", "ERROR test_it.py")) for line in lines)


def test_a_suite_without_failures_ends_as_pytest_ends_it(tmp_path: Path) -> None:
    status, lines = run_suite(tmp_path, HEAD)
    assert status == 0
    assert re.fullmatch(r"2 passed in [\d.]+s", lines[-1])
    assert not [line for line in lines if line.startswith("unsteady")]


def test_a_test_that_fails_twice_fails_the_suite(tmp_path: Path) -> None:
    """Each failure is shown, and one that passed in the second run is still named."""
    status, lines = run_suite(tmp_path, HEAD + FLAKY + BROKEN)
    assert status == 1
    assert re.fullmatch(r"1 failed, 3 passed in [\d.]+s", lines[-1])
    assert lines[-2] == "unsteady: test_it.py::test_flaky"
    assert any("the other reason" in line for line in lines)


@pytest.mark.parametrize("source", [SKIPPED, SKIPPED + FLAKY])
def test_a_skipped_test_fails_the_suite(tmp_path: Path, source: str) -> None:
    status, lines = run_suite(tmp_path, HEAD + source)
    assert status == 1
    assert "1 skipped" in lines[-1]


@pytest.mark.parametrize(
    ("source", "arguments", "expected"),
    [
        ("", ("-n0",), 5),
        ("import nothing_of_this_name\n", ("-n0",), 2),
        (HEAD, ("--no-such-option",), 4),
        ("import pytest\ndef test_it(): pytest.exit('enough', returncode=3)\n", ("-n0",), 3),
    ],
)
def test_a_run_that_breaks_off_fails_the_suite(
    tmp_path: Path, source: str, arguments: tuple[str, ...], expected: int
) -> None:
    """No second run makes up for tests that are missing."""
    status, lines = run_suite(tmp_path, source, *arguments)
    assert status == expected
    assert not [line for line in lines if line.startswith("unsteady")]
