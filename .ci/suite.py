"""The tests. What fails runs once more, alone: a test that passes then is unsteady, and does not fail the run.

Arguments and output are pytest's. The last line counts what both runs found; the line before it names the unsteady
tests, if there are any.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PYTEST = Path(sys.executable).with_name("pytest")
ALONE = ("--numprocesses", "0", "--last-failed", "--last-failed-no-failures", "none")
PASSED, FAILED = 0, 1  # exit codes of pytest; others mean that it broke off
CLOSING = re.compile(r"(\d+ .*) in ([\d.]+)s\b.*")
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


class Outcome(NamedTuple):
    """What a run of pytest found, by its exit code and its closing line."""

    status: int
    counts: dict[str, int]
    seconds: float


def main(arguments: list[str]) -> int:
    """The exit code: pytest's, or 1 where a test was skipped."""
    with tempfile.TemporaryDirectory() as cache:
        first = run_pytest(cache, *arguments)
        if first.status != FAILED:
            return judge(first)
        failed = read_failed(cache)
        print(f"\nOnce more, alone: {len(failed)} of them.")
        second = run_pytest(cache, *arguments, *ALONE)
        still_failed = read_failed(cache)
    if unsteady := [name for name in failed if name not in still_failed]:
        print("unsteady:", ", ".join(unsteady))
    print(write_closing(first, second))
    return judge(first._replace(status=second.status))


def run_pytest(cache: str, *arguments: str) -> Outcome:
    """Run pytest and show what it says."""
    command = [str(PYTEST), "-o", f"cache_dir={cache}", *arguments]
    counts, seconds = {}, 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if closing := CLOSING.fullmatch(line.strip(" =\n")):
                counts = {kind: int(number) for number, kind in COUNT.findall(closing[1])}
                seconds = float(closing[2])
    return Outcome(process.returncode, counts, seconds)


def read_failed(cache: str) -> list[str]:
    """The names of the tests that failed in the last run."""
    file = Path(cache, "v", "cache", "lastfailed")
    return list(json.loads(file.read_text())) if file.exists() else []


def write_closing(first: Outcome, second: Outcome) -> str:
    """One line for both runs, as pytest closes one."""
    passed = first.counts.get("passed", 0) + second.counts.get("passed", 0)
    found = {**first.counts, "failed": 0, "error": 0, **second.counts, "passed": passed}
    order = ("failed", "passed", "skipped", "error")
    counts = ", ".join(f"{found[kind]} {kind}" for kind in order if found.get(kind))
    return f"{counts} in {first.seconds + second.seconds:.2f}s"


def judge(outcome: Outcome) -> int:
    if outcome.status == PASSED and outcome.counts.get("skipped"):
        # a test may only skip for a missing browser, and here it is not missing
        print("a test was skipped", file=sys.stderr)
        return FAILED
    return outcome.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
