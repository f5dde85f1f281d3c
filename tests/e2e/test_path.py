"""The whole path on a real ERP (Tryton) and a real mailing list (Mailman), every call counted on the way.

What counts as a write is decided by the proxies: every method but GET, HEAD and OPTIONS, except Mailman's searches by POST.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crm_master import entrypoints
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine.attempt import LEASE
from examples import peers
from examples.demo.seed import Seeded, seed
from tests.e2e.stage import ERP, LIST, PARTIES, SUBSCRIBERS, Customer, Hub, Stage, deployed

pytestmark = pytest.mark.e2e

Deploy = Callable[..., Hub]


@pytest.fixture(scope="module")
def stage(module_tryton: peers.Tryton, module_mailman: peers.Mailman) -> Iterator[Stage]:
    with Stage(module_tryton, module_mailman) as found:
        yield found


@pytest.fixture
def deploy(stage: Stage, tmp_path: Path) -> Iterator[Deploy]:
    """Makes the test's hub."""
    opened: list[Any] = []

    def make(**options: Any) -> Hub:
        context = deployed(stage, tmp_path / "hub", **options)
        opened.append(context)
        return context.__enter__()

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def hub(deploy: Deploy) -> Hub:
    """A hub with the policies that ship, which nobody has used yet."""
    return deploy()


@pytest.fixture
def known(stage: Stage, hub: Hub) -> Customer:
    """A customer in both systems, whom the hub knows."""
    customer = stage.customer()
    hub.sync()
    stage.forget_calls()
    return customer


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


# --- answers that get lost, systems that go away ---------------------------------------------------


def _agreed(stage: Stage) -> tuple[int, str]:
    """A party of the clerk's with consent, whom the list does not know."""
    name, email = stage.nobody()
    return stage.party(name, email, newsletter=True), email


def _subscriptions(stage: Stage) -> int:
    return stage.to_list.written["POST /members"]


def test_a_customer_with_consent_is_put_on_the_list_once(stage: Stage, hub: Hub) -> None:
    hub.sync()
    party, email = _agreed(stage)
    stage.forget_calls()
    assert hub.sync()[f"deliver {LIST}"]["created"] == 1
    assert dict(stage.to_list.written) == {"POST /members": 1}
    assert stage.to_erp.writes == []
    records = hub.show(f"{PARTIES}/{party}")["records"]
    made = {record["record"]: record["made_by"] for record in records}
    assert made[f"{SUBSCRIBERS}/{stage.user_id(email)}"] == "hub"
    hub.assert_at_rest()


@pytest.mark.parametrize("loses", ["answer", "request"])
def test_a_create_on_the_list_whose_answer_is_lost_happens_once(
    loses: str, stage: Stage, hub: Hub
) -> None:
    hub.sync()
    party, email = _agreed(stage)
    stage.forget_calls()
    stage.to_list.lose("answer" if loses == "answer" else "request", "POST", r"/members$")
    assert hub.sync()[f"deliver {LIST}"]["unknown"] == 1
    assert (stage.owner.member(email) is not None) == (loses == "answer")

    hub.restart()
    hub.clock.pass_by(5)
    hub.sync()
    assert _subscriptions(stage) == (1 if loses == "answer" else 2)
    _assert_made_once(stage, hub, party, email)


def test_a_create_on_the_list_survives_the_death_of_its_process(stage: Stage, hub: Hub) -> None:
    hub.sync()
    party, email = _agreed(stage)
    hub.read()
    stage.forget_calls()
    victims: queue.Queue[Any] = queue.Queue()
    stage.to_list.lose("answer", "POST", r"/members$", then=lambda: victims.get().kill())
    with hub.command("deliver", LIST) as process:
        victims.put(process)
        process.communicate(timeout=60)
    assert process.returncode == -9
    assert not stage.to_list.losing

    hub.restart()
    hub.sync()
    assert _subscriptions(stage) == 1, "its lease is not over: nobody else touches it"
    hub.clock.pass_by(LEASE / 1_000_000 + 5)
    hub.sync()
    assert _subscriptions(stage) == 1
    _assert_made_once(stage, hub, party, email)


