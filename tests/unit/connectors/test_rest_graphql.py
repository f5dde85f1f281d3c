"""What a GraphQL API needs of the REST kind: bodies with variables, errors inside a success, a token in a header."""

import json
from datetime import UTC, datetime

import pytest
import responses

from connectors.contract import Refused, Scan, Unknown, WriteCommand, Written
from connectors.errors import BadConfiguration, BadCredentials
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.yamlfile import ConfigurationMistakes

URL = "http://shop.test/graphql"
MANIFEST = """
system: shop
kind: rest
title: Shop
http: {message: [errors.0.message, data.done.message]}
auth:
  kind: session
  login:
    call: POST /graphql
    body: {query: "mutation { done: login }", variables: {user: "{login}", password: "{password}"}}
    token_header: x-token
faults:
  - {status: 200, at: errors.0.message, matches: no rights, then: bad_credentials}
  - {status: 200, at: errors.0.message, then: refused}
  - {status: 200, at: data.done.errorCode, then: refused}
streams:
  customers:
    key: {at: id}
    types: {name: text, addresses.city: text}
    read:
      call: POST /graphql
      body: {query: "{ list }", variables: {take: "{size}", skip: "{offset}"}}
      records: data.list
      paging: {by: offset, size: 1, total: data.total}
    fetch: {call: POST /graphql, body: {query: "{ one }", variables: {keys: "{keys}"}}, records: data.list, batch: 9}
    children: {addresses: {key: id}}
    writes:
      create:
        - call: POST /graphql
          body: {query: create, variables: {input: {name: "", own: {ref: "{correlation}"}}}}
          into: variables.input
          send: [name, own]
          key_at: data.done.id
      update:
        - call: POST /graphql
          body: {query: update, variables: {input: {id: "{key}"}}}
          into: variables.input
          send: [name, own]
        - call: POST /graphql
          each: created addresses
          body: {query: address, variables: {input: {city: "{change.city}", country: "{change.country.code}"}}}
          defaults: {change.country.code: BE}
        - call: POST /graphql
          each: updated addresses
          body: {query: address, variables: {input: {id: "{id}", city: "{change.city}", street: "{change.street}"}}}
"""


@pytest.fixture
def web():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(URL, json={"data": {"done": {"ok": True}}}, headers={"x-token": "t1"})
        yield mock


@pytest.fixture
def shop():
    connection = Connection("http://shop.test", "u", "p")
    return open_system(load_manifest(MANIFEST), connection, lambda: datetime.now(UTC))


def _sent(web):
    return [json.loads(call.request.body) for call in web.calls]


def _inputs(web):
    return [body["variables"]["input"] for body in _sent(web) if "input" in body["variables"]]


def _update(before, after):
    return WriteCommand("w", "customers", "7", {"id": "7"} | before, {"id": "7"} | after, "CRM-1")


def test_the_token_of_a_login_is_taken_from_a_header(shop, web):
    web.post(URL, json={"data": {"list": [], "total": 0}})
    assert list(shop.read("customers", None, Scan.FULL))[-1].complete
    login, listing = web.calls
    assert json.loads(login.request.body)["variables"] == {"user": "u", "password": "p"}
    assert listing.request.headers["Authorization"] == "Bearer t1"


def test_pages_are_asked_for_in_the_variables_of_a_body(shop, web):
    web.post(URL, json={"data": {"list": [{"id": "1"}], "total": 2}})
    web.post(URL, json={"data": {"list": [{"id": "2"}], "total": 2}})
    pages = list(shop.read("customers", None, Scan.FULL))
    assert [record.key for page in pages for record in page.records] == ["1", "2"]
    assert [body["variables"] for body in _sent(web)[1:]] == [
        {"take": 1, "skip": 0},
        {"take": 1, "skip": 1},
    ]


def test_an_error_inside_a_success_is_no_empty_listing(shop, web):
    web.post(URL, json={"data": None, "errors": [{"message": "Cannot do that"}]})
    with pytest.raises(BadConfiguration, match="Cannot do that"):
        list(shop.read("customers", None, Scan.FULL))


def test_refused_credentials_inside_a_success_are_renewed_once(shop, web):
    web.post(URL, json={"errors": [{"message": "no rights"}]})
    web.post(URL, json={"data": {}}, headers={"x-token": "t2"})
    web.post(URL, json={"errors": [{"message": "no rights"}]})
    with pytest.raises(BadCredentials):
        list(shop.read("customers", None, Scan.FULL))
    assert [call.request.headers.get("Authorization") for call in web.calls] == [
        None,
        "Bearer t1",
        None,
        "Bearer t2",
    ]


def test_an_error_that_is_a_value_is_told_in_the_systems_words(shop, web):
    web.post(URL, json={"data": {"done": {"errorCode": "X", "message": "Not that Ada"}}})
    (outcome,) = shop.write([_update({"name": "Eva"}, {"name": "Ada"})])
    assert isinstance(outcome, Refused)
    assert "Not that …" in outcome.reason


def test_an_answer_that_cannot_be_read_may_be_an_error(shop, web):
    web.post(URL, body="<html>")
    (outcome,) = shop.write([_update({"name": "Eva"}, {"name": "Ada"})])
    assert isinstance(outcome, Unknown)


def test_changed_keys_go_into_their_place_beside_what_the_template_holds(shop, web):
    web.post(URL, json={"data": {"done": {"id": "9"}}})
    web.post(URL, json={"data": {"list": [{"id": "9"}]}})
    create = WriteCommand("w", "customers", None, {}, {"own": {"consent": True}}, "CRM-1")
    (outcome,) = shop.write([create])
    assert isinstance(outcome, Written)
    assert _inputs(web) == [{"name": "", "own": {"consent": True, "ref": "CRM-1"}}]


def test_what_is_emptied_is_an_empty_text_where_the_manifest_says_so(shop, web):
    web.post(URL, json={"data": {"list": [{"id": "7"}]}})
    before = {"name": "Ada", "addresses": [{"id": 1, "city": "Gent", "street": "M"}]}
    shop.write([_update(before, {"name": None, "addresses": [{"id": 1}]})])
    assert _inputs(web) == [{"id": "7", "name": ""}, {"id": 1, "city": "", "street": None}]


def test_a_slot_without_a_value_has_its_default(shop, web):
    web.post(URL, json={"data": {"list": [{"id": "7"}]}})
    children = [{"city": "Gent"}, {"city": "Köln", "country": {"code": "DE"}}]
    shop.write([_update({"addresses": []}, {"addresses": children})])
    assert _inputs(web) == [{"city": "Gent", "country": "BE"}, {"city": "Köln", "country": "DE"}]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("token_header: x-token", "token_header: x-token\n    token: t", "both `token`"),
        ("    token_header: x-token\n", "", "neither `token`"),
        ("into: variables.input", "into: variables.imput", "`into: variables.imput`"),
        ("{change.country.code: BE}", "{chance.country.code: BE}", "{chance.country.code}"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_runs(old, new, found):
    with pytest.raises(ConfigurationMistakes) as mistakes:
        load_manifest(MANIFEST.replace(old, new, 1))
    assert found in str(mistakes.value)
