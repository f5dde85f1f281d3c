"""The shipped Vendure manifest against a real Vendure."""

import copy
import itertools
from datetime import UTC, datetime

import pytest

from connectors.contract import Gone, Refused, Scan, Stale, WriteCommand, Written
from connectors.errors import BadCredentials
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.peers import VendureClient

pytestmark = pytest.mark.e2e
_numbers = itertools.count(1)


def _now():
    return datetime.now(UTC)


def _open(shop, password=None):
    connection = Connection(shop.url, shop.user_name, password or shop.password)
    return open_system(load_manifest(SHIPPED / "vendure.yaml", {"page_size": 2}), connection, _now)


@pytest.fixture
def shop(module_vendure):
    system = _open(module_vendure)
    yield system
    system.close()


@pytest.fixture(scope="module")
def admin(module_vendure):
    return VendureClient(module_vendure)


def _create(**after):
    number = next(_numbers)
    after = {"emailAddress": f"shop{number}@example.org"} | after
    return WriteCommand("w", "customers", None, {}, after, f"CRM-{number}")


def _update(record, **changes):
    after = copy.deepcopy(record.document) | changes
    return WriteCommand("w", "customers", record.key, record.document, after, "CRM-0")


def _made(shop, **after):
    (outcome,) = shop.write([_create(**after)])
    assert isinstance(outcome, Written), outcome
    assert outcome.record is not None
    return outcome.record


def _scan(shop):
    pages = list(shop.read("customers", None, Scan.FULL))
    assert pages[-1].complete
    return {record.key: record for page in pages for record in page.records}


HOME = {"streetLine1": "Main St 1", "city": "Gent", "country": {"code": "BE"}}


def test_a_check_tells_a_wrong_password(shop, module_vendure):
    assert shop.check("customers").ok
    stranger = _open(module_vendure, "wrong")
    assert "login and password" in stranger.check("customers").detail
    with pytest.raises(BadCredentials):
        list(stranger.read("customers", None, Scan.FULL))
    stranger.close()


def test_a_token_that_is_no_longer_good_is_fetched_anew(shop):
    _made(shop)
    shop._transport._auth._token = "gone"
    assert isinstance(shop.write([_create(firstName="Ada")])[0], Written)
    shop._transport._auth._token = "gone"
    assert _scan(shop)


def test_a_customer_is_made_with_addresses_and_found_by_its_correlation_key(shop):
    command = _create(
        title="Dr",
        firstName="Zoé",
        lastName="O'Brien",
        phoneNumber="+32 2 555 01 01",
        customFields={"newsletterConsent": True},
        addresses=[HOME | {"defaultShippingAddress": True}, {"city": "Namur"}],
    )
    (first,) = shop.write([command])
    document = first.record.document
    assert (document["firstName"], document["lastName"]) == ("Zoé", "O'Brien")
    assert document["customFields"] == {
        "concordKey": command.correlation,
        "newsletterConsent": True,
    }
    home, other = document["addresses"]
    assert (home["city"], home["defaultShippingAddress"]) == ("Gent", True)
    assert (other["city"], other["streetLine1"]) == ("Namur", "")
    assert other["country"] == {"code": "BE"}, "the default that the deployment names"
    assert "updatedAt" not in document
    assert list(shop.find("customers", command)) == [first.record]
    assert _scan(shop)[first.key] == first.record
    (second,) = shop.write([command])
    assert second == Written(first.key, first.record, existed=True)


def test_whoever_has_the_address_already_is_bound_and_no_second_one_made(shop, admin):
    command = _create(firstName="Ada")
    made = admin(
        "mutation($input: CreateCustomerInput!)"
        " { createCustomer(input: $input) { ... on Customer { id } } }",
        input={
            "firstName": "",
            "lastName": "Entered by hand",
            "emailAddress": command.after["emailAddress"],
        },
    )["createCustomer"]
    before = _scan(shop).keys()
    (outcome,) = shop.write([command])
    assert (outcome.key, outcome.existed) == (made["id"], True)
    assert _scan(shop).keys() == before