def _assert_made_once(stage: Stage, hub: Hub, party: int, email: str) -> None:
    """One member, one user, linked to the party as the hub's own; no dead user, no second customer."""
    shown = hub.show(f"{PARTIES}/{party}")
    on_list = [r for r in shown["records"] if r["record"].startswith(SUBSCRIBERS)]
    found = [(r["record"], r["made_by"]) for r in on_list]
    assert found == [(f"{SUBSCRIBERS}/{stage.user_id(email)}", "hub")]
    assert stage.owner.member(email) is not None
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    assert hub.tasks(TaskKind.MATCH, SUBSCRIBERS) == []
    hub.assert_at_rest()


@pytest.mark.parametrize("loses", ["answer", "request"])
def test_a_create_in_the_erp_is_found_again_by_its_correlation_key(
    loses: str, stage: Stage, deploy: Deploy
) -> None:
    hub = deploy(create_in_erp="everybody")
    hub.sync()
    name, email = stage.nobody()
    stage.owner.subscribe(email, name)
    stage.forget_calls()
    stage.to_erp.lose("answer" if loses == "answer" else "request", "POST", r"/party\.party")
    assert hub.sync()[f"deliver {ERP}"]["unknown"] == 1
    assert len(stage.parties_of(email)) == (loses == "answer")

    hub.restart()
    hub.clock.pass_by(5)
    hub.sync()
    (party,) = stage.parties_of(email)
    shown = hub.show(f"{PARTIES}/{party}")
    assert stage.parties_coded(f"CRM-{shown['customer']}") == [party]
    assert sorted(r["record"] for r in shown["records"]) == sorted(
        [f"{PARTIES}/{party}", f"{SUBSCRIBERS}/{stage.user_id(email)}"]
    )
    assert stage.to_erp.written["POST /peers/rest/model/party.party"] == 1 + (loses == "request")
    assert stage.clerk.card(party).newsletter
    hub.sync()  # reads what the ERP has put there by itself
    hub.assert_at_rest()


def test_an_update_whose_answer_is_lost_is_looked_at_and_not_repeated(
    stage: Stage, hub: Hub, known: Customer
) -> None:
    stage.owner.rename(known.email, "Written Onthelist")
    stage.to_erp.lose("answer", "PUT", r"/party\.party/")
    hub.sync()
    assert stage.clerk.card(known.party).name == "Written Onthelist"
    hub.restart()
    hub.clock.pass_by(5)
    hub.sync()
    assert sum(stage.to_erp.written.values()) == 1
    hub.assert_at_rest()


def test_a_system_that_is_down_loses_nothing_and_stops_nobody_else(
    stage: Stage, hub: Hub, known: Customer
) -> None:
    other = stage.customer()
    hub.sync()
    stage.clerk.rename(known.party, "Written Intheerp")
    stage.owner.rename(other.email, "Written Onthelist")
    hub.read()
    with stage.to_list.down():
        counts = entrypoints.deliver(hub.app, LIST).counts
        assert (counts["postponed"], counts.get("updated", 0)) == (1, 0)
        assert entrypoints.deliver(hub.app, ERP).counts["updated"] == 1
        assert stage.clerk.card(other.party).name == "Written Onthelist"
        outbox = entrypoints.status(hub.app)["systems"][LIST]["outbox"]
        assert outbox == {"pending": 1}
    assert stage.list_name(known.email) == known.name
    verdict = entrypoints.verify(hub.app)
    assert dict(verdict.reasons) == {"a delivery is waiting": 1}

    hub.clock.pass_by(5)
    hub.sync()
    assert stage.list_name(known.email) == "Written Intheerp"
    hub.assert_at_rest()


def test_a_round_with_one_system_down_does_the_rest_and_says_so(
    stage: Stage, hub: Hub, known: Customer
) -> None:
    stage.clerk.rename(known.party, "Written Intheerp")
    stage.clerk.change_phone(known.party, "02 555 00 22")
    with stage.to_list.down():
        with pytest.raises(entrypoints.EXPECTED, match="nothing answers"):
            hub.sync()
        assert hub.golden(known.in_erp)["phone"] == "+3225550022"
    hub.clock.pass_by(5)
    hub.sync()
    assert stage.list_name(known.email) == "Written Intheerp"
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
