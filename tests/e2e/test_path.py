"""The whole path on a real ERP (Tryton) and a real mailing list (Mailman), every call counted on the way.

What counts as a write is decided by the proxies: every method but GET, HEAD and OPTIONS, except Mailman's searches by POST.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from crm_master import entrypoints
from crm_master.domain.lifecycle import TaskKind
from examples.demo.seed import Seeded, seed
from tests.e2e.stage import ERP, LIST, PARTIES, SUBSCRIBERS, Customer, Deploy, Hub, Stage

pytestmark = pytest.mark.e2e


# --- bootstrap -------------------------------------------------------------------------------


def test_filled_systems_join_by_preview_and_approval(stage: Stage, deploy: Deploy) -> None:
    seeded = seed(stage.erp, stage.lists, number=11, tryton=20, mailman=16, both=10, duplicates=2)
    hub = deploy(join="ask")

    hub.sync()
    hub.sync()
    assert stage.writes == [], "nothing is written before somebody approves"
    shown = entrypoints.preview(hub.app)
    assert shown["systems"] == [ERP, LIST]
    assert shown["in_several_systems"]["customer"] >= len(seeded.in_both)
    assert stage.writes == [], "a preview is no approval"

    assert entrypoints.approve(hub.app)["approved"] == [ERP, LIST]
    ran = hub.sync()

    assert ran[f"deliver {ERP}"].get("updated", 0) == shown["updates"].get(PARTIES, 0) > 0
    assert ran[f"deliver {LIST}"].get("updated", 0) == shown["updates"].get(SUBSCRIBERS, 0) > 0
    assert ran[f"deliver {LIST}"].get("created", 0) == shown["creates"].get(SUBSCRIBERS, 0) > 0
    assert dict(stage.to_erp.written) == {
        "PUT /peers/rest/model/party.party/{}": shown["updates"][PARTIES]
    }
    called = stage.to_list.written
    assert called["POST /members"] == shown["creates"][SUBSCRIBERS]
    assert called["PATCH /users/{}"] == shown["fields"][f"{SUBSCRIBERS}.name"]
    assert called["PATCH /members/{}"] == shown["fields"].get(f"{SUBSCRIBERS}.email", 0)
    _assert_linked_without_duplicates(stage, hub, seeded)
    hub.assert_at_rest()


def _assert_linked_without_duplicates(stage: Stage, hub: Hub, seeded: Seeded) -> None:
    """Whoever is in both is one customer; whoever is in one is created only where policy says."""
    customers: dict[int, str] = {}
    for person in seeded.people:
        addresses = [email for email in (person.email, person.second_email) if email]
        users = {stage.user_id(email) for email in addresses if stage.owner.user(email)}
        party = seeded.parties.get(person.number)
        if party is None:
            assert not any(stage.parties_of(email) for email in addresses), "nobody is made there"
            (user,) = users
            customers[person.number] = hub.show(f"{SUBSCRIBERS}/{user}")["customer"]
            continue
        shown = hub.show(f"{PARTIES}/{party}")
        customers[person.number] = shown["customer"]
        on_list = [r["record"] for r in shown["records"] if r["record"].startswith(SUBSCRIBERS)]
        assert on_list == [f"{SUBSCRIBERS}/{user}" for user in users]
        if person.number not in seeded.members:
            consent = shown["fields"].get("consent_email", {"value": {}})["value"]
            agreed = consent.get("status") == "granted"
            assert len(users) == agreed, "on the list are those who agreed"
    assert len(set(customers.values())) == len(seeded.people)
    for number, party in seeded.duplicates.items():
        (task,) = hub.tasks(TaskKind.MATCH, f"{PARTIES}/{party}")
        assert task["entities"] == [customers[number]], "entered twice: a person is asked"


# --- from one system to the other --------------------------------------------------------------


def test_phone_and_email_changed_in_the_erp_arrive_where_they_are_mapped(
    stage: Stage, hub: Hub, known: Customer
) -> None:
    _, new = stage.nobody()
    stage.clerk.change_phone(known.party, "0475 12 34 56")
    stage.clerk.change_email(known.party, new)
    hub.sync()

    golden = hub.golden(known.in_erp)
    assert (golden["phone"], golden["email"]) == ("+32475123456", new)
    member = stage.owner.member(new)
    assert member is not None
    assert member["member_id"] == known.member, "the same membership, under another address"
    assert stage.user_id(new) == known.user
    assert stage.owner.user(known.email) is None
    assert stage.to_erp.writes == [], "nothing goes back to where it came from"
    hub.assert_at_rest()


def test_a_phone_alone_costs_no_write_anywhere(stage: Stage, hub: Hub, known: Customer) -> None:
    stage.clerk.change_phone(known.party, "02 555 00 11")
    hub.sync()
    assert hub.golden(known.on_list)["phone"] == "+3225550011"
    assert stage.writes == [], "the list holds no phones"
    hub.assert_at_rest()


def test_name_and_unsubscription_of_the_list_arrive_in_the_erp(
    stage: Stage, hub: Hub, known: Customer
) -> None:
    assert hub.golden(known.in_erp)["consent_email"]["status"] == "granted"
    begin = datetime.now(UTC)
    stage.owner.rename(known.email, "Storia Nuova")
    stage.owner.unsubscribe(known.email)
    hub.sync()

    card = stage.clerk.card(known.party)
    assert (card.name, card.newsletter) == ("Storia Nuova", False)
    consent = hub.golden(known.in_erp)["consent_email"]
    assert consent["status"] == "denied"
    assert begin < datetime.fromisoformat(consent["at"]) < datetime.now(UTC)
    (claim,) = [c for c in hub.show(known.in_erp)["fields"]["consent_email"]["claims"] if c["wins"]]
    assert claim["record"] == known.on_list
    assert stage.to_list.writes == []
    assert stage.owner.member(known.email) is None
    hub.assert_at_rest()
    assert stage.owner.member(known.email) is None, "nobody is put back on the list"


# --- both sides edit one field -------------------------------------------------------------------
VARIANTS: Mapping[str, tuple[Any, str]] = {
    "side by side, rank decides": ("most_recent", ERP),
    "the list has priority": ({"rule": "source_priority", "order": [LIST, ERP]}, LIST),
    "the erp has priority": ({"rule": "source_priority", "order": [ERP, LIST]}, ERP),
    "the erp owns the field": ({"rule": "owner", "owner": ERP}, ERP),
    "the list owns the field": ({"rule": "owner", "owner": LIST}, LIST),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_edits_between_two_syncs_are_decided_by_policy(
    variant: str, stage: Stage, deploy: Deploy
) -> None:
    policy, winner = VARIANTS[variant]
    hub = deploy(policies={"name": policy})
    customer = stage.customer()
    hub.sync()

    stage.owner.rename(customer.email, "Written Onthelist")
    stage.clerk.rename(customer.party, "Written Intheerp")
    hub.sync()
    _assert_decided(stage, hub, customer, winner)
    hub.assert_at_rest()


@pytest.mark.parametrize("later", [ERP, LIST])
def test_of_two_edits_with_reads_between_them_the_later_wins(
    later: str, stage: Stage, hub: Hub, known: Customer
) -> None:
    edits = {
        LIST: lambda: stage.owner.rename(known.email, "Written Onthelist"),
        ERP: lambda: stage.clerk.rename(known.party, "Written Intheerp"),
    }
    edits[ERP if later == LIST else LIST]()
    entrypoints.ingest(hub.app, ERP, "parties")
    entrypoints.ingest(hub.app, LIST, "subscribers")
    edits[later]()
    hub.sync()
    _assert_decided(stage, hub, known, later)
    hub.assert_at_rest()


def _assert_decided(stage: Stage, hub: Hub, customer: Customer, winner: str) -> None:
    """The winner's name is everywhere, and the other edit is on record."""
    names = {ERP: "Written Intheerp", LIST: "Written Onthelist"}
    records = {ERP: customer.in_erp, LIST: customer.on_list}
    loser = LIST if winner == ERP else ERP
    assert stage.clerk.card(customer.party).name == names[winner]
    assert stage.list_name(customer.email) == names[winner]

    (task,) = hub.tasks(TaskKind.REVERTED, f"{records[loser]}:name")
    assert task["lost"] == names[loser]
    shown = hub.show(customer.in_erp)["fields"]["name"]
    assert (shown["value"], shown["rule"]) == (names[winner], task["rule"])
    claims = {claim["record"]: claim for claim in shown["claims"]}
    assert claims[records[winner]]["wins"]
    assert not claims[records[loser]]["wins"]
    assert claims[records[loser]]["value"] == names[loser]
    assert all(claim["run"] and claim["between"][1] for claim in claims.values())


