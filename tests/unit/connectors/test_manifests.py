"""Manifests: every mistake at once, with its place and what is allowed."""

import json

import jsonschema
import pytest
import yaml

from connectors.registry import KINDS, SHIPPED, load_manifest, manifest_schema
from connectors.runtime.loader import ManifestError
from connectors.testing import Profile

PARAMS = {"tryton": {"database": "d"}, "mailman": {"list": "l.example.org"}}
GOOD = """\
system: shop
kind: rest
title: Shop
params:
  size: {about: Rows., default: 50}
  tenant: {about: Whose., required: true}
http: {base: "/${tenant}/api"}
streams:
  customers:
    key: {at: id}
    read:
      call: GET /customers
      query: {n: "{size}"}
      paging: {by: page, size: "${size}"}
    fetch: {call: "GET /customers/{key}"}
"""


def _size(manifest):
    return manifest.streams["customers"].read.paging.size


def _problems(text, params=None):
    with pytest.raises(ManifestError) as caught:
        load_manifest(text, {"tenant": "t"} if params is None else params)
    return [str(problem) for problem in caught.value.problems]


def test_params_are_filled_in_with_their_types():
    manifest = load_manifest(GOOD, {"tenant": "acme"})
    assert manifest.http.base == "/acme/api"
    assert _size(manifest) == 50
    assert _size(load_manifest(GOOD, {"tenant": "a", "size": 7})) == 7


def test_all_mistakes_come_at_once_with_line_and_what_is_allowed():
    text = GOOD.replace("title: Shop", "titel: Shop").replace("by: page", "by: pages")
    text = text.replace("key: {at: id}", "key: {at: id, type: number}")
    problems = _problems(text)
    assert len(problems) == 4
    assert "line 3, titel: is not known here; did you mean 'title'?" in problems[1]
    assert any(line.startswith("line 10, streams.customers.key.type") for line in problems)
    assert any("'keyset'" in line and line.startswith("line 14") for line in problems)


def test_an_unknown_key_deep_inside_names_its_neighbours():
    (problem,) = _problems(GOOD.replace("paging: {by: page,", "paging: {by: page, sise: 3,"))
    assert "did you mean 'size'?" in problem
    assert "short_page_ends" in problem


def test_params_that_are_missing_unknown_or_undeclared():
    problems = _problems(GOOD.replace("${size}", "${sise}"), {"tenent": "x"})
    assert any("'tenent' is no param; size, tenant are" in line for line in problems)
    assert any(line.startswith("line 6, params.tenant: is required") for line in problems)
    assert any("line 14" in line and "${sise} is not declared" in line for line in problems)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{key}", "{kay}", "fetch uses {kay}; its slots are key, keys"),
        ("call: GET /customers\n", "call: FETCH /customers\n", "should match pattern"),
        ("kind: rest", "kind: carrier-pigeon", "must be one of rest"),
        ("title: Shop", "title: Shop\ntitle: Again", "is there twice"),
        ("title: Shop", "title: [Shop", "line"),
        ("title: Shop", "title: !!python/name:os.system x", "unknown tag"),
        ("key: {at: id}", "guard: etag\n    key: {at: id}", "guard etag needs `etag`"),
        ("      paging", "      delta: {query: {}}\n      paging", "needs `stamp`"),
        ("kind: rest", "kind: rest\nauth: {kind: session}", "needs it"),
        ("kind: rest", 'kind: rest\nfaults: [{status: 400, matches: "(", then: retry}]', "regular"),
    ],
)
def test_a_mistake_is_told(old, new, says):
    assert any(says in problem for problem in _problems(GOOD.replace(old, new)))


def test_a_step_may_only_name_declared_children():
    writes = "    writes: {update: [{call: POST /x, each: created phones}]}\n"
    assert any("declare (none)" in problem for problem in _problems(GOOD + writes))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_manifests_load_and_fit_their_schema(path):
    manifest = load_manifest(path, PARAMS[path.stem])
    assert manifest.system == path.stem
    jsonschema.validate(yaml.safe_load(path.read_text()), manifest_schema(manifest.kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_schema(kind):
    schema = manifest_schema(kind)
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema)))
    assert schema["additionalProperties"] is False


def test_the_simulators_manifest_fits_the_schema():
    for paging in ("keyset", "page", "offset", "next"):
        text = Profile(paging=paging, children=("phones",), etag=True).manifest()
        jsonschema.validate(yaml.safe_load(text), manifest_schema("rest"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path / "none.yaml")
