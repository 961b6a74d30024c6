import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import layout
from schema import dialect
from tests.support.paths import DATA

DUMP = DATA / "clearml-backend" / "task.jsonl"
TASKS = [json.loads(line) for line in DUMP.read_text().splitlines()]

names = st.text() | st.text(alphabet="_%.$2E4 a")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.b", "a%2Eb"),
        ("$x", "%24x"),
        ("pa__ram1", "pa%_%_ram1"),
        ("_x", "%_x"),
        ("__x", "%_%_x"),
        ("___", "%_%__"),
        ("100%", "100%%"),
        ("a%2Eb", "a%%2Eb"),
        ("%_", "%%_"),
        ("a_b", "a_b"),
        (" a b ", "a b"),
        ("η", "η"),
    ],
)
def test_a_name_is_escaped_as_clearml_does(name: str, key: str) -> None:
    """Names become the keys that a ClearML server makes of them."""
    assert key == layout.escape(name)


@pytest.mark.slow
@given(names.filter(str.strip))
def test_escaping_loses_surrounding_blanks_only(name: str) -> None:
    """A key leads back to its name and has nothing in it that a path would stumble over."""
    key = layout.escape(name)

    assert name.strip() == layout.unescape(key)
    assert not set(".$") & set(key)
    assert not key.startswith("_")


@given(st.text(alphabet="_%.$2E4a"))
def test_any_key_can_be_unescaped(key: str) -> None:
    """A key that no escaping made is still shown."""
    assert len(layout.unescape(key)) <= len(key)


@pytest.mark.parametrize("name", ["", " ", "\t\n"])
def test_an_empty_name_is_no_key(name: str) -> None:
    """A name needs more than blanks."""
    with pytest.raises(ValueError, match="empty"):
        layout.escape(name)


def test_two_names_must_not_become_one_key() -> None:
    """Names that differ by blanks only are refused together, so that neither is lost."""
    with pytest.raises(ValueError, match="same key"):
        layout.escape_keys({"a": 1, " a": 2})


def test_metric_and_artifact_keys() -> None:
    """Names are hashed as ClearML hashes them."""
    assert layout.hash_name("M") == "69691c7bdcc3ce6d5d8a1361f22d04ac"
    assert layout.hash_name("") == "d41d8cd98f00b204e9800998ecf8427e"
    assert layout.build_artifact_key("report", "output") == "e98d2f001da5678b39482efbdf5770dc_output"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task["_id"])
def test_the_keys_of_a_real_server_are_ours(task: dict[str, Any]) -> None:
    """In documents of a ClearML 2.3 server every hash and every escaped key is the one that we make."""
    for metric, variants in task["last_metrics"].items():
        for variant, kept in variants.items():
            assert (layout.hash_name(kept["metric"]), layout.hash_name(kept["variant"])) == (metric, variant)
    for section, items in task["hyperparams"].items():
        for key, item in items.items():
            assert (layout.escape(item["section"]), layout.escape(item["name"])) == (section, key)
            assert layout.unescape(key) == item["name"]


def test_artifacts_become_a_map() -> None:
    """An artifact without a mode is an output, and a later one replaces its like."""
    artifacts = [{"key": "a", "uri": "1"}, {"key": "a", "mode": "input"}, {"key": "a", "uri": "2"}]

    assert layout.build_artifact_map(artifacts) == {
        layout.build_artifact_key("a", "output"): {"key": "a", "uri": "2", "mode": "output"},
        layout.build_artifact_key("a", "input"): {"key": "a", "mode": "input"},
    }


def test_stored_hyperparameters_win_over_legacy_ones() -> None:
    """What is only in the flat map of an older server is shown beside what is newer."""
    stored = {"Args": {"a%2Eb": {"section": "Args", "name": "a.b", "value": "1"}}}
    legacy = {"c": 2, "a.b": 3, "TF_DEFINE/x": 4}

    assert layout.read_hyperparams(stored, legacy) == {
        "Args": {"c": {"section": "Args", "name": "c", "value": "2", "type": "legacy"}, **stored["Args"]},
        "TF_DEFINE": {"x": {"section": "TF_DEFINE", "name": "x", "value": "4", "type": "legacy"}},
    }


@pytest.mark.parametrize("new", [None, {}, [], "text", 5])
def test_legacy_parameters_are_shown_as_hyperparameters(new: Any) -> None:
    """Legacy values become texts in the section Args, or TF_DEFINE where the name says so."""
    legacy = {"lr": 0.1, "none": None, "a.b": [1], "TF_DEFINE/x": "y", " ": 1, "TF_DEFINE/": 2}

    assert layout.read_hyperparams(new, legacy) == {
        "Args": {
            "lr": {"section": "Args", "name": "lr", "value": "0.1", "type": "legacy"},
            "none": {"section": "Args", "name": "none", "value": None, "type": "legacy"},
            "a%2Eb": {"section": "Args", "name": "a.b", "value": None, "type": "legacy"},
        },
        "TF_DEFINE": {"x": {"section": "TF_DEFINE", "name": "x", "value": "y", "type": "legacy"}},
    }


def test_hyperparameters_of_a_wrong_type_are_passed_over() -> None:
    """A section or item that is no object hides itself only."""
    stored = {"good": {"a": {"value": "1"}, "b": 5, "c": None}, "bad": [1], "empty": {}}

    assert layout.read_hyperparams(stored, None) == {"good": {"a": {"value": "1"}}, "empty": {}}


def test_models_of_the_new_shape() -> None:
    """The execution's model is the first input with an id, the output's model the last output with one."""
    items = ["x", None, {"name": "no id"}, {"model": 5}, {"model": ""}, {"model": "a"}, {"model": "b"}, {"model": None}]

    assert layout.read_first_model(items, "legacy") == "a"
    assert layout.read_last_model(items, "legacy") == "b"
    assert layout.read_model_items(items, "legacy") == items[2:]


@pytest.mark.parametrize("items", [None, [], {}, "text", ["x"]])
def test_models_of_the_older_shape(items: Any) -> None:
    """Where no model items are stored, the older single id speaks."""
    assert layout.read_first_model(items, "m") == layout.read_last_model(items, "m") == "m"
    assert layout.read_model_items(items, "m") == [{"model": "m"}]


@pytest.mark.parametrize("legacy", [None, "", 5, {}])
def test_no_model_at_all(legacy: Any) -> None:
    """An empty or ill-typed id is no model."""
    assert layout.read_first_model([], legacy) is None
    assert layout.read_last_model(None, legacy) is None
    assert layout.read_model_items(None, legacy) == []


@given(values, values)
def test_readers_accept_every_stored_value(new: Any, legacy: Any) -> None:
    """No stored value makes a reader fail."""
    assert isinstance(layout.read_hyperparams(new, legacy), dict)
    assert isinstance(layout.read_first_model(new, legacy), str | None)
    assert isinstance(layout.read_last_model(new, legacy), str | None)
    assert isinstance(layout.read_model_items(new, legacy), list)


def test_every_reader_and_writer_of_the_schema_is_in_the_tables() -> None:
    """The annotations x-read and x-write name a row of READERS and WRITERS, and every row can be named."""
    assert sorted(layout.READERS) == sorted(dialect.LAYOUT_READERS)
    assert sorted(layout.WRITERS) == sorted(dialect.LAYOUT_WRITERS)
