"""What an operator is told: which figures raise which alert, and that each is told of once each way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.domain.alerts import HOUR, RULES, Limits, Severity, standing
from crm_master.domain.figures import METRICS, Figure
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine.operating import Channel, figures, watch
from crm_master.engine.stewardship import Undecidable
from crm_master.ports import RunEntry, Task
from tests.hubs import files_for, open_hub

SECOND = 1_000_000
DAY = 86_400 * SECOND


@dataclass
class Hearing:
    """Somebody who is told, and can be out of reach."""

    told: list[str] = field(default_factory=list)
    away: bool = False

    def __call__(self, message: Mapping[str, str]) -> None:
        if self.away:
            raise OSError("no answer")
        self.told.append(f"{message['state']} {message['name']} {message['place']}")


@dataclass
class Hub:
    """A hub of one shop whose clock the test moves."""

    app: App
    shop: Simulator
    crm: Simulator
    ada: str
    now: int

    def look(self, limits: Limits | None = None, /, **channels: Channel):
        chosen = {"stream_lags": 10 * DAY} if limits is None else limits
        return watch(self.app.hub, chosen, channels, self.app.store, lambda: self.now)

    def figures(self) -> dict[tuple[str, str], float]:
        with self.app.store() as uow:
            found = figures(self.app.hub, uow, self.now)
        assert {figure.metric for figure in found} <= METRICS.keys()
        for figure in found:
            assert figure.labels.keys() <= set(METRICS[figure.metric].labels), figure
        return {(figure.metric, figure.place): figure.value for figure in found}

    def standing(self) -> list[tuple[str, str]]:
        return [alert.key for alert in self.look().standing]

    def ran(
        self, status: str = "done", error: str = "", target: str = "shop/customers", **counts: int
    ) -> None:
        entry = RunEntry("R", "ingest", target, self.now, self.now, status, counts, error)
        with self.app.store() as uow:
            uow.operations.tally(entry, entry.target)
            uow.commit()

    def asked(self, kind: TaskKind, *subjects: str) -> None:
        with self.app.store() as uow:
            uow.tasks.open([Task(kind, subject, {}) for subject in subjects], self.now)
            uow.commit()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Two systems; Ada was read in the shop, and what was made of her waits for the CRM."""
    with Simulator() as shop, Simulator() as crm:
        ada = shop.add(name="Ada Example", email="ada@example.org")
        systems = {"shop": shop, "crm": crm}
        files = files_for(systems, creating=["crm"])
        app = open_hub(systems, files, f"sqlite:///{tmp_path / 'hub.db'}")
        entrypoints.sync(app)
        yield Hub(app, shop, crm, ada, app.clock())
        app.store.close()


def test_after_a_round_nothing_is_the_matter(hub: Hub) -> None:
    assert hub.standing() == []
    found = hub.figures()
    assert found["concord_inbox_waiting", "customer"] == 0
    assert found["concord_run_counts_total", "deliver crm/created"] == 1
    assert found["concord_run_failures_in_a_row", "deliver crm"] == 0


def test_each_channel_is_told_once_when_an_alert_comes_and_once_when_it_goes(hub: Hub) -> None:
    mail, pager = Hearing(), Hearing(away=True)
    channels = {"mail": Channel(mail), "pager": Channel(pager)}
    entrypoints.stop(hub.app, "crm", on=True)

    first = hub.look(**channels)
    assert (first.sent, list(first.failed)) == (1, ["pager"])
    pager.away = False
    assert hub.look(**channels).sent == 1  # who was out of reach is told now, nobody else again
    assert hub.look(**channels).sent == 0
    entrypoints.stop(hub.app, "crm", on=False)
    mail.away = True
    assert hub.look(**channels).sent == 1
    mail.away = False
    assert hub.look(**channels).sent == 1
    assert hub.look(**channels).sent == 0

    assert mail.told == pager.told == ["raised system_stopped crm", "ended system_stopped crm"]
    with hub.app.store() as uow:
        assert uow.operations.alerts() == []


