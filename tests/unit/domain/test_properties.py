"""Properties of the rules: what holds whatever people do, in whatever order it is seen."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crm_master.domain.attribution import attribute
from crm_master.domain.changes import patch
from crm_master.domain.claims import (
    UNBORN,
    UNSET,
    Claim,
    ClaimKey,
    FieldShadow,
    Observed,
    Seen,
    Shadow,
)
from crm_master.domain.fields import Mapped
from crm_master.domain.settling import intend, settle
from crm_master.domain.survivorship import FieldPolicy, Policy, Reconciled, Rule, Winner, reconcile
from crm_master.domain.weighing import Held, most_recent
from crm_master.store.columns import Json
from crm_master.store.documents import (
    dump_claims,
    dump_shadow,
    dump_winners,
    load_claims,
    load_shadow,
    load_winners,
)
from mappings import entity_spec
from tests.rules.fakes import CONSENT, FULL_MAPPING, entity, mapping

MODEST = settings(max_examples=80, deadline=None)
SPEC = entity_spec(entity())
SYSTEMS = ("erp", "shop", "list")
RANK = {name: place for place, name in enumerate(SYSTEMS)}
RULES = (
    FieldPolicy(),
    FieldPolicy(Rule.SOURCE_PRIORITY, {"list": 0, "shop": 1, "erp": 1}),
    FieldPolicy(Rule.OWNER, {"shop": 0}),
    FieldPolicy(Rule.MANUAL),
)

texts = st.sampled_from(["A", "B", "C", "Ä-ß", "", "\U0001f600", "x\x1fy"])
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=8).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
unset = st.just(UNSET)


@st.composite
def intervals(draw: Any) -> tuple[int, int]:
    lo = draw(st.integers(0, 20))
    return lo, lo + draw(st.integers(0, 8))


@st.composite
def claims(draw: Any, values: Any = texts) -> Claim:
    lo, hi = draw(intervals())
    born = draw(st.integers(1, 6))
    saw = draw(st.integers(0, born - 1))
    base = draw(st.none() | texts) if saw else UNSET
    return Claim(draw(st.none() | values), lo, hi, draw(st.integers(1, 50)), born, saw, base)


@st.composite
def customers(draw: Any) -> list[tuple[ClaimKey, Held]]:
    """All claims of one customer: each record has at most one for each field and element."""
    found: list[tuple[ClaimKey, Held]] = []
    consents = st.fixed_dictionaries({"status": st.sampled_from(["granted", "denied"])})
    addresses = st.dictionaries(st.sampled_from(["street", "city"]), texts, min_size=1)
    for record in range(draw(st.integers(1, 4))):
        system = draw(st.sampled_from(SYSTEMS))
        for key, values in (
            (ClaimKey("name"), texts),
            (ClaimKey("consent"), consents),
            (ClaimKey("address"), addresses),
            (ClaimKey("tags", "a"), st.just("a")),
            (ClaimKey("tags", "b"), st.just("b")),
        ):
            if draw(st.booleans()):
                found.append((key, Held(draw(claims(values)), system, f"r{record}")))
    return found


@MODEST
@given(customers(), st.randoms(use_true_random=False), st.sampled_from(RULES))
def test_the_golden_record_does_not_depend_on_the_order_of_claims(
    held: list[tuple[ClaimKey, Held]], random: Any, rule: FieldPolicy
) -> None:
    policy = Policy(SPEC, RANK, {"name": rule, "address": rule, "consent": CONSENT})
    shuffled = list(held)
    random.shuffle(shuffled)
    assert reconcile(held, policy) == reconcile(shuffled, policy)


@MODEST
@given(st.lists(claims(), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_most_recent_does_not_depend_on_the_order(found: list[Claim], random: Any) -> None:
    held = [Held(claim, SYSTEMS[n % 3], f"r{n}") for n, claim in enumerate(found)]
    shuffled = list(held)
    random.shuffle(shuffled)
    assert most_recent(held, RANK) == most_recent(shuffled, RANK)


@MODEST
@given(st.lists(claims(), min_size=2, max_size=6))
def test_most_recent_never_takes_a_claim_that_was_over_before_another_began(
    found: list[Claim],
) -> None:
    held = [Held(claim, SYSTEMS[n % 3], f"r{n}") for n, claim in enumerate(found)]
    winner = most_recent(held, RANK)
    assert all(winner.claim.hi >= other.claim.lo for other in held)


@MODEST
@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from(SYSTEMS)), min_size=2, max_size=5),
    st.integers(1, 10),
    st.integers(2, 5),
)
def test_polling_less_often_may_blur_an_order_and_never_inverts_it(
    edits: list[tuple[int, str]], step: int, factor: int
) -> None:
    """Whoever wins under rare polls was never surely older than another, whatever frequent polls would show."""

    def polled(every: int) -> list[Held]:
        return [
            Held(Claim("v", at // every * every, (at // every + 1) * every, 1, 1), system, f"r{n}")
            for n, (at, system) in enumerate(edits)
        ]

    truth = {f"r{n}": at for n, (at, _) in enumerate(edits)}
    for every in (step, step * factor):
        winner = truth[most_recent(polled(every), RANK).record]
        # in the same interval, or in the one that touches it: blurred; further apart never
        assert max(truth.values()) - winner < 2 * every
    wider = zip(polled(step * factor), polled(step), strict=True)
    assert all(wide.claim.lo <= narrow.claim.lo for wide, narrow in wider)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    """What a system may show."""
    document: dict[str, Any] = {}
    for name, values in {
        "name": texts,
        "mail": st.sampled_from(["a@example.org", "B@Example.org", "not an address"]),
        "phone": texts | st.just(["odd"]),
        "tags": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
        "street": texts,
        "city": texts,
        "consent": st.sampled_from(["yes", "no", "perhaps"]),
    }.items():
        if draw(st.booleans()):
            document[name] = draw(st.none() | values)
    return document


def _mapped(document: dict[str, Any], full: bool, lines: str = FULL_MAPPING) -> Mapped:
    found = mapping(lines).apply(document, full_payload=full)
    assert isinstance(found, Mapped)
    return found


REVIEWED = "".join(
    f"  {name}: {{at: {at}, clear: review}}\n"
    for name, at in {"name": "name", "tags": "tags", "address.street": "street"}.items()
)


@MODEST
@given(
    st.lists(documents(), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([FULL_MAPPING, REVIEWED + "  address.city: city"]),
)
def test_reading_the_same_again_asserts_nothing(
    shown: list[dict[str, Any]], full: bool, lines: str
) -> None:
    held: dict[ClaimKey, Claim] = {}
    shadow = Shadow()
    for number, document in enumerate(shown):
        at = 1_000 * (number + 1)
        observed = Observed(number, at - 900, at, at + 1)
        mapped = _mapped(document, full, lines)
        found = attribute(mapped, held, shadow, mapping(lines), SPEC, observed)
        later = Observed(number + 100, at, at + 500, at + 501)
        again = attribute(mapped, found.claims, found.shadow, mapping(lines), SPEC, later)
        assert again.edits == frozenset()
        assert again.notices == ()
        assert (again.claims, again.shadow) == (found.claims, found.shadow)
        held, shadow = dict(found.claims), found.shadow


@MODEST
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["street", "city"]), st.none() | st.sampled_from("AB")),
        min_size=2,
        max_size=5,
    )
)
def test_what_a_partial_payload_does_not_speak_of_stays_as_it_was(
    shown: list[dict[str, Any]],
) -> None:
    """A group is what was last said of each of its members, and is claimed as that."""
    held: dict[ClaimKey, Claim] = {}
    shadow, stands = Shadow(), dict[str, Any]()
    for number, document in enumerate(shown):
        at = 1_000 * (number + 1)
        observed = Observed(number, at - 900, at, at + 1)
        mapped = _mapped(document, False)
        found = attribute(mapped, held, shadow, mapping(), SPEC, observed)
        held, shadow = dict(found.claims), found.shadow
        stands |= document
        now = shadow.fields.get("address")
        assert (now.held if now else {}) == stands
        if ClaimKey("address") in found.edits:
            claimed = held[ClaimKey("address")].value
            assert claimed == (stands if any(stands.values()) else None)


@st.composite
def goldens(draw: Any) -> dict[str, Any]:
    golden: dict[str, Any] = {}
    words = st.sampled_from(["A", "B", "a long value that no system here cuts"])
    for name, values in {
        "name": st.none() | words,
        "phone": st.none() | words,
        "tags": st.dictionaries(st.sampled_from("abc"), st.none(), max_size=3).map(
            lambda found: {key: key for key in found}
        ),
        "address": st.none()
        | st.dictionaries(st.sampled_from(["street", "city"]), words, min_size=1),
    }.items():
        if draw(st.booleans()):
            golden[name] = draw(values)
    return golden


@MODEST
@given(documents(), goldens(), st.integers(0, 6))
def test_after_a_settled_write_the_same_golden_record_writes_nothing(
    shown: dict[str, Any], golden: dict[str, Any], cut: int
) -> None:
    """Whatever the system makes of it: here it cuts every text to a few characters."""
    shadow = attribute(
        _mapped(shown, True), {}, Shadow(), mapping(), SPEC, Observed(1, 0, 5, 6)
    ).shadow
    reconciled = Reconciled(golden, {})
    needed = patch(reconciled, shadow, mapping(), SPEC)
    after = mapping().put(shown, needed.writes)
    made = {
        name: value[:cut] or None
        if cut and isinstance(value, str) and shown.get(name) != value
        else value
        for name, value in after.items()
    }
    mapped = _mapped(made, True)
    held = {name: mapped.readings[name].native for name in needed.writes}
    settled = settle(intend(shadow, needed.intents), needed.intents.keys(), held, 2, 10, 0).shadow
    again = patch(reconciled, settled, mapping(), SPEC)
    assert again.writes == {}
    echo = attribute(mapped, {}, settled, mapping(), SPEC, Observed(2, 5, 20, 21))
    assert {key.field for key in echo.edits} & needed.writes.keys() == set()


@MODEST
@given(
    st.dictionaries(
        st.builds(ClaimKey, st.sampled_from(["name", "tags"]), st.none() | texts),
        st.builds(
            Claim,
            json_values,
            st.integers(0, 2**50),
            st.integers(0, 2**50),
            st.integers(0, 2**50),
            st.integers(UNBORN, 99),
            st.integers(0, 99),
            unset | json_values,
            st.none() | texts,
            st.lists(texts, max_size=2).map(tuple),
        ),
        max_size=4,
    )
)
def test_claims_survive_their_documents(found: dict[ClaimKey, Claim]) -> None:
    assert load_claims(_stored(dump_claims(found))) == found


@MODEST
@given(
    st.builds(
        Shadow,
        st.dictionaries(
            st.sampled_from(["name", "tags", "address"]),
            st.builds(
                FieldShadow,
                unset | json_values,
                unset | json_values,
                unset | json_values,
                unset | json_values,
                st.integers(0, 3),
                *[st.booleans()] * 4,
                st.none() | st.integers(0, 9),
                st.none() | claims(),
                st.lists(texts, max_size=3).map(tuple),
            ),
        ),
        st.lists(st.builds(Seen, st.integers(0, 9), st.integers(0, 2**50)), max_size=3).map(tuple),
        st.integers(0, 2**50),
    )
)
def test_shadows_survive_their_documents(shadow: Shadow) -> None:
    assert load_shadow(_stored(dump_shadow(shadow)), shadow.confirmed_at) == shadow


@MODEST
@given(
    st.dictionaries(
        st.builds(ClaimKey, st.just("tags"), st.none() | texts),
        st.builds(Winner, texts, st.integers(0, 9), st.sampled_from(Rule)),
    )
)
def test_winners_survive_their_documents(winners: dict[ClaimKey, Winner]) -> None:
    assert load_winners(_stored(dump_winners(winners))) == winners


def _stored(document: Any) -> Any:
    """Through the column type, as the database keeps it."""
    from sqlalchemy.dialects import sqlite

    column, dialect = Json(), sqlite.dialect()
    return column.process_result_value(column.process_bind_param(document, dialect), dialect)
