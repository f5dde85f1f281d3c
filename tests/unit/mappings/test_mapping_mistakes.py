"""A wrong mapping says everything that is wrong with it, each with its line and what is allowed."""

from __future__ import annotations

import pytest

from mappings import ConfigurationMistakes, compile_file, compile_mapping, load_mapping

TEN = """\
entity: customer
fields:
  nmae: name
  email: {at: mail, as: emial}
  phone: {at: phone, as: {phone: {regoin: BE}}}
  address.stret: street
  lifecycle: {at: s, as: {enum: {actve: 1, inactive: 2, lots: 3}}}
  mobile: "contacts[type=].value"
  language: {at: lang, drection: read}
  other_emails: {at: mails, many: some}
  website: {at: "${site}"}
  tax_id: {query: "a..b"}
  name: {at: n, max: 0}
"""


def test_all_mistakes_are_reported_at_once_with_line_found_and_allowed(customer):
    with pytest.raises(ConfigurationMistakes) as caught:
        compile_file(TEN, customer, {"sites": "x"}, name="crm/people.yaml")
    mistakes = caught.value.mistakes
    assert [(mistake.line, mistake.path) for mistake in mistakes] == [
        (3, "fields.nmae"),
        (4, "fields.email.as"),
        (5, "fields.phone.as.phone.regoin"),
        (6, "fields.address.stret"),
        (7, "fields.lifecycle.as.enum.actve"),
        (7, "fields.lifecycle.as.enum.lots"),
        (8, "fields.mobile"),
        (9, "fields.language.drection"),
        (10, "fields.other_emails.many"),
        (11, "fields.website.at"),
        (12, "fields.tax_id.query"),
        (13, "fields.name.max"),
    ]
    assert all(mistake.found and mistake.allowed for mistake in mistakes)
    assert {mistake.line: mistake.do for mistake in mistakes if mistake.do} == {
        3: "Did you mean 'name'?",
        4: "Did you mean 'email'?",
        5: "Did you mean 'region'?",
        6: "Did you mean 'street'?",
        7: "Did you mean 'lost'?",
        9: "Did you mean 'direction'?",
        11: "Did you mean 'sites'?",
    }
    assert "crm/people.yaml:4: fields.email.as: the codec 'emial'" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("address: a", "fields.address"),
        ("name.first: a", "fields.name.first"),
        ("name: {at: a, many: all}", "fields.name.many"),
        ("name: {at: a, each: {x: y}}", "fields.name.each"),
        ("name: {at: a, as: date}", "fields.name.as"),
        ("email: {at: a, max: 3}", "fields.email.max"),
        ("name: {at: a, const: b}", "fields.name"),
        ("name: {as: text}", "fields.name"),
        ("name: {const: b, direction: both}", "fields.name"),
        ("name: {query: b, direction: write}", "fields.name"),
        ("kind: {const: robot}", "fields.kind.const"),
        ("name: 'a[*].b'", "fields.name"),
        ("name: {at: 'a[x=1]'}", "fields.name.at"),
        ("name: 'a..b'", "fields.name"),
        ("name: 'a[0'", "fields.name"),
        ("other_addresses: a", "fields.other_addresses"),
        ("other_emails: {at: a, each: {b: c}}", "fields.other_emails"),
        ("other_emails: {at: a, as: {present: {yes: x}}}", "fields.other_emails.as"),
        ("other_addresses: {at: a, each: {citty: c}}", "fields.other_addresses.each.citty"),
        ("other_emails: {const: x}", "fields.other_emails"),
        ("name: a\nowner: a", "fields.owner"),
        ("address.country: {const: BE}", "fields.address.country"),
        (
            "address.city: {at: c, direction: write}\naddress.street: s",
            "fields.address.city.direction",
        ),
        ("address.city: {at: c, clear: ignore}\naddress.street: {at: s, clear: review}", "fields.address.city"),
        ("phone: {at: a, as: {phone: {}, email: {}}}", "fields.phone.as"),
        ("phone: {at: a, as: {phone: BE}}", "fields.phone.as.phone"),
    ],
)  # fmt: skip
def test_one_mistake(lines: str, path: str, mapping):
    with pytest.raises(ConfigurationMistakes) as caught:
        mapping(lines)
    (mistake,) = caught.value.mistakes
    assert mistake.path.partition("[")[0] == path


def test_two_list_fields_over_the_same_children_are_a_mistake(mapping):
    with pytest.raises(ConfigurationMistakes, match="one line for each place"):
        mapping('other_emails: "c[t=e].v"\nother_phones: {at: "c[t=e].v", as: phone}')


def test_a_list_that_covers_the_first_child_of_another_line_is_a_mistake(mapping):
    with pytest.raises(ConfigurationMistakes, match="many: rest"):
        mapping('email: "c[t=e].v"\nother_emails: "c[t=e].v"')


def test_another_entity_is_a_mistake(customer):
    spec = load_mapping("entity: order\nfields: {name: n}")
    with pytest.raises(ConfigurationMistakes, match="customer"):
        compile_mapping(spec, customer)


def test_parameters_keep_their_kind(mapping):
    made = mapping("lifecycle: {at: s, as: {enum: {active: '${on}'}}}", on=3)
    assert made.encode("lifecycle", "active") == 3