def test_a_contested_field_waits_for_a_person_and_goes_everywhere_then(
    stage: Stage, deploy: Deploy
) -> None:
    hub = deploy(policies={"name": "manual"})
    customer = stage.customer()
    hub.sync()
    hub.sync()  # what was seen only once may have been edited before the hub had its first version
    stage.forget_calls()

    stage.owner.rename(customer.email, "Written Onthelist")
    stage.clerk.rename(customer.party, "Written Intheerp")
    hub.sync()
    hub.sync()
    assert stage.writes == [], "neither written nor put back while it is contested"
    assert hub.golden(customer.in_erp)["name"] == customer.name, "what both had seen"
    assert hub.show(customer.in_erp)["fields"]["name"]["withheld"]
    verdict = entrypoints.verify(hub.app)
    assert verdict.converged
    waiting = {found.record for found in verdict.differences if found.excepted}
    assert waiting >= {customer.in_erp, customer.on_list}, "what is withheld is listed"
    hub.assert_rebuilt()

    about = f"{hub.show(customer.in_erp)['customer']}:name"
    (task,) = hub.tasks(TaskKind.CONFLICT, about)
    with pytest.raises(entrypoints.EXPECTED, match=customer.on_list):  # the answers it takes
        entrypoints.decide(hub.app, task["id"], "nonsense", "steward")
    status, _ = hub.concord("conflicts", "decide", str(task["id"]), customer.on_list)
    assert status == 0
    hub.sync()
    assert stage.clerk.card(customer.party).name == "Written Onthelist"
    assert stage.list_name(customer.email) == "Written Onthelist"
    assert stage.to_list.writes == []
    assert hub.tasks(TaskKind.CONFLICT, about) == []
    (claim,) = [c for c in hub.show(customer.in_erp)["fields"]["name"]["claims"] if c["wins"]]
    assert claim["by"] == "steward"
    hub.assert_at_rest()


# --- verify ------------------------------------------------------------------------------------


def test_verify_names_what_differs_and_why(stage: Stage, hub: Hub, known: Customer) -> None:
    assert entrypoints.verify(hub.app).converged
    stage.owner.rename(known.email, "Written Byhand")
    status, said = hub.concord("verify")
    assert status == 1
    assert f"{known.on_list} name: edited in the system since it was last read" in " ".join(
        said.split()
    )
    assert "Not converged." in said
    assert "Byhand" not in said, "values are not shown"

    hub.sync()
    status, said = hub.concord("verify", "--json")
    assert (status, '"converged": true' in said) == (0, True)
    hub.assert_at_rest()


# --- the instrument -----------------------------------------------------------------------------


def test_a_search_by_post_changes_nothing(stage: Stage) -> None:
    """Why POST /members/find does not count as a write."""
    customer = stage.customer()
    data = stage.lists.workdir / "var" / "mailman.db"
    before = data.read_bytes()
    assert stage.owner.member(customer.email) is not None
    assert data.read_bytes() == before
    stage.owner.rename(customer.email, "Written Byhand")
    assert data.read_bytes() != before, "a write would have been seen"
