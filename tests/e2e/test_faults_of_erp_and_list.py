"""Trouble between Concord and an ERP (Tryton) and a mailing list (Mailman): whatever their proxies do, all happens once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.testing.faults import Trouble
from connectors.testing.proxy import PATH_READ_TROUBLES, PATH_WRITE_TROUBLES
from crm_master.domain.lifecycle import TaskKind
from tests.e2e.stage import Hub, Stage, deployed, through, titled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def hub(stage: Stage, tmp_path: Path) -> Iterator[Hub]:
    with deployed(stage, tmp_path / "hub", create_in_erp="everybody") as found:
        found.sync()
        yield found


@pytest.mark.parametrize("trouble", PATH_READ_TROUBLES, ids=titled)
def test_whatever_a_read_meets_everything_arrives_once(
    trouble: tuple[Trouble, bool], stage: Stage, hub: Hub
) -> None:
    """The ERP's listing, and those that make up a subscriber of the list."""
    what, after = trouble
    reads = (
        (stage.to_erp, "GET", r"/party\.party(\?.*)?$"),
        (stage.to_list, "GET", r"/users(\?.*)?$"),
        (stage.to_list, "POST", r"/members/find(\?.*)?$"),
    )
    known = stage.customer()
    hub.sync()
    for number, (proxy, method, path) in enumerate(reads):
        in_erp = stage.party(*stage.nobody())
        stage.clerk.rename(known.party, f"Renamed Read{number}")
        proxy.trouble(what, method, path, after=after)
        through(hub, proxy)
        hub.sync()
        assert stage.list_name(known.email) == f"Renamed Read{number}"
        assert len(hub.show(f"erp/parties/{in_erp}")["records"]) == 1
    assert stage.parties_of(known.email) == [known.party]
    hub.assert_at_rest()


@pytest.mark.parametrize("trouble", PATH_WRITE_TROUBLES, ids=titled)
def test_whatever_a_write_to_the_erp_meets_it_happens_once(
    trouble: tuple[Trouble, bool], stage: Stage, hub: Hub
) -> None:
    what, after = trouble
    name, email = stage.nobody()
    stage.owner.subscribe(email, name)
    stage.to_erp.trouble(what, "POST", r"/party\.party(\?.*)?$", after=after)
    through(hub, stage.to_erp)
    hub.sync()
    (party,) = stage.parties_of(email)
    assert stage.clerk.card(party).newsletter
    stage.owner.rename(email, "Written Onthelist")
    stage.to_erp.trouble(what, "PUT", r"/party\.party/", after=after)
    through(hub, stage.to_erp)
    assert stage.clerk.card(party).name == "Written Onthelist"
    assert stage.parties_of(email) == [party]
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.sync()  # reads what the ERP has put there by itself
    hub.assert_at_rest()


@pytest.mark.parametrize("trouble", PATH_WRITE_TROUBLES, ids=titled)
def test_whatever_a_write_to_the_list_meets_it_happens_once(
    trouble: tuple[Trouble, bool], stage: Stage, hub: Hub
) -> None:
    what, after = trouble
    name, email = stage.nobody()
    party = stage.party(name, email, newsletter=True)
    stage.to_list.trouble(what, "POST", r"/members$", after=after)
    through(hub, stage.to_list)
    hub.sync()
    assert stage.owner.member(email) is not None
    user = stage.user_id(email)
    stage.clerk.rename(party, "Written Intheerp")
    stage.to_list.trouble(what, "PATCH", r"/users/", after=after)
    through(hub, stage.to_list)
    assert stage.list_name(email) == "Written Intheerp"
    assert stage.user_id(email) == user
    assert stage.parties_of(email) == [party]
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.assert_at_rest()
