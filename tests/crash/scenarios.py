"""What is played: small scenarios that together pass every boundary of the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import yaml

from connectors.testing import Profile
from crm_master import entrypoints
from tests.crash.errands import fulls
from tests.crash.stage import Scenario
from tests.defects.hub import LEASE, Hub
from tests.hubs import FIELDS, files_for

SLOW = Profile(answers=False)
BY_MAIL = Profile(keys="email")
BLIND = Profile(find=False)
IMPATIENT = Profile(attempts=1, longest_wait=0)
NO_FUSE = {"deletes": 1, "links": 1, "writes": 1, "floor": 1000}


def policy(**more: Any) -> Callable[[dict[str, str]], None]:
    """The customer's policy file with more in it."""

    def edit(files: dict[str, str]) -> None:
        content = yaml.safe_load(files["policies/customer.yaml"]) | more
        files["policies/customer.yaml"] = yaml.safe_dump(content)

    return edit


def erases(files: dict[str, str]) -> None:
    """Concord deletes what an erased customer has in the crm."""
    content = yaml.safe_load(files["hub.yaml"])
    content["systems"]["crm"]["erase"] = "delete"
    files["hub.yaml"] = yaml.safe_dump(content)


def emails(hub: Hub, system: str) -> list[str]:
    return sorted(record["email"] for record in hub.systems[system].records.values())


def people(*numbers: int) -> list[str]:
    return [f"p{number}@example.org" for number in numbers]


def known(hub: Hub, *numbers: int, system: str = "shop") -> None:
    for number in numbers:
        hub.systems[system].add(name=f"P{number}", email=f"p{number}@example.org")


def at_rest(hub: Hub, *numbers: int) -> None:
    """These people are in the shop, and the hub has made them in the other systems."""
    known(hub, *numbers)
    hub.sync()
    hub.sync(later=LEASE * 2)


def tried(hub: Hub, verb: Callable[[], Any]) -> None:
    with suppress(entrypoints.RunFailed, entrypoints.SyncFailed, *entrypoints.EXPECTED):
        verb()


def in_both(*numbers: int) -> Callable[[Hub], None]:
    def expect(hub: Hub) -> None:
        assert emails(hub, "shop") == emails(hub, "crm") == people(*numbers)

    return expect


def values(hub: Hub, name: str) -> dict[str, list[Any]]:
    """A field of everybody, in each system, by address."""
    found: dict[str, list[Any]] = {}
    for system in hub.systems.values():
        for record in system.records.values():
            found.setdefault(record["email"], []).append(record[name] or "")
    return found


# --- the scenarios ---------------------------------------------------------------------------


def first_sight(hub: Hub) -> None:
    known(hub, 1, 2, 3)
    known(hub, 3, 4, system="crm")
    hub.shop.edit("3", phone="02 555 01 01")
    hub.crm.edit("1", city="Ghent")
    hub.clock.sleep(3600)  # no delta shows by chance what a first read has missed


def edits(hub: Hub) -> None:
    at_rest(hub, 1, 2)
    hub.shop.edit("1", city="Ghent", name="P1 senior")
    hub.crm.edit(hub.key_of("crm", name="P1"), phone="+32 2 555 02 02", note="called")
    hub.crm.edit(hub.key_of("crm", name="P2"), name="P2 junior")


def edited(hub: Hub) -> None:
    assert values(hub, "city") == {"p1@example.org": ["Ghent"] * 2, "p2@example.org": [""] * 2}
    assert values(hub, "note")["p1@example.org"] == ["called"] * 2
    assert values(hub, "name")["p2@example.org"] == ["P2 junior"] * 2


def lost_answers(hub: Hub) -> None:
    at_rest(hub, 1)
    known(hub, 2, 3)
    hub.shop.edit("1", city="Ghent")
    hub.crm.fail_next("reset", methods={"POST"}, after=True)
    hub.crm.fail_next("reset", methods={"POST"})
    hub.crm.fail_next("reset", methods={"PATCH"}, after=True)
    tried(hub, hub.sync)
    hub.clock.sleep(2 * LEASE)


def unwanted(hub: Hub) -> None:
    """Somebody is deleted while nobody knows whether they were made elsewhere: they were not."""
    at_rest(hub, 1)
    known(hub, 2)
    hub.crm.fail_next("reset", methods={"POST"})
    tried(hub, hub.sync)
    hub.shop.remove("2")
    hub.clock.sleep(2 * LEASE)


def unconfirmed(hub: Hub) -> None:
    """A record was made, and nobody has seen yet as what."""
    at_rest(hub, 1)
    known(hub, 2)
    hub.ingest("shop")
    hub.reconcile()
    hub.crm.fail_next(503, methods={"GET"}, times=2)
    hub.deliver("crm")


def no_search(hub: Hub) -> None:
    lost_answers(hub)
    known(hub, 4)


