"""A value that cannot be written is brought about by actions: on a shop whose orders have states."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from connectors.contract import Gone, Refused, Retry, Unknown, WriteCommand, Written
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.runtime.streams.routes import first_action
from connectors.runtime.streams.writes import Action, ActionStep
from connectors.yamlfile import ConfigurationMistakes

URL = "http://erp.test"
MANIFEST = """
system: erp
kind: rest
title: ERP
http: {message: message}
streams:
  orders:
    key: {at: id, type: integer}
    omit: [parts]
    read: {call: GET /orders}
    fetch: {call: "GET /orders/{key}"}
    find: [{call: GET /orders, query: {ref: "{correlation}"}}]
    writes:
      create:
        - call: POST /orders
          look: {home: {call: GET /addresses, query: {of: "{after.party}"}}}
          body: {ref: "{correlation}", address: "{look.home.id}"}
          send: [party]
          key_at: id
      update:
        - {call: "PATCH /orders/{key}", send: [party]}
      actions:
        state:
          quoted: {from: [draft], steps: [{call: "POST /orders/{key}/quote"}]}
          confirmed: {from: [quoted], also: [shipped], steps: [{call: "POST /orders/{key}/confirm"}]}
          cancelled: {from: [draft, quoted], steps: [{call: "POST /orders/{key}/cancel"}]}
          shipped:
            from: [confirmed]
            steps:
              - call: POST /orders/{key}/pack
                body: {parts: "{now.parts}"}
                faults: [{status: 400, at: message, matches: packed already, then: ok}]
              - call: POST /parcels/{item.id}/send
                over: parcels
                when: {equal: ["{item.state}", packed]}
