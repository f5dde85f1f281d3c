"""A configuration file is right, or says everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from connectors.yamlfile import ConfigurationMistakes, Configured, load_model, read_tree


class Auth(Configured):
    kind: str
    timeout: int = 10


class System(Configured):
    name: str
    auth: Auth
    paths: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)


def mistakes(text: str) -> list[tuple[int, str]]:
    with pytest.raises(ConfigurationMistakes) as caught:
        load_model(text, System)
    return [(mistake.line, mistake.path) for mistake in caught.value.mistakes]


def test_a_right_file_is_a_frozen_model_that_knows_its_lines():
    system = load_model("name: erp\nauth:\n  kind: basic\n  timeout: 5\n", System, name="erp.yaml")
    assert system.auth == Auth(kind="basic", timeout=5)
    assert system.origin.file == "erp.yaml"
    assert system.origin.line(("auth", "timeout")) == 4


def test_every_mistake_is_reported_at_once_with_its_line():
    text = "nmae: erp\nauth:\n  kind: [basic]\n  timeot: 3\npaths: none\n"
    assert mistakes(text) == [
        (1, "name"),
        (1, "nmae"),
        (3, "auth.kind"),
        (4, "auth.timeot"),
        (5, "paths"),
    ]


def test_an_unknown_key_names_the_allowed_keys_and_the_nearest():
    with pytest.raises(ConfigurationMistakes) as caught:
        load_model("name: a\nauth: {kind: b, timeot: 3}\n", System)
    (mistake,) = caught.value.mistakes
    assert mistake.found == "unknown key 'timeot'"
    assert mistake.allowed == "kind, timeout"
    assert mistake.do == "Did you mean 'timeout'?"


def test_a_key_given_twice_is_a_mistake():
    assert mistakes("name: a\nauth: {kind: b}\nname: c\n") == [(3, "name")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("12:30", "12:30"),
        ("2026-01-31", "2026-01-31"),
        ("012", 12),
        ("1_000", "1_000"),
        ("true", True),
        ("~", None),
        ("1.50", 1.5),
        ("'7'", "7"),
    ],
)
def test_scalars_are_read_as_they_look(written: str, read: Any):
    assert read_tree(f"a: {written}").data == {"a": read}


def test_keys_are_text_as_written():
    assert read_tree("{yes: 1, no: 2, true: 3, 7: 4}").data == {
        "yes": 1,
        "no": 2,
        "true": 3,
        "7": 4,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [1",
        "a: !!python/object:os.system x",
        "a: &x [*x]",
        "? [a]\n: b",
        "a: 1\n---\nb: 2",
        "\x00",
    ],
    ids=["empty", "syntax", "tag", "endless alias", "list as key", "two documents", "NUL"],
)
def test_what_is_no_plain_content_is_one_mistake_and_no_crash(text: str):
    with pytest.raises(ConfigurationMistakes):
        read_tree(text)


def test_a_missing_file_is_a_mistake_that_names_it(tmp_path: Path):
    with pytest.raises(ConfigurationMistakes, match=r"hub\.yaml:1: file: no such file"):
        load_model(tmp_path / "hub.yaml", System)


def test_a_value_that_may_be_a_secret_is_not_quoted():
    class Connection(Configured):
        password: int

    with pytest.raises(ConfigurationMistakes) as caught:
        load_model("password: hunter2", Connection)
    assert "hunter2" not in str(caught.value)