def moved(hub: Hub) -> None:
    at_rest(hub, 1, 2)
    hub.shop.edit("1", email="p3@example.org")
    hub.crm.fail_next("reset", methods={"PATCH"}, after=True)
    tried(hub, hub.sync)
    hub.clock.sleep(2 * LEASE)


def waiting(hub: Hub) -> None:
    """A create and an update wait for the crm."""
    at_rest(hub, 1)
    hub.shop.edit("1", city="Ghent")
    known(hub, 2)
    hub.ingest("shop")
    hub.reconcile()


def busy(hub: Hub) -> None:
    waiting(hub)
    hub.crm.fail_next(503, methods={"GET"})


def locked_out(hub: Hub) -> None:
    waiting(hub)
    hub.crm.fail_next(403, methods={"GET"})


def garbled(hub: Hub) -> None:
    at_rest(hub)
    known(hub, 1)
    hub.crm.fail_next("reset", methods={"POST"}, after=True)
    tried(hub, hub.sync)
    hub.clock.sleep(2 * LEASE)
    hub.crm.fail_next("garbage", methods={"GET"}, times=9)


def deadly(hub: Hub) -> None:
    waiting(hub)
    for _ in range(4):
        with hub.app.store() as uow:
            uow.outbox.claim("crm", 20, hub.clock(), LEASE * 1_000_000, 9)
            uow.commit()
        hub.clock.sleep(2 * LEASE)


def strangers(hub: Hub) -> None:
    hub.shop.add(name="Ada", email="p1@example.org", phone="02 555 01 01")
    hub.crm.add(name="Ada", email="p2@example.org", city="Ghent")
    hub.sync()
    hub.sync(later=2 * LEASE)


def merged(hub: Hub) -> None:
    assert hub.customers() == 1


def mistaken(hub: Hub) -> None:
    hub.shop.add(name="Ada", email="p1@example.org", phone="02 555 01 01")
    hub.crm.add(name="Ada", email="p1@example.org", city="Ghent")
    hub.sync()
    hub.sync(later=2 * LEASE)


def parted(hub: Hub) -> None:
    assert hub.customers() == 2
    assert not hub.shop.field("1", "city")
    assert not hub.crm.field("1", "phone")


def questions(hub: Hub) -> Mapping[str, Any]:
    hub.shop.add(name="P1", email="p1@example.org", phone="02 555 01 01")
    hub.crm.add(name="P1", email="p1@example.org", phone="02 555 02 02")
    hub.sync()
    hub.sync(later=2 * LEASE)
    return {"conflict": "crm/customers/1"}


def decided(hub: Hub) -> None:
    assert hub.shop.field("1", "phone").replace(" ", "").endswith("25550202")


def changed_files(hub: Hub) -> Mapping[str, Any]:
    known(hub, 1, 2, 3)
    hub.crm.add(name="Nameless")
    for key in ("1", "2", "3"):
        hub.shop.edit(key, note=f"n{key}", status=f"s{key}")
    hub.sync()
    hub.sync(later=2 * LEASE)
    swapped = {**FIELDS, "owner": "status", "website": "note"}
    files = files_for(
        hub.systems, options={"create": hub.create}, mappings={"shop": swapped, "crm": FIELDS}
    )
    policy(fuses=NO_FUSE | {"writes": 0, "floor": 1})(files)
    return {"files": files}


def applied(hub: Hub) -> None:
    assert {record["note"] for record in hub.crm.records.values()} == {"", "s1", "s2", "s3"}
    assert {record["note"] for record in hub.shop.records.values()} == {"n1", "n2", "n3"}


def fuses(hub: Hub) -> None:
    """Everybody turns up in the crm as well, and is to get a telephone there."""
    at_rest(hub, 1, 2, 3)
    known(hub, 1, 2, 3, system="crm")
    for key in ("1", "2", "3"):
        hub.shop.edit(key, city="Ghent")


def all_linked(hub: Hub) -> None:
    assert values(hub, "city") == {name: ["Ghent", "Ghent"] for name in people(1, 2, 3)}


def deletions(hub: Hub) -> Mapping[str, Any]:
    at_rest(hub, 1, 2, 3, 4)
    for key in ("1", "2"):
        hub.shop.remove(key)
    return {"fulls": fulls(hub.app)}


def erasure(hub: Hub) -> Mapping[str, Any]:
    at_rest(hub, 1, 2, 5)
    receipt = entrypoints.erase(hub.app, "shop/customers/1", "ada")
    (hub.folder / "erasure.key").rename(hub.folder / "moved.key")
    return {"receipt": receipt["receipt"], "customer": "shop/customers/2"}


def erased(hub: Hub) -> None:
    """Both stay in the systems, by what was answered; the one who is erased is nowhere in the master's files."""
    in_both(1, 2, 5)(hub)
    _nowhere(hub, "p2@example.org")


