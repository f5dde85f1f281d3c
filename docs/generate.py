"""Writes the pages of docs/ that say what the code and its files say: `.venv/bin/python docs/generate.py`.

With `--check` it writes nothing, and fails where a page says something else.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from connectors.yamlfile import Configured, load_model
from crm_master.domain.figures import METRICS
from crm_master.domain.survivorship import FieldPolicy, Policy, Rule
from crm_master.settings import PolicySettings
from mappings import SHIPPED, EntityFile, entity_spec, load_entity
from mappings.codecs import CODECS
from mappings.spec import FieldDef, MemberDef

CODECS_HEAD = """\
# Codecs

<!-- Written by docs/generate.py. Change the codecs' docstrings, then run it. -->

A codec translates one value between a system and the canonical form, both ways. A mapping line names it with `as`:
`as: email`, or with options, `as: {phone: {region: BE}}`. A line that names none has the codec of the field's type.

What is empty is empty for every codec. What cannot be understood is *unreadable*: a dead letter says why, without quoting
the value, and the field is not overwritten. A codec of your own is a Python class; see `mappings/codecs/`.
"""
FIELDS_HEAD = """\
# Canonical fields

<!-- Written by docs/generate.py. Change mappings/entities/ or mappings/policies/, then run it. -->

What a mapping can say a record is: the left side of its lines. These are the entities that ship, with their policies; an
[entity](configure.md#entities) or a [policy](configure.md#policies) of your own takes the place of one, whole.

- A **group** moves as one. A mapping has a line for each member: `address.street: street`.
- A **list** has elements, each present or absent. A list of groups has one line, with the members in `each`:
  `other_addresses: {at: "addresses[*]", each: {street: street}}`.
- **Rows** are written like a list of groups, and move as one value: an order's lines.
- A **reference** names a record of another stream: `customer: {at: party, as: {reference: {stream: parties}}}`.

*Who wins* is the [rule](rules.md#survivorship) where systems differ. `owner: originator` is the system in which the fact was
made; others' edits are put right. A policy of your own names the system that owns a field: `{rule: owner, owner: erp}`.
"""
METRICS_HEAD = """\
# Metrics

<!-- Written by docs/generate.py. Change crm_master/domain/figures.py, then run it. -->

The figures of a hub, as [`concord metrics`](operate.md#metrics) gives them. Labels name systems, streams, entities, verbs
and states out of the configuration and the code, never a record: there are as many as these, whatever the data. A label
that does not apply is left out: a `deliver` has no `stream`. Units are those of OpenTelemetry; `1` is a share, or yes.
"""
PERFORMANCE_HEAD = """\
# Performance

<!-- Written by docs/generate.py. Run `make bench`, then it. -->

`make bench` measures Concord beside what a user would pick instead, in the same run, on the same API and database:

- the **floor**: fetch the pages, parse them, upsert one row each, nothing else;
- **dlt**, a merge load by key, with its REST source;
- **airbyte-cdk**, a declarative manifest.

A figure of one machine says little; the ratios say more. A ratio above 1 is a multiple of the yardstick. All of it
runs in one process beside the process of the API. The figures are kept in `bench/results/latest.json`, with the CPU
beside the wall time.

```sh
make bench                                           # first loads of 100,000 customers
make bench BENCH="--rows 20000 --only reading sqlite"  # some of the parts, on fewer rows
make bench BENCH="--curve 1000000"                   # the curve up to a million stored records
make soak-rows ROWS=1000000                          # every phase of a hub, with poison among the rows
```
"""
PERFORMANCE_TAIL = """
![What a new record costs, and the peak of memory, over the number of records stored](performance.svg)

## What the figures mean

- A **first load** is everything that Concord does with customers nobody knew: landed as raw rows, mapped, validated,
  matched, reconciled, with history, links and a delivery each in the outbox. dlt lands rows in a table. The shares
  are those of the process, as py-spy sees them.
- **Read again** is a full read of what is there already. It is compared with the floor, which writes every row again.
- **Pages at once** are read through a manifest from an API whose answers are 50 ms on their way.
- The **cost of a record** is the processor time of a new one when so many are stored.
- **Within a quota**: a shop takes so many requests a second and answers 429 beyond; each customer is one request.
  What passes between batches, while none is on its way, is caught up within the same second, and no second has more than
  the quota.
- **From an edit to its arrival**: one round of the three verbs, without Airflow. What Airflow adds to each run stands
  below it: in a deployment it, and the schedule, decide how long an edit takes.

## What limits it

A first load is far from dlt's pace, and reading again from the floor's. Half of a load is the database with what
stands before it, a third is claims and rules: Python that looks at each field of each record, a claim, a shadow, a
rule, an intent, each an object with a history. What was tried and kept: statements that are compiled once, rows that
go to the driver without a look at each value, codecs with quick paths, raw rows that are compared by a hash before
anything is made of them, and cycles that are looked for less often. What was tried and not kept: a list as one JSON
parameter (SQLite then reads tables from end to end), and rows as lists by column on PostgreSQL (slower, and a page's
bytes several times over).

A new record costs more where many are stored: each row of an index over what has no order goes to a page of its own, and
each is read, logged and copied, 13 microseconds a page on SQLite at a million. So ids of records keep neighbours together.
Their first 16 bits are those of the key without its last two characters: most systems count their keys, what is near comes
together, and a batch goes to few pages. With ids that were nothing but hashes, a record at 300,000 cost 1.48 of that
at 10,000; with these, 1.19.

What is left are the keys by which people are matched, three a record here: an address has no neighbours. Of the pages that a
record dirties at 250,000, four in five are of their index. Where a system's own keys are addresses, or drawn by
chance, its ids are as scattered. What savepoints keep of the pages that change stays in memory, not in a file: a load of
250,000 takes 9 % less. Tables and indexes over ids are few, 64 MB of pages stay in memory, and an index of what few
records are holds only those. Tried and not kept: pages of 2 kB, which make less of the growth and more of all the rest.

More workers help, as [deploying](deploy.md) says. Pages that are long on their way
can be asked for [several at a time](connect-a-system.md#a-listing-that-takes-long); that gains the waiting alone.
"""


def performance_page() -> str:
    """The figures of the last run of the benchmark."""
    results = Path(__file__).parents[1] / "bench" / "results" / "latest.json"
    found = json.loads(results.read_text(encoding="utf-8"))
    on = found["on"]
    rows = []
    for of in found["figures"]:
        value = f"{of['value']:,.0f}" if of["value"] >= 100 else f"{of['value']:.3g}"
        met = {True: "yes", False: "no", None: ""}[of["met"]]
        ratio = "" if of["ratio"] is None else f"{of['ratio']:.2f}"
        rows.append(
            _row(of["name"], f"{value} {of['unit']}", of["yardstick"], ratio, of["goal"], met)
        )
    head = ["| Figure | Value | Yardstick | Ratio | Goal | Met |", "|---|---|---|---|---|---|"]
    where = [
        _row(of["name"], *(f"{of['more']['shares'].get(part, 0):.0%}" for part in _PARTS))
        for of in found["figures"]
        if "shares" in of["more"]
    ]
    shares = [_row("Shares of", *_PARTS), _row("---", *("---" for _ in _PARTS)), *where]
    when = (
        f"Measured until {max(of['at'] for of in found['figures'])[:10]}, Python {on['python']}, "
        f"{on['cores']} cores ({on['machine']}), first loads of {found['figures'][0]['rows']:,} customers."
    )
    return "\n".join([PERFORMANCE_HEAD, when, "", *head, *rows, "", *shares, PERFORMANCE_TAIL])


_PARTS = ("database", "fetch", "codecs", "matching", "claims and rules")


def codecs_page() -> str:
    """The whole page."""
    parts = [CODECS_HEAD, _overview()]
    for name, codec in sorted(CODECS.items()):
        parts.append(f"\n## {name}\n\n{_plain(codec.doc)}\n")
        parts.append(f"\nFor fields of type {_types(codec.gives)}.\n")
        parts.append(_options(codec.options_model))
    return "".join(parts)


def _overview() -> str:
    rows = [
        f"| [`{name}`](#{name}) | {_first(codec.doc)} |" for name, codec in sorted(CODECS.items())
    ]
    return "\n".join(["", "| Codec | What it reads and writes |", "|---|---|", *rows, ""])


def _first(doc: str) -> str:
    return _plain(doc).partition("\n\n")[0].replace("\n", " ")


def _plain(doc: str) -> str:
    """A docstring as Markdown, its paragraphs unwrapped."""
    paragraphs = inspect.cleandoc(doc).replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _types(kinds: Any) -> str:
    from mappings.spec import FieldType

    names = sorted(str(kind) for kind in kinds)
    return "any" if len(names) == len(FieldType) else ", ".join(f"`{name}`" for name in names)


def _options(model: type[BaseModel]) -> str:
    if not model.model_fields:
        return "\nNo options.\n"
    notes = _notes(model)
    rows = []
    for name, info in model.model_fields.items():
        default = (
            "required"
            if info.is_required()
            else _value(info.get_default(call_default_factory=True))
        )
        choices = ", ".join(_value(choice) for choice in _choices(info.annotation))
        note = " ".join(
            filter(None, [f"One of {choices}." if choices else "", notes.get(name, "")])
        )
        rows.append(f"| `{info.alias or name}` | {note or '–'} | {default} |")
    return "\n".join(["", "| Option | Meaning | Default |", "|---|---|---|", *rows, ""])


def _choices(annotation: Any) -> tuple[Any, ...]:
    """What a ``Literal`` allows."""
    args = get_args(annotation)
    return args if "Literal" in str(annotation)[:20] else ()


def _value(value: Any) -> str:
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(dict.fromkeys(_value(part) for part in value))
    return f'`"{value}"`' if value in ("", " ") else f"`{value}`"


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """The texts below the options, those of the classes that a model is derived from included."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Configured) and kind is not Configured:
            tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
            assert isinstance(tree, ast.ClassDef)
            for line, after in zip(tree.body, tree.body[1:], strict=False):
                text = _text(after)
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and text:
                    found[line.target.id] = _plain(text)
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def fields_page() -> str:
    """The fields of the entities that ship: type, structure, who wins and what each is."""
    parts = [FIELDS_HEAD]
    for file in sorted((SHIPPED / "entities").glob("*.yaml")):
        entity = load_entity(file)
        policy = _shipped_policy(entity)
        rows = [
            row for field in entity.fields for row in _field(field, entity.field(field), policy)
        ]
        head = ["| Field | Type | Who wins | What it is |", "|---|---|---|---|"]
        parts.append(
            "\n".join(["", f"## {entity.entity.title()}", "", entity.doc, "", *head, *rows, ""])
        )
    return "".join(parts)


def _shipped_policy(entity: EntityFile) -> Policy:
    settings = load_model(SHIPPED / "policies" / f"{entity.entity}.yaml", PolicySettings)
    chosen = {
        name: FieldPolicy(
            field.rule, {str(field.owner): 0}, tuple(map(str, field.order)), field.member
        )
        for name, field in settings.fields.items()
    }
    return Policy(entity_spec(entity), {}, chosen)


def _field(name: str, field: FieldDef, policy: Policy) -> list[str]:
    """The row of a field, and those of its members."""
    wins = _wins(policy.of(name))
    if not field.members:
        kind = f"list of {_type(field)}" if field.many else _type(field)
        return [_row(f"`{name}`", kind, wins, field.doc)]
    keys = ", ".join(f"`{key}`" for key in field.key)
    kind = f"rows, known by {keys}" if keys else "list of groups" if field.many else "group"
    own = [_row(f"`{name}`", kind, wins, field.doc)]
    for member in field.members:
        path = f"`{name}` each `{member}`" if field.many else f"`{name}.{member}`"
        defined = field.member(member)
        own.append(_row(path, _type(defined), "as the field", defined.doc))
    return own


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


def _type(field: MemberDef) -> str:
    kind = f"`{field.type}`"
    if field.values:
        return f"{kind}: {', '.join(f'`{value}`' for value in field.values)}"
    if field.to:
        waits = ", optional" if getattr(field, "optional", False) else ""
        return f"{kind} to {field.to}{waits}"
    return f"{kind}, up to {field.max}" if field.max else kind


def _wins(chosen: FieldPolicy) -> str:
    if chosen.rule is Rule.OWNER:
        return f"`owner: {', '.join(chosen.standing)}`"
    if chosen.rule is Rule.MOST_RESTRICTIVE:
        order = ", ".join(f"`{value}`" for value in chosen.strictness)
        return f"`{chosen.rule.value}` of `{chosen.member}`: {order}"
    return f"`{chosen.rule.value}`"


def metrics_page() -> str:
    """The figures of a hub: name, kind, unit, labels and meaning."""
    rows = [
        _row(
            f"`{metric.name}`",
            metric.kind.value,
            f"`{metric.unit}`",
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in METRICS.values()
    ]
    head = ["", "| Metric | Kind | Unit | Labels | What it says |", "|---|---|---|---|---|"]
    return "\n".join([METRICS_HEAD.rstrip("\n"), *head, *rows, ""])


PAGES = {
    "codecs.md": codecs_page,
    "fields.md": fields_page,
    "metrics.md": metrics_page,
    "performance.md": performance_page,
}


def main(arguments: list[str]) -> None:
    """Write the pages, or with ``--check`` exit with 1 and the names of those that are not up to date."""
    stale = []
    for name, page in PAGES.items():
        file, text = Path(__file__).with_name(name), page()
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        sys.exit(
            f"Not up to date: {', '.join(stale)}. Run .venv/bin/python docs/generate.py, and commit them."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