"""


MOVES = {"quote": ("draft", "quoted"), "confirm": ("quoted", "confirmed")}


class Erp:
    """One order. ``lost`` names a path whose answer is lost, ``idle`` one without effect; ``first`` happens before it."""

    def __init__(self, web):
        self.order: dict[str, Any] = {
            "id": 7,
            "state": "draft",
            "party": 1,
            "parts": [{"line": 1}],
            "parcels": [],
        }
        self.sent, self.lost, self.idle, self.first = [], None, None, {}
        for method in (responses.GET, responses.POST, responses.PATCH):
            web.add_callback(method, url=re.compile(f"{URL}/.*"), callback=self)

    def __call__(self, request):
        path = request.path_url.split("?")[0]
        if request.method == "GET":
            if path == "/addresses":
                return 200, {}, json.dumps([{"id": 31}])
            return (200, {}, json.dumps(self.order)) if self.order else (404, {}, "")
        body = json.loads(request.body) if request.body else None
        self.sent.append((f"{request.method} {path}", body))
        for part, happens in self.first.items():
            if path.endswith(part):
                happens()
        answer = self._do(path.rsplit("/", 1)[1], body) if path != self.idle else (200, {}, "{}")
        if path == self.lost:
            self.lost = None
            raise requests.ConnectionError("lost")
        return answer

    def _do(self, verb, body):
        state = self.order["state"]
        if verb in MOVES and state == MOVES[verb][0]:
            self.order["state"] = MOVES[verb][1]
        elif verb == "cancel" and state in ("draft", "quoted"):
            self.order["state"] = "cancelled"
        elif verb == "pack" and self.order["parcels"]:
            return 400, {}, json.dumps({"message": "packed already"})
        elif verb == "pack" and state == "confirmed":
            self.order["parcels"] = [{"id": 4, "state": "sent"}, {"id": 5, "state": "packed"}]
        elif verb == "send":
            self.order["parcels"][1]["state"] = "sent"
            self.order["state"] = "shipped"
        elif verb in ("7", "orders"):
            self.order |= body
        else:
            return 400, {}, json.dumps({"message": f"cannot {verb}"})
        return 200, {}, json.dumps(self.order)


@pytest.fixture
def erp():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield Erp(web)


@pytest.fixture
def connector():
    return open_system(load_manifest(MANIFEST), Connection(URL), lambda: datetime.now(UTC))


def _write(connector, erp, **changes) -> Any:
    before = {name: value for name, value in erp.order.items() if name != "parts"}
    command = WriteCommand("w", "orders", "7", before, before | changes, "CRM-1")
    return connector.write([command])[0]


def _calls(erp):
    return [call for call, _ in erp.sent]


def test_a_state_is_reached_by_the_shortest_way(connector, erp):
    outcome = _write(connector, erp, state="confirmed")
    assert isinstance(outcome, Written)
    assert outcome.record is not None
    assert outcome.record.document["state"] == "confirmed"
    assert "parts" not in outcome.record.document
    assert _calls(erp) == ["POST /orders/7/quote", "POST /orders/7/confirm"]
    assert isinstance(_write(connector, erp, state="confirmed"), Written)
    assert len(erp.sent) == 2, "what is there is not brought about again"


def test_values_are_written_before_actions_lead_on(connector, erp):
    _write(connector, erp, state="quoted", party=2)
    assert _calls(erp) == ["PATCH /orders/7", "POST /orders/7/quote"]
    assert erp.sent[0][1] == {"party": 2}, "the state is no value to be written"


def test_an_action_sees_the_record_as_it_is_before_each_step(connector, erp):
    erp.order["state"] = "confirmed"
    assert isinstance(_write(connector, erp, state="shipped"), Written)
    assert erp.sent == [
        ("POST /orders/7/pack", {"parts": [{"line": 1}]}),
        ("POST /parcels/5/send", None),
    ]


def test_where_no_way_leads_nothing_is_sent(connector, erp):
    erp.order["state"] = "confirmed"
    outcome = _write(connector, erp, state="cancelled")
    assert (type(outcome), outcome.path) == (Refused, "state")
    assert erp.sent == []


@pytest.mark.parametrize("lost", ["/orders/7/quote", "/orders/7/confirm"])
def test_a_lost_answer_is_unknown_and_the_next_attempt_does_the_rest(connector, erp, lost):
    erp.lost = lost
    assert isinstance(_write(connector, erp, state="confirmed"), Unknown)
    assert isinstance(_write(connector, erp, state="confirmed"), Written)
    assert _calls(erp) == ["POST /orders/7/quote", "POST /orders/7/confirm"]


def test_an_action_cut_off_between_its_steps_is_done_to_its_end(connector, erp):
    erp.order["state"] = "confirmed"
    erp.lost = "/orders/7/pack"
    assert isinstance(_write(connector, erp, state="shipped"), Unknown)
    assert isinstance(_write(connector, erp, state="shipped"), Written)
    assert _calls(erp) == ["POST /orders/7/pack"] * 2 + ["POST /parcels/5/send"]
    assert len(erp.order["parcels"]) == 2


def test_what_somebody_else_did_meanwhile_is_no_refusal(connector, erp):
    erp.first["/cancel"] = lambda: erp.order.update(state="cancelled")
    outcome = _write(connector, erp, state="cancelled")
    assert isinstance(outcome, Written)
    assert _calls(erp) == ["POST /orders/7/cancel"]


def test_a_cancellation_that_comes_too_late_is_refused(connector, erp):
    erp.first["/cancel"] = lambda: erp.order.update(state="confirmed")
    outcome = _write(connector, erp, state="cancelled")
    assert (type(outcome), outcome.path) == (Refused, "state")
    assert erp.order["state"] == "confirmed"


def test_a_refusal_that_stays_is_told_once(connector, erp):
    erp.order["state"] = "quoted"
    erp.first["/confirm"] = lambda: erp.order.update(state="draft")
    erp.first["/quote"] = lambda: erp.order.update(state="quoted")
    outcome = _write(connector, erp, state="confirmed")
    assert isinstance(outcome, Refused)
    assert "cannot" in outcome.reason
    assert len(erp.sent) <= 3, "back and forth comes to an end"


def test_an_action_without_effect_is_tried_again_later(connector, erp):
    erp.idle = "/orders/7/quote"
    outcome = _write(connector, erp, state="quoted")
    assert isinstance(outcome, Retry)
    assert _calls(erp) == ["POST /orders/7/quote"]


def test_what_a_system_leads_on_to_by_itself_counts(connector, erp):
    erp.order["state"] = "shipped"
    assert isinstance(_write(connector, erp, state="confirmed"), Written)
    assert isinstance(_write(connector, erp, state="quoted"), Refused)
    assert erp.sent == []


def test_a_record_that_is_gone_is_gone(connector, erp):
    before, erp.order = erp.order, None
    command = WriteCommand("w", "orders", "7", before, before | {"state": "quoted"}, "CRM-1")
    assert connector.write([command]) == [Gone()]


def test_a_record_is_made_with_what_is_looked_up_and_led_on(connector, erp):
    command = WriteCommand("w", "orders", None, {}, {"party": 2, "state": "confirmed"}, "CRM-1")
    (outcome,) = connector.write([command])
    assert isinstance(outcome, Written)
    assert erp.sent == [
        ("POST /orders", {"ref": "CRM-1", "address": 31, "party": 2}),
        ("POST /orders/7/quote", None),
        ("POST /orders/7/confirm", None),
    ]


def _actions(**froms):
    step = ActionStep(call="POST /x")
    return {
        value: Action.model_validate({"from": tuple(start), "steps": (step,)})
        for value, start in froms.items()
    }


@pytest.mark.parametrize(
    ("present", "wanted", "first"),
    [("a", "d", "b"), ("b", "d", "d"), ("c", "d", None), ("d", "d", None), ("a", "nowhere", None)],
)
def test_the_first_action_of_the_shortest_way(present, wanted, first):
    actions = _actions(b="a", x="a", y="x", d="yb")
    assert first_action(actions, present, wanted) == first


def test_a_ring_of_actions_has_an_end():
    assert first_action(_actions(a="b", b="a"), "a", "c") is None


def test_slots_of_actions_are_known_before_anything_runs():
    with pytest.raises(ConfigurationMistakes) as mistakes:
        load_manifest(
            MANIFEST.replace("{item.id}", "{items.id}").replace("{after.party}", "{aft.p}")
        )
    said = str(mistakes.value)
    assert "{items.id}" in said
    assert "{aft.p}" in said
    assert "streams.orders.writes.actions.state.shipped.steps" in said
