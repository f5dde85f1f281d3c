"""The parts of the REST connector: templates, differences, positions, paging, dialect, order."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import BadRow, Scan
from connectors.errors import BadAnswer, BadConfiguration
from connectors.rest.dialect import Tryton
from connectors.runtime import jsonbody, redact
from connectors.runtime.http import Answer, Request
from connectors.runtime.manifest import Verdict
from connectors.runtime.streams.calls import Lookup
from connectors.runtime.streams.diff import compare
from connectors.runtime.streams.models import Fetch, Key, Paging, Read, Stamp, Stream
from connectors.runtime.streams.paging import Turn, pager
from connectors.runtime.streams.position import Position
from connectors.runtime.streams.records import Clockwork, Composer, key_of, ordered
from connectors.runtime.streams.staging import Staging
from connectors.runtime.streams.wire import rows
from connectors.runtime.streams.writes import Children
from connectors.runtime.templates import Absent, render, render_path

T0 = datetime(2026, 5, 1, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


# --- templates ---------------------------------------------------------------------------------


def test_a_slot_alone_keeps_its_type_and_in_a_text_it_is_written_out():
    scope = {"key": 7, "after": {"name": "Ada", "tags": [1, 2]}}
    assert render({"a": "{key}", "b": "x{key}", "c": ["{after.tags}"]}, scope) == {
        "a": 7,
        "b": "x7",
        "c": [[1, 2]],
    }


def test_an_entry_without_a_value_is_left_out_and_a_null_is_sent():
    scope = {"after": {"a": None}}
    assert render({"a": "{after.a}", "b": "{after.b}"}, scope) == {"a": None}
    for template in ("{after.a}", "{after.b}"):
        with pytest.raises(Absent):
            render({"q": template}, scope, strict=True)


@pytest.mark.parametrize("value", [".", ".."])
def test_dots_are_no_value_of_a_path(value):
    with pytest.raises(Absent):
        render_path("/users/{key}", {"key": value})


@given(st.text(min_size=1).filter(lambda value: value not in (".", "..")))
def test_no_value_leaves_its_part_of_a_path(value):
    path = render_path("/users/{key}/addresses", {"key": value})
    assert path.count("/") == 3
    assert "?" not in path
    assert "#" not in path


@given(st.text())
def test_values_are_never_read_as_templates(value):
    assert render("{key}", {"key": value}) == value
    assert render("<{key}>", {"key": value}) == f"<{value}>"


# --- differences -------------------------------------------------------------------------------

PHONES = {"phones": Children(key="id")}


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("abc"), JSON))
def test_applying_a_difference_gives_the_wanted_document(before, after):
    diff = compare(before, after, {})
    result = before | diff.changed
    for name in {*before, *after}:
        wanted, got = after.get(name), result.get(name)
        assert got == wanted or (not got and not wanted)


def test_equal_documents_have_no_difference():
    document = {"a": 1, "phones": [{"id": 1, "value": "x"}]}
    assert not compare(document, dict(document), PHONES)


def test_children_are_told_apart_by_key():
    before = {"phones": [{"id": 1, "value": "a"}, {"id": 2, "value": "b"}, {"id": 3, "value": "c"}]}
    after = {"phones": [{"value": "new"}, {"id": 3, "value": "c"}, {"id": 1, "value": "A"}]}
    changes = compare(before, after, PHONES).children["phones"]
    assert [(change.verb, change.id, change.change) for change in changes] == [
        ("created", None, {"value": "new"}),
        ("updated", 1, {"value": "A"}),
        ("removed", 2, {}),
    ]


def test_the_order_of_children_is_no_difference():
    before = {"phones": [{"id": 1}, {"id": 2}]}
    assert not compare(before, {"phones": [{"id": 2}, {"id": 1}]}, PHONES)


def test_a_single_child_keeps_its_key():
    one = {"member": Children(key="id", single=True)}
    (change,) = compare(
        {"member": {"id": 5, "mode": "a"}}, {"member": {"mode": "b"}}, one
    ).children["member"]
    assert (change.verb, change.id, change.change) == ("updated", 5, {"mode": "b"})


# --- positions ---------------------------------------------------------------------------------


def test_a_base_moves_behind_the_last_page_only_and_not_beyond_the_scans_start():
    position = Position.parse(None).begin(Scan.FULL, True)
    position = position.after({"last": 1}, T0 + timedelta(hours=9), T0 + timedelta(hours=1))
    assert Position.parse(position.text()).base is None
    done = position.after(None, None, T0 + timedelta(hours=2)).finished(ordered=False)
    assert done.base == T0 + timedelta(hours=1)
    assert position.after(None, None, None).finished(ordered=True).base == T0 + timedelta(hours=9)


def test_a_base_never_moves_back():
    position = Position(base=T0, scan=Scan.DELTA, seen=T0 - timedelta(hours=1))
    assert position.finished(ordered=True).base == T0


@pytest.mark.parametrize(
    ("running", "asked", "goes_on"),
    [
        (Scan.FULL, Scan.FULL, True),
        (Scan.FULL, Scan.DELTA, True),
        (Scan.DELTA, Scan.DELTA, True),
        (Scan.DELTA, Scan.FULL, False),
    ],
)
def test_an_unfinished_scan_goes_on(running, asked, goes_on):
    stored = Position(base=T0, scan=running, paging={"last": 5}, begun=T0)
    begun = Position.parse(stored.text()).begin(asked, True)
    assert (begun == stored) is goes_on
    assert begun.base == T0


@pytest.mark.parametrize("cursor", ["", "null", "{}", '{"v": 2}', "[1]", '{"v": 1, "base": "x"}'])
def test_a_foreign_cursor_is_refused(cursor):
    with pytest.raises(BadConfiguration, match="read the stream anew"):
        Position.parse(cursor)


# --- paging ------------------------------------------------------------------------------------


def _after(style, state, turn):
    """The state after an answer, untyped: these tests go on without looking for the end."""
    return style.update_state(state, turn)


def _turn(keys, size=None, **body):
    return Turn(len(keys) if size is None else size, tuple(keys), body, {})


def test_a_system_that_ignores_the_page_is_noticed():
    style = pager(Paging(by="page", size=2))
    state = style.init_request()
    for _ in range(7):
        state = _after(style, state, _turn([1, 2]))
    assert state["restarts"] == 3
    with pytest.raises(BadAnswer, match="same page came twice"):
        style.update_state(state, _turn([1, 2]))


def test_rows_that_have_moved_by_a_page_are_no_system_that_ignores_the_page(opened):
    system, connector = opened(9, paging="page", order="newest")
    pages = iter(connector.read("customers", None, Scan.FULL))
    found = [next(pages)]
    for _ in found[0].records:
        system.add(name="new")
    seen = {record.key for page in [*found, *pages] for record in page.records}
    assert seen == set(system.records)


def test_a_scan_begins_again_when_the_total_shrinks():
    style = pager(Paging(by="page", size=2, total="total"))
    state = _after(style, style.init_request(), _turn([1, 2], total=6))
    state = _after(style, state, _turn([4, 5], total=5))
    assert style.update_request(state)["page"] == 1
    for total in (4, 3, 2):
        state = _after(style, {**state, "total": total + 1, "offset": 0}, _turn([9], total=total))
    assert state is None or state["restarts"] == 3


def test_a_short_page_is_not_the_end_unless_the_manifest_says_so():
    assert pager(Paging(by="offset", size=9)).update_state({"page": 1, "offset": 0}, _turn([1, 2]))
    assert not pager(Paging(by="offset", size=9, short_page_ends=True)).update_state(
        {"page": 1, "offset": 0}, _turn([1, 2])
    )


@pytest.mark.parametrize("keys", [[2, 1], [0, 1], ["9"]])
def test_keys_that_do_not_ascend_are_noticed(keys):
    style = pager(Paging(by="keyset", size=1))
    with pytest.raises(BadAnswer, match="do not ascend"):
        style.update_state({"last": 1}, _turn(keys))


def test_a_token_that_leads_back_is_noticed():
    style = pager(Paging(by="next", next="next"))
    state = _after(style, {}, _turn([1], next="abc"))
    with pytest.raises(BadAnswer, match="would not end"):
        style.update_state(state, _turn([2], next="abc"))


def test_a_link_header_is_followed():
    link = {"Link": '<http://h/a?p=1>; rel="prev", <http://h/a?p=3>; rel="next"'}
    state = _after(pager(Paging(by="next")), {}, Turn(1, (1,), None, link))
    assert state == {"next": "http://h/a?p=3"}


# --- the rest ----------------------------------------------------------------------------------


@given(st.datetimes(timezones=st.just(UTC)))
def test_tryton_times_come_back_as_they_were(time):
    dialect = Tryton()
    assert dialect.decode(dialect.encode(time)) == time.isoformat()
    assert dialect.decode(dialect.encode(time.isoformat(), "datetime")) == time.isoformat()


@pytest.mark.parametrize(("value", "kind"), [("1000.10", "decimal"), ("2026-02-28", "date")])
def test_tryton_values_come_back_as_they_were(value, kind):
    dialect = Tryton()
    assert dialect.decode([dialect.encode(value, kind)]) == [value]


def test_children_sort_with_empty_values_first():
    items = [{"s": 2, "id": 1}, {"s": None, "id": 9}, {"s": None, "id": 3}, {"id": 2}]
    assert [item["id"] for item in ordered(items, ("s", "id"))] == [2, 3, 9, 1]


@given(st.lists(JSON, max_size=3))
def test_json_comes_back_as_it_was(value):
    assert jsonbody.parse(jsonbody.raw(value), "x").value == value


def test_numbers_beyond_64_bits_keep_their_digits():
    number = 123456789012345678901234567890
    assert jsonbody.parse(b'{"n": %d}' % number, "x") == ({"n": number}, True)


def test_a_reason_names_no_values():
    text = 'The VAT "BE1" of Ada <ada@example.org> (+32 470 12 34 56) is <b>wrong</b>'
    assert redact.reason(text, ["ada", "x"]) == "The VAT … of … (…) is wrong"


def test_a_reason_names_no_values_behind_escaped_quotes_or_other_spaces():
    assert "Bob" not in redact.reason('{"message": "belongs to \\"Bob Smith\\" already"}')
    assert redact.reason("Ada Lovelace is no name", ["Ada  Lovelace"]) == "… is no name"


def test_a_reason_can_be_kept_whatever_the_system_said():
    assert redact.reason("no\x00 \ud800 good") == "no ? good"


def test_a_huge_value_is_not_looked_for_in_a_short_text():
    began = time.monotonic()
    assert redact.reason("no", ["x" * 10_000_000]) == "no"
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("²", "integer"),
        ("--5", "integer"),
        (10**400, "integer"),
        ("a\x00b", "text"),
        ("k" * 3000, "text"),
        ("..", "text"),
        (True, "text"),
    ],
    ids=range(7),
)
def test_a_key_that_no_database_or_address_takes_is_none(value, kind):
    assert key_of({"id": value}, Key(at="id", type=kind)) is None


def test_numbers_of_any_size_sort():
    rows = [{"id": 10**400}, {"id": 1}, {"id": -(10**400)}]
    assert ordered(rows, ("id",)) == rows[::-1]


@pytest.mark.parametrize("format", ["iso", "epoch", "epoch_ms", "%Y"])
@pytest.mark.parametrize("value", [[], {}, 10**400, "never"])
def test_a_change_time_that_is_none_is_absent(format, value):
    assert Clockwork(Stamp(at=("t",), format=format)).parse(value) is None


def test_a_row_nested_too_deeply_is_kept_for_repair():
    row = json.loads('{"id": 1, "x": ' + "[" * 700 + "]" * 700 + "}")
    stream = Stream(key=Key(at="id"), read=Read(call="GET /x"), fetch=Fetch(call="GET /x/{key}"))
    assert isinstance(Composer(stream, Tryton().decode).decode(row, True), BadRow)


def test_a_scan_behind_the_first_of_all_times_can_be_asked_for():
    base = datetime(1, 1, 1, tzinfo=UTC)
    assert Position(base=base).since(timedelta(days=1)).year == 1


def test_staging_keeps_rows_under_their_key_and_leaves_nothing():
    staging = Staging()
    folder = staging._folder.name
    staging.add("a", ((str(i % 700), {"n": i}) for i in range(1400)))
    staging.add("b", [("1", {"n": -1})])
    found = staging.find("a", [str(i) for i in range(701)])
    assert found["1"] == [{"n": 1}, {"n": 701}]
    assert found["700"] == []
    staging.clear("a")
    assert staging.find("a", ["1"]) == {"1": []}
    assert staging.find("b", ["1"]) == {"1": [{"n": -1}]}
    staging.close()
    with pytest.raises(FileNotFoundError):
        __import__("os").stat(folder)


@pytest.mark.parametrize(
    ("body", "empty", "read"),
    [
        (b'{"items": []}', None, []),
        (b'{"total": 0}', "total", []),
        (b'{"error": "try later"}', None, None),
        (b'{"error": "try later"}', "total", None),
        (b'{"total": 3, "error": "try later"}', None, None),
    ],
    ids=[
        "an empty list",
        "a declared empty answer",
        "an error in disguise",
        "an error where empty answers have a total",
        "a list left out where the manifest does not allow it",
    ],
)
def test_only_a_declared_answer_without_a_list_is_an_empty_one(
    body: bytes, empty: str | None, read: list[object] | None
) -> None:
    """Else an error would look like a system in which nobody is left."""
    lookup = Lookup(call="GET /customers", records="items", empty=empty)
    request = Request("GET", "/customers", "/customers")
    answer = Answer(request, 200, {}, body, Verdict.OK)
    if read is None:
        with pytest.raises(BadAnswer, match="no 'items'"):
            rows(answer, lookup)
    else:
        assert rows(answer, lookup) == read
