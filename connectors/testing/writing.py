"""What every sink has to hold."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.contract import Gone, Guard, Refused, Retry, Stale, Unknown, WriteCommand, Written
from connectors.testing.steps import WRITES, Simulated, Steps, writes, written


class WriteConformance(Steps):
    """Writes: once, minimal, and with outcomes that say what is known."""

    def test_a_create_says_what_the_system_holds(self, system: Simulated) -> None:
        connector = self.connect(system)
        made = written(self.create(connector, "Ada O'Brien"))
        assert made.record is not None
        assert made.record.document[self.field] == system.records[made.key][self.field]
        assert connector.fetch(self.stream, [made.key])[made.key] == made.record

    def test_a_create_that_comes_twice_makes_one_record(self, system: Simulated) -> None:
        connector = self.connect(system)
        if not connector.capabilities(self.stream).find:
            pytest.skip("this stream cannot be searched")
        first = written(self.create(connector, "Ada"))
        second = written(self.create(connector, "Ada"))
        assert (first.existed, second.existed) == (False, True)
        assert second.key == first.key
        assert len(system.records) == 1

    def test_an_update_sends_what_changed_only(self, system: Simulated) -> None:
        connector, record = self.one(system)
        others = {name: value for name, value in record.document.items() if name != self.field}
        outcome = written(self.update(connector, record, "Grace"))
        assert outcome.record is not None
        held = system.records[outcome.key][self.field]
        assert outcome.record.document == {**others, self.field: held}

    def test_a_delete_takes_the_record_away(self, system: Simulated) -> None:
        connector, record = self.one(system)
        if not connector.capabilities(self.stream).delete:
            pytest.skip("this stream deletes nothing")
        written(self.send(connector, record.key, record.document, {}, etag=record.etag))
        assert record.key not in system.records

    def test_a_write_to_a_record_that_is_gone_says_so(self, system: Simulated) -> None:
        connector, record = self.one(system)
        system.remove(record.key)
        assert self.update(connector, record, "Grace") == Gone()

    def test_a_stale_write_is_not_made(self, system: Simulated) -> None:
        connector, record = self.one(system)
        if connector.capabilities(self.stream).guard is not Guard.ETAG:
            pytest.skip("this stream is not guarded by the system itself")
        system.edit(record.key, **{self.field: "by a person"})
        assert self.update(connector, record, "Grace") == Stale()
        assert system.records[record.key][self.field] == "by a person"

    @pytest.mark.parametrize("after", [True, False], ids=["after the effect", "before it"])
    @pytest.mark.parametrize("how", ["reset", "cut"])
    def test_a_lost_answer_is_unknown_and_sent_once(
        self, system: Simulated, how: str, after: bool
    ) -> None:
        connector = self.connect(system)
        system.fail_next(how, methods=WRITES, after=after)
        before = writes(system)
        assert isinstance(self.create(connector, "Ada"), Unknown)
        assert writes(system) == before + 1
        assert len(system.records) == int(after)

    def test_a_create_whose_answer_was_lost_is_found(self, system: Simulated) -> None:
        connector = self.connect(system)
        if not connector.capabilities(self.stream).find:
            pytest.skip("this stream cannot be searched")
        command = self.creation("Ada")
        assert connector.find(self.stream, command) in ((), [])
        system.fail_next("reset", methods=WRITES, after=True)
        connector.write([command])
        (found,) = connector.find(self.stream, command)
        assert found.document[self.field] == system.records[found.key][self.field]

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_system_gets_the_write_later(self, system: Simulated, status: int) -> None:
        connector = self.connect(system)
        system.fail_next(status, methods=WRITES, headers={"Retry-After": "7"})
        before = writes(system)
        outcome = self.create(connector, "Ada")
        assert isinstance(outcome, Retry)
        assert outcome.after == timedelta(seconds=7)
        assert writes(system) == before + 1
        assert not system.records

    def test_a_write_that_never_left_may_be_tried_again(self, system: Simulated) -> None:
        connector, record = self.one(system)
        system.stop()
        assert isinstance(self.update(connector, record, "Grace"), Retry)

    def test_a_server_error_leaves_a_write_unknown(self, system: Simulated) -> None:
        connector = self.connect(system)
        system.fail_next(502, methods=WRITES, after=True)
        before = writes(system)
        assert isinstance(self.create(connector, "Ada"), Unknown)
        assert writes(system) == before + 1

    def test_an_expired_token_spoils_no_write(self, system: Simulated) -> None:
        connector, record = self.one(system)
        system.expire_tokens()
        outcome = self.update(connector, record, "Grace")
        assert isinstance(outcome, Written | Retry), outcome
        before = record.document[self.field]
        changed = system.records[record.key][self.field] != before
        assert changed is isinstance(outcome, Written)

    def test_a_refusal_names_no_values(self, system: Simulated) -> None:
        said = (
            b'{"message": "Ada Lovelace <ada@example.org> is not \'welcome here\', +32 470 123456"}'
        )
        system.fail_next(400, methods=WRITES, body=said)
        outcome = self.create(self.connect(system), "Ada Lovelace")
        assert isinstance(outcome, Refused)
        for private in ("Ada", "Lovelace", "example.org", "welcome here", "123456"):
            assert private not in outcome.reason
        assert "400" in outcome.reason

    def test_outcomes_come_in_the_order_of_their_commands(self, system: Simulated) -> None:
        connector, record = self.one(system)
        system.fail_next(400, methods=frozenset({"POST"}))
        change = {**record.document, self.field: "Grace"}
        outcomes = connector.write(
            [
                self.creation("Refused"),
                WriteCommand("1", self.stream, record.key, record.document, change, "c-1"),
                self.creation("Made"),
            ]
        )
        assert [type(outcome) for outcome in outcomes] == [Refused, Written, Written]