def test_an_alert_that_comes_back_before_its_end_was_told_is_the_same_one(hub: Hub) -> None:
    mail = Hearing()
    entrypoints.stop(hub.app, "crm", on=True)
    hub.look(mail=Channel(mail))
    entrypoints.stop(hub.app, "crm", on=False)
    mail.away = True
    hub.look(mail=Channel(mail))
    entrypoints.stop(hub.app, "crm", on=True)
    mail.away = False
    hub.look(mail=Channel(mail))
    assert mail.told == ["raised system_stopped crm"]


def test_who_asked_for_the_critical_ones_hears_no_warning(hub: Hub) -> None:
    pager = Hearing()
    entrypoints.stop(hub.app, "crm", on=True)
    hub.asked(TaskKind.FUSE, "writes crm/customers")
    hub.look(pager=Channel(pager, Severity.CRITICAL))
    assert pager.told == ["raised fuse_blown fuse"]


def test_a_stream_that_was_not_read_for_long_lags(hub: Hub) -> None:
    hub.now += int(3 * HOUR) * SECOND
    seen = hub.look({})
    lagging = [alert for alert in seen.standing if alert.rule.name == "stream_lags"]
    assert [alert.place for alert in lagging] == ["shop/customers", "crm/customers"]
    assert lagging[0].text == "shop/customers has not been read completely for 3 h."
    seen = hub.look({"stream_lags": {"crm/customers": 4 * HOUR}})
    assert [alert.key for alert in seen.standing] == [("stream_lags", "shop/customers")]


def test_a_stream_that_was_never_read_completely_lags_since_that_was_first_tried(
    tmp_path: Path,
) -> None:
    with Simulator() as shop:
        url = f"sqlite:///{tmp_path / 'hub.db'}"
        app = open_hub({"shop": shop}, files_for({"shop": shop}), url)
        hub = Hub(app, shop, shop, "", app.clock())
        place = ("concord_stream_lag_seconds", "shop/customers")
        hub.now += int(3 * HOUR) * SECOND
        assert hub.figures()[place] == pytest.approx(3 * HOUR, abs=60), "since it was applied"

        for hours in (2, 1):
            begun = hub.now - int(hours * HOUR) * SECOND
            with app.store() as uow:
                uow.states.save_run(RunEntry(f"R{hours}", "ingest", "shop/customers", begun))
                uow.commit()
        assert hub.figures()[place] == 2 * HOUR
        alerts = [alert.text for alert in hub.look({"stream_lags": HOUR}).standing]
        assert alerts == ["shop/customers has not been read completely for 2 h."]
        facts = entrypoints.status(app)["systems"]["shop"]["streams"]["customers"]
        assert (facts["read_completely"], facts["lag_seconds"] is None) == (False, False)

        entrypoints.sync(app)
        hub.now = app.clock()
        assert hub.figures()[place] < HOUR
        app.store.close()


def test_what_waits_too_long_in_inbox_or_outbox_stalls(hub: Hub) -> None:
    hub.shop.edit(hub.ada, phone="02 512 34 56")
    entrypoints.ingest(hub.app, "shop", "customers")
    assert hub.standing() == []
    hub.now += int(1.5 * HOUR) * SECOND
    assert hub.standing() == [("inbox_stalls", "customer")]
    entrypoints.reconcile(hub.app, "customer")
    hub.now = hub.app.clock() + int(1.5 * HOUR) * SECOND
    assert hub.standing() == [("outbox_stalls", "crm")]
    entrypoints.stop(hub.app, "crm", on=True)
    assert hub.standing() == [("system_stopped", "crm")]


def test_a_run_that_fails_again_and_again_and_much_that_fails_in_one(hub: Hub) -> None:
    for _ in range(2):
        hub.ran("failed", "RunFailed: x", read=100, rejected=5)
    assert hub.standing() == []
    hub.ran("failed", "RunFailed: x", read=100, rejected=6)
    place = "ingest shop/customers"
    assert hub.standing() == [("runs_fail", place), ("records_fail", place)]
    hub.ran()
    assert hub.standing() == []


def test_a_run_that_never_ended_counts_until_one_ends_there(hub: Hub) -> None:
    begun = RunEntry("R", "ingest", "shop/customers", hub.now + 1)
    with hub.app.store() as uow:
        uow.states.save_run(begun)
        uow.commit()
    hub.now += int(7 * HOUR) * SECOND
    assert hub.standing() == [("run_hangs", "ingest shop/customers")]
    hub.ran()
    assert hub.standing() == []


