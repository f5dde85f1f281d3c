"""The whole path on a real ERP and a real mailing list: answers that get lost, and systems that go away."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from crm_master import entrypoints
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine.attempt import LEASE
from tests.e2e.stage import ERP, LIST, PARTIES, SUBSCRIBERS, Customer, Deploy, Hub, Stage

pytestmark = pytest.mark.e2e


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
