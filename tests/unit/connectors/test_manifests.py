"""Manifests: every mistake at once, with its place and what is allowed."""

import json
from typing import Any

import jsonschema
import pytest

from connectors.registry import KINDS, SHIPPED, load_manifest, manifest_schema
from connectors.runtime.manifest import HttpManifest
from connectors.testing import Profile
from connectors.yamlfile import ConfigurationMistakes, read_tree

PARAMS: dict[str, dict[str, Any]] = {
    "tryton": {"database": "d"},
    "mailman": {"list": "l.example.org"},
    "sympa": {"list": "l", "user": "u@example.org"},
    "request_tracker": {
        f"{name}_field": 1 for name in ("key", "number", "channel", "kind", "reply")
    },
}
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


def _query(text):
    manifest: Any = load_manifest(text, {"tenant": "t"})
    return manifest.streams["customers"].read.query


def _mistakes(text, params=None):
    with pytest.raises(ConfigurationMistakes) as caught:
        load_manifest(text, {"tenant": "t"} if params is None else params)
    return caught.value.mistakes


def test_params_are_filled_in_with_their_types():
    manifest = load_manifest(GOOD, {"tenant": "acme"})
    assert isinstance(manifest, HttpManifest)
    assert manifest.http.base == "/acme/api"
    assert _size(manifest) == 50
    assert _size(load_manifest(GOOD, {"tenant": "a", "size": 7})) == 7


def test_all_mistakes_come_at_once_with_line_and_what_is_allowed():
    text = GOOD.replace("title: Shop", "titel: Shop").replace("by: page", "by: pages")
    text = text.replace("key: {at: id}", "key: {at: id, type: number}")
    paging = "streams.customers.read.paging"
    assert [(m.line, m.path, m.found, m.do) for m in _mistakes(text)] == [
        (1, "title", "nothing", "Add 'title'."),
        (3, "titel", "unknown key 'titel'", "Did you mean 'title'?"),
        (10, "streams.customers.key.type", "'number'", ""),
        (14, f"{paging}.by", "'pages'", "Did you mean 'page'?"),
    ]
    assert "'keyset'" in _mistakes(text)[-1].allowed


def test_a_mistake_has_the_form_of_any_other_configuration_mistake():
    (mistake,) = _mistakes(GOOD.replace("{key}", "{kay}"))
    assert str(mistake) == (
        "<text>:15: streams.customers.fetch: the slot {kay}; allowed: key, keys. Did you mean 'key'?"
    )


def test_an_unknown_key_deep_inside_names_its_neighbours():
    (mistake,) = _mistakes(GOOD.replace("paging: {by: page,", "paging: {by: page, sise: 3,"))
    assert mistake.do == "Did you mean 'size'?"
    assert "short_page_ends" in mistake.allowed


def test_params_that_are_missing_unknown_or_undeclared():
    found = _mistakes(GOOD.replace("${size}", "${sise}"), {"tenent": "x"})
    assert [(m.line, m.path, m.found) for m in found] == [
        (4, "params.tenent", "the parameter 'tenent'"),
        (6, "params.tenant", "nothing"),
        (14, "streams.customers.read.paging.size", "the parameter 'sise'"),
    ]
    assert found[0].allowed == "size, tenant"
    assert "hub.yaml" in found[1].do


def test_mistakes_of_params_hide_no_others():
    text = GOOD.replace("${size}", "${sise}").replace("key: {at: id}", "key: {at: id, typ: text}")
    assert [m.line for m in _mistakes(text.replace("title:", "titel:"), {})] == [1, 3, 6, 10, 14]


def test_a_manifest_is_read_in_the_dialect_of_every_other_file():
    text = GOOD.replace('{n: "{size}"}', "{active: no, flag: on, at: 12:30, since: 2026-01-31}")
    assert _query(text) == {
        "active": "no",
        "flag": "on",
        "at": "12:30",
        "since": "2026-01-31",
    }


