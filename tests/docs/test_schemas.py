"""`concord schemas` writes what editors need, and the schemas take every file that ships."""

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from connectors.yamlfile import read_tree
from crm_master import cli

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "hub": ["examples/demo/hub/hub.yaml"],
    "policy": ["mappings/policies/customer.yaml", "examples/demo/hub/policies/customer.yaml"],
    "entity": ["mappings/entities/customer.yaml"],
    "mapping": [
        "mappings/tryton/parties.yaml",
        "mappings/mailman/subscribers.yaml",
        "mappings/backoffice/customers.yaml",
        "mappings/callcentre/customers.yaml",
    ],
    "manifest-files": ["connectors/systems/callcentre.yaml"],
    "manifest-soap": ["connectors/systems/backoffice.yaml"],
    "manifest-rest": ["connectors/systems/tryton.yaml", "connectors/systems/mailman.yaml"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("schemas") / "made" / "by it"
    result = CliRunner().invoke(cli.app, ["schemas", str(target)])
    assert result.exit_code == 0, result.output
    return target


def _schema(folder, kind):
    return json.loads((folder / f"{kind}.schema.json").read_text(encoding="utf-8"))


def test_every_kind_of_file_has_one(folder):
    assert {path.name for path in folder.iterdir()} == {f"{kind}.schema.json" for kind in SHIPPED}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in SHIPPED.items() for name in names]
)
def test_a_shipped_file_is_valid(folder, kind, name):
    schema = _schema(folder, kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    data = read_tree(ROOT / name).data
    problems = [
        f"{'.'.join(map(str, error.path))}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(data)
    ]
    assert not problems


@pytest.mark.parametrize("kind", SHIPPED)
def test_an_unknown_key_is_refused(folder, kind):
    data = read_tree(ROOT / SHIPPED[kind][0]).data | {"surprise": 1}
    assert not jsonschema.Draft202012Validator(_schema(folder, kind)).is_valid(data)


def test_the_list_can_be_read_by_scripts(tmp_path):
    result = CliRunner().invoke(cli.app, ["schemas", str(tmp_path), "--json"])
    written = json.loads(result.stdout)["written"]
    assert sorted(map(str, tmp_path.iterdir())) == sorted(written)
