"""docker-compose.yml, as far as it can be checked without an engine."""

from typing import Any

import yaml

from tests.support.paths import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MONGO = COMPOSE["services"]["mongo"]


def test_mongodb_is_a_replica_set_of_one_that_its_health_check_founds() -> None:
    name = MONGO["command"][MONGO["command"].index("--replSet") + 1]
    check = MONGO["healthcheck"]["test"]
    assert check[:2] == ["CMD", "mongosh"]
    assert f"rs.initiate({{_id: '{name}'" in check[-1]
    assert "isWritablePrimary" in check[-1]


def test_mongodb_is_reached_from_this_machine_only_and_under_the_address_it_tells_drivers() -> None:
    [port] = MONGO["ports"]
    assert port == "127.0.0.1:27017:27017"
    assert "host: '127.0.0.1:27017'" in MONGO["healthcheck"]["test"][-1]


def test_data_outlives_the_container() -> None:
    [volume] = MONGO["volumes"]
    name, _, path = volume.partition(":")
    assert path == "/data/db"
    assert name in COMPOSE["volumes"]