def test_a_run_that_goes_on_does_not_hang(hub: Hub) -> None:
    with hub.app.store() as uow:
        uow.states.save_run(RunEntry("R", "reconcile", "customer", hub.now + 1))
        uow.journal.commit("reconcile", hub.now + int(5 * HOUR) * SECOND, "R")
        uow.commit()
    hub.now += int(7 * HOUR) * SECOND
    assert hub.standing() == []
    hub.now += int(5 * HOUR) * SECOND
    (alert,) = hub.look().standing
    assert alert.text == "reconcile customer has not ended, and was last heard of 7 h ago."


def test_a_place_that_is_not_in_the_hub_any_more_raises_nothing(hub: Hub) -> None:
    """Nothing would ever run there again, and so end the alert."""
    for target in ("shop/gone", "gone/customers"):
        for _ in range(3):
            hub.ran("failed", "RateLimited: x", target, read=100, rejected=6)
        with hub.app.store() as uow:
            uow.states.save_run(RunEntry(target, "ingest", target, hub.now + 1))
            uow.commit()
    hub.now += int(7 * HOUR) * SECOND

    assert hub.standing() == []
    assert hub.figures()["concord_run_counts_total", "ingest gone/customers/rejected"] == 18


def test_commands_that_are_refused_raise_nothing(hub: Hub) -> None:
    for task in range(3):
        with pytest.raises(Undecidable):
            entrypoints.decide(hub.app, 1_000 + task, "x", "ada")
    assert hub.standing() == []
    with hub.app.store() as uow:
        assert [tally.in_a_row for tally in uow.operations.tallies() if tally.verb == "decide"] == [
            3
        ]


def test_many_new_letters_grow_and_old_questions_wait(hub: Hub) -> None:
    hub.asked(TaskKind.DEAD_LETTER, *map(str, range(21)))
    assert hub.standing() == [("dead_letters_grow", "")]
    hub.asked(TaskKind.REVERTED, "only to be seen")
    hub.now += 2 * DAY
    assert hub.standing() == [("decision_waits", "dead_letter")]


def test_a_system_that_asks_to_slow_down_has_no_quota_left(hub: Hub) -> None:
    hub.ran("failed", "RateLimited: GET /customers: 429.")
    assert hub.standing() == [("quota_exhausted", "shop")]
    hub.ran()
    assert hub.standing() == []


@pytest.mark.parametrize("methods", [{"GET"}, {"PUT", "PATCH", "POST"}], ids=["look", "write"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_delivery_that_is_asked_to_slow_down_counts_too(
    hub: Hub, methods: set[str], status: int
) -> None:
    hub.shop.edit(hub.ada, phone="02 512 34 56")
    entrypoints.ingest(hub.app, "shop", "customers")
    entrypoints.reconcile(hub.app, "customer")
    hub.crm.fail_next(status, methods=methods, headers={"Retry-After": "3600"})
    ran = entrypoints.deliver(hub.app, "crm")
    assert (ran.counts["postponed"], ran.counts["limited"]) == (1, 1)
    assert hub.standing() == [("quota_exhausted", "crm")]


def test_a_system_that_is_away_has_its_quota(hub: Hub) -> None:
    hub.shop.edit(hub.ada, phone="02 512 34 56")
    entrypoints.ingest(hub.app, "shop", "customers")
    entrypoints.reconcile(hub.app, "customer")
    hub.crm.fail_next(503, methods={"PUT", "PATCH", "POST"})
    ran = entrypoints.deliver(hub.app, "crm")
    assert ran.counts["postponed"] == 1
    assert "limited" not in ran.counts
    assert hub.standing() == []


def test_every_rule_is_about_a_metric_that_there_is() -> None:
    for rule in RULES.values():
        metric = METRICS[rule.metric]
        assert (rule.only or {}).keys() <= set(metric.labels)
        labels = {name: next(iter(of)) for name, of in (rule.only or {}).items()}
        (alert,) = standing([Figure(metric.name, rule.limit + 1, labels)], {})
        assert "{" not in alert.text