def test_only_what_differs_is_written_and_addresses_one_by_one(shop, admin):
    record = _made(
        shop,
        firstName="Ada",
        phoneNumber="+32 2 555 01 01",
        addresses=[HOME | {"streetLine2": "Box 2"}, {"city": "Namur"}],
    )
    # somebody edits what the hub does not write, between its look and its write
    admin(
        'mutation($id: ID!) { updateCustomer(input: {id: $id, lastName: "Byhand"})'
        " { ... on Customer { id } } }",
        id=record.key,
    )
    home, other = copy.deepcopy(record.document["addresses"])
    home |= {"city": "Brussels", "streetLine2": None}
    addresses = [home, HOME | {"city": "Liège"}]
    changes = {"firstName": "Augusta", "phoneNumber": None, "addresses": addresses}
    (outcome,) = shop.write([_update(record, **changes)])
    held = outcome.record.document
    assert (held["firstName"], held["lastName"]) == ("Augusta", "Byhand")
    assert held["phoneNumber"] is None
    kept, added = held["addresses"]
    assert (kept["id"], kept["city"], kept["streetLine2"]) == (home["id"], "Brussels", "")
    assert kept["streetLine1"] == "Main St 1"
    assert added["city"] == "Liège"
    assert other["id"] not in {kept["id"], added["id"]}
    assert shop.fetch("customers", [record.key])[record.key] == outcome.record


def test_an_address_edited_alone_is_seen_and_moves_the_stamp(shop, admin):
    """Its customer's own time stays: a delta by that time would not show the edit, so there is none."""
    record = _made(shop, addresses=[HOME])
    (address,) = record.document["addresses"]
    query = "query($id: ID!) { customer(id: $id) { updatedAt } }"
    own = admin(query, id=record.key)
    admin(
        'mutation($id: ID!) { updateCustomerAddress(input: {id: $id, city: "Alone"}) { id } }',
        id=address["id"],
    )
    seen = _scan(shop)[record.key]
    assert seen.document["addresses"][0]["city"] == "Alone"
    assert seen.stamp > record.stamp
    assert admin(query, id=record.key) == own


def test_an_address_that_went_away_meanwhile_makes_the_write_stale(shop, admin):
    record = _made(shop, addresses=[HOME])
    (address,) = copy.deepcopy(record.document["addresses"])
    admin("mutation($id: ID!) { deleteCustomerAddress(id: $id) { success } }", id=address["id"])
    assert shop.write([_update(record, addresses=[address | {"city": "Late"}])]) == [Stale()]
    (outcome,) = shop.write([_update(record, addresses=[])])
    assert outcome.record.document["addresses"] == [], "what is gone need not be removed"


def test_a_deleted_customer_is_gone(shop):
    record = _made(shop, firstName="Gone")
    delete = WriteCommand("w", "customers", record.key, record.document, {}, "CRM-0")
    assert isinstance(shop.write([delete])[0], Written)
    assert shop.fetch("customers", [record.key]) == {record.key: None}
    assert shop.write([_update(record, firstName="Back")]) == [Gone()]
    assert isinstance(shop.write([delete])[0], Written)
    assert record.key not in _scan(shop)


def test_what_the_shop_refuses_is_refused_without_repeating_it(shop):
    taken = _made(shop)
    record = _made(shop, firstName="Ada")
    wrong = HOME | {"country": {"code": "XX"}}
    (refused,) = shop.write([_update(record, addresses=[wrong])])
    assert isinstance(refused, Refused)
    assert "not recognized" in refused.reason
    assert "XX" not in refused.reason
    (conflict,) = shop.write([_update(record, emailAddress=taken.document["emailAddress"])])
    assert isinstance(conflict, Refused)
    assert taken.document["emailAddress"] not in conflict.reason
    (nobody,) = shop.write([WriteCommand("w", "customers", None, {}, {"firstName": "A"}, "CRM-x")])
    assert isinstance(nobody, Refused)
