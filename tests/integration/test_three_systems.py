"""Three real simulators over HTTP: what a plan and an undo promise is what these systems then see, request by request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.testing import Profile
from crm_master import entrypoints
from tests.defects.hub import Hub
from tests.hubs import FIELDS, with_files

SYSTEMS = {
    "erp": Profile(etag=True, deletes="soft"),
    "shop": Profile(answers=False, skew=90, deletes="log", batch=1),
    "crm": Profile(resolution=1, paging="next", order="newest"),
}
PEOPLE = [
    {
        "name": f"Person {n}",
        "email": f"p{n}@example.org",
        "city": "Ghent",
        "phone": f"+3247000000{n}",
    }
    for n in range(5)
]
Content = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Everybody is in all three systems, and all is quiet."""

    def archive(files: dict[str, str]) -> None:
        policy = files["policies/customer.yaml"]
        files["policies/customer.yaml"] = policy.replace("deletes: ignore", "deletes: archive")

    made = Hub(tmp_path, SYSTEMS, create="nobody", edit=archive)
    try:
        for system in made.systems.values():
            for person in PEOPLE:
                system.add(**person)
        quiet(made)
        yield made
    finally:
        made.close()


def quiet(hub: Hub) -> None:
    for _ in range(4):
        before = hub.writes()
        hub.sync()
        if hub.writes() == before:
            return
    raise AssertionError("the hub does not come to rest")


def held(hub: Hub) -> Content:
    """What the systems hold, as a person sees it there: what is empty is empty, text or none."""
    own = ("updated", "version")
    return {
        (name, key): {field: value or "" for field, value in record.items() if field not in own}
        for name, system in hub.systems.items()
        for key, record in system.snapshot().items()
    }


def changed(now: Content, before: Content) -> Content:
    """By record the fields that are not what they were, as they are now."""
    return {
        of: {field: value for field, value in record.items() if value != before[of].get(field)}
        for of, record in now.items()
        if of in before and record != before[of]
    }


def requests(hub: Hub, since: Mapping[str, int]) -> Counter[tuple[str, ...]]:
    """The writes that the systems have seen, each with all that it said. A create has no key yet."""
    return Counter(
        (
            name,
            write.method,
            "" if write.method == "POST" else write.key,
            *sorted(f"{at}={value or ''}" for at, value in write.body.items() if at != "ref"),
        )
        for name, system in hub.systems.items()
        for write in system.writes[since[name] :]
    )


def counted(hub: Hub) -> dict[str, int]:
    return {name: len(system.writes) for name, system in hub.systems.items()}


# --- undo ------------------------------------------------------------------------------------


def spread(hub: Hub) -> str:
    """What people did in all three systems comes in and goes everywhere. Gives the run that decided it."""
    hub.erp.edit("1", name="Person One", city="Bruges")
    hub.shop.edit("2", phone="+32470000099")
    hub.crm.edit("3", note="a friend", phone="")
    hub.crm.edit("4", city="Namur")
    quiet(hub)
    runs = entrypoints.run_list(hub.app, verb="reconcile")
    return next(run["run"] for run in reversed(runs) if run["counts"].get("changed"))


def test_undo_of_a_run_restores_three_systems_with_one_write_for_each_record(hub: Hub) -> None:
    before = held(hub)
    run = spread(hub)
    moved = changed(held(hub), before)
    assert {name for name, _ in moved} == {"erp", "shop", "crm"}
    assert len(moved) == 4 * 3, "each edit is in all three"
    since = counted(hub)

    planned = entrypoints.undo_preview(hub.app, run)
    assert held(hub) != before, "a preview changes nothing"
    done = entrypoints.undo_run(hub.app, run, "ada")
    hub.sync()

    assert held(hub) == before
    assert done["fields"] == planned["fields"] == 6
    assert not done["kept"]
    seen = requests(hub, since)
    expected = Counter(
        (name, "PATCH", key, *sorted(f"{field}={before[name, key][field]}" for field in fields))
        for (name, key), fields in moved.items()
    )
    assert seen == expected, "one write for each record, of what had changed and of nothing else"
    assert sum(sum(run.values()) for run in written(hub.sync()).values()) == 0
    assert hub.converged()
    assert entrypoints.rebuild(hub.app).equal