def _nowhere(hub: Hub, word: str) -> None:
    for file in hub.folder.glob("master.db*"):
        assert word.encode() not in file.read_bytes(), file.name


def deleting(hub: Hub) -> Mapping[str, Any]:
    at_rest(hub, 1, 2)
    hub.crm.fail_next(503, methods={"GET"})
    return {"customer": "shop/customers/2"}


def deleted_there(hub: Hub) -> None:
    """Concord has deleted the erased one's record in the crm, by one request, and cleaned its own files."""
    assert emails(hub, "crm") == people(1)
    assert emails(hub, "shop") == people(1, 2)
    _nowhere(hub, "p2@example.org")


def taken_back(hub: Hub) -> Mapping[str, Any]:
    at_rest(hub, 1, 2)
    hub.shop.edit("1", city="Ghent")
    hub.sync()
    hub.sync(later=2 * LEASE)
    runs = entrypoints.run_list(hub.app, verb="reconcile", limit=99)
    run = next(run for run in runs if run["counts"].get("changed"))
    return {"run": run["run"]}


def before_the_run(hub: Hub) -> None:
    assert values(hub, "city") == {name: ["", ""] for name in people(1, 2)}


def replayed(hub: Hub) -> Mapping[str, Any]:
    at_rest(hub, 1, 2)
    hub.shop.edit("2", city="Ghent")
    known(hub, 3)
    hub.crm.fail_next(422, methods={"PATCH", "POST"}, times=2)
    hub.shop.edit("1", email="nobody")
    tried(hub, hub.sync)
    read = entrypoints.run_list(hub.app, verb="ingest", system="shop")[0]["run"]
    delivered = entrypoints.run_list(hub.app, verb="deliver", system="crm")[0]["run"]
    return {"run": read, "delivered": delivered}


def tried_again(hub: Hub) -> None:
    assert values(hub, "city")["p2@example.org"] == ["Ghent", "Ghent"]
    assert "p3@example.org" in emails(hub, "crm")


def watched(hub: Hub) -> None:
    at_rest(hub, 1)


def nothing_stands(hub: Hub) -> None:
    with hub.app.store() as uow:
        assert uow.operations.alerts() == []


def restored(hub: Hub) -> None:
    at_rest(hub, 1, 2)
    hub.shop.edit("1", city="Ghent")
    known(hub, 3)


def proof(hub: Hub) -> None:
    at_rest(hub, 1)


def crm(profile: Profile) -> Mapping[str, Profile]:
    return {"shop": Profile(), "crm": profile}


SCENARIOS = (
    Scenario("begin", first_sight, in_both(1, 2, 3, 4), made=False),
    Scenario("first_sight", first_sight, in_both(1, 2, 3, 4), options={"size": 2}),
    Scenario("edits", edits, edited, crm(Profile(etag=True, answers=False))),
    Scenario("lost_answers", lost_answers, in_both(1, 2, 3), crm(SLOW)),
    Scenario("unwanted", unwanted, in_both(1), options={"edit": policy(deletes="archive")}),
    Scenario("unconfirmed", unconfirmed, in_both(1, 2), crm(replace(IMPATIENT, answers=False))),
    Scenario("no_search", no_search, in_both(1, 2, 3, 4), crm(BLIND)),
    Scenario("moved", moved, in_both(2, 3), crm(BY_MAIL)),
    Scenario("busy", busy, in_both(1, 2), crm(replace(IMPATIENT, per_second=10_000))),
    Scenario("locked_out", locked_out, in_both(1, 2), crm(IMPATIENT)),
    Scenario("garbled", garbled, in_both(1), crm(IMPATIENT)),
    Scenario("defective", lost_answers, in_both(1, 2, 3)),
    Scenario("deadly", deadly, in_both(1, 2)),
    Scenario("merge", strangers, merged, options={"create": "nobody"}),
    Scenario("split", mistaken, parted, options={"create": "nobody"}),
    Scenario("questions", questions, decided, options={"policies": {"phone": "manual"}}),
    Scenario("changed_files", changed_files, applied),
    Scenario(
        "fuses",
        fuses,
        all_linked,
        options={
            "create": "nobody",
            "edit": policy(fuses={"links": 0, "writes": 0, "deletes": 1, "floor": 1}),
        },
    ),
    Scenario(
        "deletions",
        deletions,
        in_both(3, 4),
        options={"edit": policy(deletes="propagate", fuses=NO_FUSE | {"deletes": 0, "floor": 1})},
    ),
    Scenario("erasure", erasure, erased),
    Scenario("deleting", deleting, deleted_there, crm(IMPATIENT), {"edit": erases}),
    Scenario("taken_back", taken_back, before_the_run),
    Scenario("replayed", replayed, tried_again),
    Scenario("watched", watched, nothing_stands),
    Scenario("restored", restored, in_both(1, 2, 3)),
    Scenario("proof", proof, in_both(1)),
)