def test_a_param_within_a_text_is_written_as_a_request_has_it():
    text = GOOD.replace("{about: Rows., default: 50}", "{about: Rows., default: true}")
    text = text.replace('n: "{size}"', 'n: "-${size}-"').replace(', size: "${size}"', "")
    assert _query(text) == {"n": "-true-"}


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("{key}", "{kay}", 15, "the slot {kay}; allowed: key, keys"),
        ("call: GET /customers\n", "call: FETCH /customers\n", 12, "allowed: a method and a path"),
        ("kind: rest", "kind: carrier-pigeon", 2, "kind: 'carrier-pigeon'; allowed: rest"),
        ("kind: rest\n", "", 1, "the required key 'kind'"),
        ("title: Shop", "title: Shop\ntitle: Again", 4, "'title' again (first in line 3)"),
        ("title: Shop", "title: [Shop", 4, "no valid YAML"),
        ("title: Shop", "title: !!python/name:os.system x", 3, "the tag 'tag:yaml.org"),
        ("key: {at: id}", "guard: etag\n    key: {at: id}", 10, "allowed: with `etag`"),
        ("      paging", "      delta: {query: {}}\n      paging", 14, "allowed: with `stamp`"),
        ("    fetch:", '    deletions: {call: GET /gone, key: {at: id}, at: "on"}\n    fetch:', 15,
         "allowed: with `read.delta`"),
        ("kind: rest", "kind: rest\nauth: {kind: session}", 3, "kind session without `login`"),
        ("kind: rest", "kind: rest\nauth: {kind: header}", 3, "kind header without `value`"),
        ("kind: rest", 'kind: rest\nfaults: [{status: 400, matches: "(", then: retry}]', 3,
         "faults[0].matches: '('; allowed: a regular expression"),
        ("default: 50", "default: 50, required: true", 5, "a required param with a default"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(old, new, line, says):
    (mistake,) = _mistakes(GOOD.replace(old, new), {"tenant": "t", "size": 3})
    assert mistake.line == line
    assert says in str(mistake)


def test_what_all_kinds_share_is_looked_at_even_if_the_kind_is_unknown():
    text = GOOD.replace("kind: rest", "kind: rset").replace("title: Shop", "title: [Shop]")
    assert [(m.line, m.path, m.do) for m in _mistakes(text)] == [
        (2, "kind", "Did you mean 'rest'?"),
        (3, "title", ""),
    ]


def test_a_list_is_no_manifest():
    (mistake,) = _mistakes("- system: shop\n- kind: rest\n", {})
    assert str(mistake) == "<text>:1: file: a list; allowed: a mapping"


def test_a_step_may_only_name_declared_children():
    writes = "    writes: {update: [{call: POST /x, each: created phones, nested: {mails: {}}}]}\n"
    found = _mistakes(GOOD + writes)
    assert {m.found for m in found} == {"the children 'phones'", "the children 'mails'"}
    assert {m.path for m in found} == {"streams.customers.writes.update[0]"}
    assert {m.allowed for m in found} == {"none: `children` declares none"}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_manifests_load_and_fit_their_schema(path):
    manifest = load_manifest(path, PARAMS.get(path.stem, {}))
    assert manifest.system == path.stem
    jsonschema.validate(read_tree(path).data, manifest_schema(manifest.kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_schema(kind):
    schema = manifest_schema(kind)
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema)))
    assert schema["additionalProperties"] is False


def test_the_simulators_manifest_fits_the_schema():
    for paging in ("keyset", "page", "offset", "next"):
        text = Profile(paging=paging, children=("phones",), etag=True).manifest()
        jsonschema.validate(read_tree(text).data, manifest_schema("rest"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationMistakes, match=r"none\.yaml:1: file: no such file"):
        load_manifest(tmp_path / "none.yaml")


def test_rule_23_a_write_that_could_outlast_its_lease_is_refused():
    """Its turn 30, the connection 5, then three times 90 seconds: by then another worker may have taken over."""
    slow = GOOD.replace('http: {base: "/${tenant}/api"}', "http: {read_timeout: 90}")
    [mistake] = _mistakes(slow)
    assert (mistake.path, mistake.allowed) == ("http", "at most 300")
    assert "305 seconds" in mistake.found
    load_manifest(slow.replace("90", "88"), {"tenant": "t"})
