"""An ERP (Tryton), a mailing list (Mailman) and a web shop (Vendure) in step, every call counted on the way.

What counts as a write at the shop: every mutation but the login.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import mappings
from crm_master.domain.lifecycle import TaskKind
from examples import peers
from tests.e2e.shop_stage import CUSTOMERS, SHOP, ShopStage
from tests.e2e.stage import ERP, LIST, Hub, deployed

pytestmark = pytest.mark.e2e
WITH_EMAIL = {"when": {"email": "present"}}


@pytest.fixture(scope="module")
def stage(
    module_tryton: peers.Tryton, module_mailman: peers.Mailman, module_vendure: peers.Vendure
) -> Iterator[ShopStage]:
    with ShopStage(module_tryton, module_mailman, module_vendure) as found:
        yield found


@pytest.fixture
def hub(stage: ShopStage, tmp_path: Path) -> Iterator[Hub]:
    with deployed(stage, tmp_path / "hub", create_in_erp=WITH_EMAIL) as found:
        yield found


def test_three_systems_that_know_some_of_each_other_come_to_agree(
    stage: ShopStage, hub: Hub
) -> None:
    (everywhere, in_erp, in_shop) = (stage.nobody() for _ in range(3))
    party = stage.party(*everywhere, newsletter=True)
    stage.owner.subscribe(everywhere[1], everywhere[0])
    first, last = everywhere[0].split()
    card = stage.seller.add(first, last, everywhere[1].upper(), phoneNumber="02/555.98.76")
    other = stage.party(*in_erp)
    buyer = stage.seller.add(
        "Ada", "King Noel", in_shop[1], customFields={"newsletterConsent": True}
    )
    home = {"streetLine1": "Kerkstraat 1", "city": "Gent", "postalCode": "9000"}
    stage.seller.add_address(buyer, **home, defaultShippingAddress=True)

    hub.sync()
    hub.sync()

    assert (
        hub.show(f"{CUSTOMERS}/{card}")["customer"]
        == hub.show(f"{ERP}/parties/{party}")["customer"]
    )
    made = stage.seller.card(in_erp[1])
    assert f"{made['firstName']} {made['lastName']}" == in_erp[0]
    customer = hub.show(f"{ERP}/parties/{other}")["customer"]
    assert made["customFields"]["concordKey"] == f"CRM-{customer}"
    (bought,) = stage.parties_of(in_shop[1])
    shown = stage.clerk.card(bought)
    assert (shown.name, shown.city, shown.newsletter) == ("Ada King Noel", "Gent", True)
    assert stage.list_name(in_shop[1]) == "Ada King Noel", "who agrees in the shop is on the list"
    assert stage.owner.user(in_erp[1]) is None
    for _, email in (everywhere, in_erp, in_shop):
        assert len(stage.parties_of(email)) == len(stage.seller.cards(email)) == 1
    hub.assert_at_rest()


def test_an_edit_anywhere_arrives_in_the_two_others(stage: ShopStage, hub: Hub) -> None:
    customer = stage.customer()
    hub.sync()
    card = stage.seller.card(customer.email)
    hub.assert_at_rest()

    stage.clerk.rename(customer.party, "Written Intheerp")
    hub.sync()
    assert stage.to_erp.writes == []
    assert dict(stage.to_shop.written) == {"POST /admin-api/mutation/updateCustomer": 1}
    renamed = stage.seller.card(customer.email)
    assert (renamed["firstName"], renamed["lastName"]) == ("Written", "Intheerp")
    assert stage.list_name(customer.email) == "Written Intheerp"
    hub.assert_at_rest()

    stage.seller.edit(card["id"], lastName="Intheshop")
    hub.sync()
    assert stage.to_shop.writes == [], "nothing goes back to where it came from"
    assert stage.clerk.card(customer.party).name == "Written Intheshop"
    assert stage.list_name(customer.email) == "Written Intheshop"
    hub.assert_at_rest()

    stage.owner.unsubscribe(customer.email)
    hub.sync()
    assert not stage.clerk.card(customer.party).newsletter
    assert stage.seller.card(customer.email)["customFields"]["newsletterConsent"] is False
    hub.assert_at_rest()


def test_an_address_edited_in_the_shop_alone_arrives_in_the_erp(stage: ShopStage, hub: Hub) -> None:
    """Though the shop moves no change time for it."""
    customer = stage.customer()
    hub.sync()
    card = stage.seller.card(customer.email)
    home = {"streetLine1": "Kerkstraat 1", "city": "Gent", "postalCode": "9000"}
    address = stage.seller.add_address(card["id"], **home, defaultShippingAddress=True)
    hub.sync()
    assert stage.clerk.card(customer.party).city == "Gent"
    hub.assert_at_rest()

    stage.seller.edit_address(address, city="Namur")
    hub.sync()
    assert stage.clerk.card(customer.party).city == "Namur"
    assert stage.to_shop.writes == []
    hub.assert_at_rest()


@pytest.mark.parametrize("loses", ["answer", "request"])
def test_a_create_in_the_shop_whose_answer_is_lost_happens_once(
    loses: str, stage: ShopStage, hub: Hub
) -> None:
    hub.sync()
    name, email = stage.nobody()
    stage.party(name, email)
    stage.forget_calls()
    lost = r"mutation/createCustomer$"
    stage.to_shop.lose("answer" if loses == "answer" else "request", "POST", lost)
    assert hub.sync()[f"deliver {SHOP}"]["unknown"] == 1
    assert len(stage.seller.cards(email)) == (loses == "answer")

    hub.restart()
    hub.clock.pass_by(5)
    hub.sync()
    stage.seller.card(email)
    creates = stage.to_shop.written["POST /admin-api/mutation/createCustomer"]
    assert creates == (1 if loses == "answer" else 2)
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.assert_at_rest()


def test_a_shop_that_is_away_stops_nothing_but_its_own_deliveries(
    stage: ShopStage, hub: Hub
) -> None:
    customer = stage.customer()
    hub.sync()
    stage.clerk.rename(customer.party, "Meanwhile Renamed")
    with stage.to_shop.down():
        ran = hub.concord("sync")
    assert ran[0] != 0, "somebody is told"
    assert stage.list_name(customer.email) == "Meanwhile Renamed"
    assert LIST in ran[1]
    for _ in range(100):  # what was put off is due some seconds later
        hub.sync()
        if stage.seller.card(customer.email)["lastName"] == "Renamed":
            break
    else:
        pytest.fail("what was put off is not delivered")
    hub.assert_at_rest()


@pytest.fixture
def places(stage: ShopStage, tmp_path: Path) -> Iterator[Hub]:
    """A deployment in which the ERP and the shop keep the same parts of all further addresses."""
    members = "each: {postal_code: postal_code, city: city, street: street}"
    further = f"  other_addresses: {{at: addresses, many: rest, {members}}}\n"
    for name in ("tryton/parties", "vendure/customers"):
        shipped = (Path(mappings.__file__).parent / f"{name}.yaml").read_text(encoding="utf-8")
        own = tmp_path / "hub" / "mappings" / f"{name}.yaml"
        own.parent.mkdir(parents=True)
        if name == "tryton/parties":
            text = shipped.rstrip("\n") + "\n" + further
        else:
            text = shipped.replace(", region: province, country: country.code}", "}", 1)
            assert "each: {street: streetLine1, postal_code: postalCode, city: city}" in text
        own.write_text(text, encoding="utf-8")
    with deployed(stage, tmp_path / "hub", create_in_erp=WITH_EMAIL) as found:
        yield found


def test_a_further_address_that_is_edited_keeps_its_id_everywhere(
    stage: ShopStage, places: Hub
) -> None:
    """And with its id what its system keeps beside it, which no mapping speaks of."""
    hub, customer = places, stage.customer()
    hub.sync()
    card = stage.seller.card(customer.email)
    home = {"streetLine1": "Kerkstraat 1", "city": "Gent", "postalCode": "9000"}
    work = {"streetLine1": "Rue Haute 2", "city": "Namur", "postalCode": "5000"}
    stage.seller.add_address(card["id"], **home, defaultShippingAddress=True)
    further = stage.seller.add_address(
        card["id"], **work, company="Works", defaultShippingAddress=False
    )
    hub.sync()
    (_, there) = stage.addresses(customer.party)
    assert there["street"] == "Rue Haute 2"
    stage.edit_address(there["id"], party_name="The works")
    hub.assert_at_rest()

    stage.seller.edit_address(further, streetLine1="Rue Haute 22")
    hub.sync()
    assert stage.addresses(customer.party)[1] == {
        **there,
        "street": "Rue Haute 22",
        "party_name": "The works",
    }
    hub.restart()
    hub.assert_at_rest()

    stage.edit_address(there["id"], street="Rue Haute 222")
    stage.to_shop.lose("answer", "POST", r"mutation/updateCustomerAddress$")
    hub.sync()
    hub.clock.pass_by(5)
    hub.sync()
    shown = {one["id"]: one for one in stage.seller.card(customer.email)["addresses"]}
    assert (shown[further]["streetLine1"], shown[further]["company"]) == ("Rue Haute 222", "Works")
    assert len(shown) == 2
    hub.assert_at_rest()
