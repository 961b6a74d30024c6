"""Small requests that ask for much take little memory of MongoDB."""

from pathlib import Path

import pytest

from tests.bench.memory import measure

pytestmark = pytest.mark.slow

TASKS = 10_000
TEXT = 100  # characters in each
MAX_GROWTH = 300  # MB; the first attack alone took 1,100 MB before pages by number had a bound


def test_no_small_request_takes_much_memory_of_mongodb(tmp_path: Path) -> None:
    measured = list(measure(tmp_path, TASKS, TEXT))
    assert len(measured) == 5
    assert measured[0].answer == measured[1].answer == "LIMIT_EXCEEDED"
    assert max(row.peak for row in measured) - measured[0].before < MAX_GROWTH