def written(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    names = ("created", "updated", "deleted")
    return {
        run: {name: of[name] for name in names if name in of}
        for run, of in counts.items()
        if run.startswith("deliver")
    }


def test_undo_leaves_what_a_person_has_changed_since_and_lists_what_it_cannot_take_back(
    hub: Hub,
) -> None:
    before = held(hub)
    hub.shop.add(name="New", email="new@example.org")
    run = spread(hub)
    hub.shop.edit("4", city="Ostend")
    quiet(hub)
    hub.crm.edit("2", phone="+32470000077")  # which nobody has read when the undo is decided

    done = entrypoints.undo_run(hub.app, run, "ada")

    [kept] = done["kept"]
    assert kept["field"] == "address"
    assert "changed since, by shop/customers/4" in kept["why"]
    assert any("1 customers were made by it" in note for note in done["notes"])
    quiet(hub)
    now = held(hub)
    assert ("shop", "6") in now, "whom the run brought stays"
    left = changed(now, before)
    assert left == {(name, "4"): {"city": "Ostend"} for name in SYSTEMS}
    [lost] = hub.tasks("reverted")
    assert (lost["field"], lost["lost"]) == ("phone", "+32470000077"), "no edit is lost in silence"
    before_more = hub.writes()
    hub.sync()
    assert hub.writes() == before_more
    assert entrypoints.rebuild(hub.app).equal


# --- plan ------------------------------------------------------------------------------------


def proposed(hub: Hub) -> None:
    """The files change: a field goes elsewhere, another system decides names, whoever lacks a record in the CRM gets one."""
    files = dict(hub.files)
    mapping = {"entity": "customer", "fields": {**FIELDS, "owner": "status", "website": "note"}}
    files["mappings/erp/customers.yaml"] = yaml.safe_dump(mapping, sort_keys=False)
    policy = yaml.safe_load(files["policies/customer.yaml"])
    policy["fields"]["name"] = {"rule": "owner", "owner": "shop"}
    policy["deletes"] = "propagate"
    files["policies/customer.yaml"] = yaml.safe_dump(policy, sort_keys=False)
    settings = yaml.safe_load(files["hub.yaml"])
    settings["systems"]["crm"]["streams"]["customers"]["create"] = {"when": {"email": "present"}}
    files["hub.yaml"] = yaml.safe_dump(settings, sort_keys=False)
    hub.app = with_files(hub.app, files)


def planned(hub: Hub) -> Counter[tuple[str, ...]]:
    """The requests that a plan announces, in the form of ``requests``."""
    found: Counter[tuple[str, ...]] = Counter()
    after = entrypoints.as_proposed(hub.app)
    for write in entrypoints.plan(hub.app, each=True).each:
        name, stream = write.stream.split("/")
        mapping = after.hub.stream(name, stream).mapping
        if write.record is None:
            method, key, document = "POST", "", {}
        else:
            method, key = "DELETE" if write.delete else "PATCH", write.record.rpartition("/")[2]
            document = hub.systems[name].records[key]
        body = {} if write.delete else mapping.put(document, write.natives)
        said = [f"{at}={value or ''}" for at, value in body.items() if document.get(at) != value]
        found[name, method, key, *sorted(said)] += 1
    return found


def test_a_plan_is_what_three_systems_then_see_request_by_request(hub: Hub) -> None:
    hub.erp.add(name="Alone", email="alone@example.org", note="of the ERP")
    hub.shop.edit("1", name="Person of the shop", note="x")
    quiet(hub)
    hub.erp.edit("1", name="Person of the ERP", status="gold")
    hub.crm.edit("2", name="Second", note="y")
    hub.shop.remove("5")
    quiet(hub)
    proposed(hub)
    before, golden = held(hub), hub.golden("erp/1")

    plan = planned(hub)

    assert held(hub) == before, "a plan writes nothing"
    assert hub.golden("erp/1") == golden, "and changes nothing"
    assert {method for _, method, *_ in plan} == {"PATCH", "POST", "DELETE"}
    assert {name for name, *_ in plan} == set(SYSTEMS)
    since = counted(hub)
    hub.app, _ = entrypoints.apply(hub.app)
    for name in SYSTEMS:
        hub.deliver(name)
    assert requests(hub, since) == plan
    quiet(hub)
    assert hub.converged()
    assert entrypoints.rebuild(hub.app).equal
