"""The shapes of ``hub.yaml`` and ``policies/<entity>.yaml``, validated before anything runs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from connectors.yamlfile import Configured, did_you_mean, mistake, together
from crm_master.domain.alerts import RULES, Severity
from crm_master.domain.lifecycle import DeletePolicy, Leaving
from crm_master.domain.processes import OWN_SYSTEM
from crm_master.domain.survivorship import Rule

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Value = str | int | bool


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class Create(Configured):
    """When a customer is created in a system that does not know it. Without this nobody is (RULES 17)."""

    when: dict[
        str,
        Annotated[
            list[Value], BeforeValidator(_listed, json_schema_input_type=Value | list[Value])
        ],
    ] = Field(
        description="Golden fields (a group's member after a dot) and the values they must have; `present` for any.",
    )
    leaving: Leaving = Field(
        Leaving.KEEP, description="What becomes of what was made so when that no longer holds."
    )


class StreamSettings(Configured):
    """One stream of one system: which way it flows."""

    direction: Literal["both", "read", "write"] = "both"
    create: Create | Literal["everybody", "nobody"] = "nobody"
    schedule: str | None = Field(None, description="Cron; the system's schedule if not given.")


class SystemSettings(Configured):
    """One system of the deployment."""

    system: Name = Field(description="Its manifest: systems/<system>.yaml.")
    connection: str = Field(
        description="The Airflow connection, or AIRFLOW_CONN_<ID> in the environment."
    )
    params: dict[str, str | int | float | bool] = Field(default_factory=dict)
    streams: dict[Name, StreamSettings] = Field(min_length=1)
    join: Literal["ask", "auto"] = "ask"
    observe: bool = False
    erase: Literal["request", "delete", "keep"] = Field(
        "request",
        description="Of an erased customer: ask a person to erase the records there, delete them, or keep them by law.",
    )
    schedule: str | None = None


Duration = Annotated[str, Field(pattern=r"^[0-9]{1,5}[dhm]$")]
"""A length of time: ``2d``, ``12h``, ``30m``."""
_UNITS = {"d": 86_400, "h": 3_600, "m": 60}


def _seconds(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}[dhm]", value):
        return int(value[:-1]) * _UNITS[value[-1]]
    return value


class ConditionSettings(Configured):
    """What a field of a golden record must be for a process to call for action. All that is said must hold."""

    present: bool | None = Field(None, description="Whether there is a value.")
    values: Annotated[
        list[Value], BeforeValidator(_listed, json_schema_input_type=Value | list[Value])
    ] = Field(default_factory=list, description="The values that it may be.")
    past: Duration | None = Field(
        None, description="A time or a day, at least so long ago: `2d`, `12h`, `30m`; `0d`: over."
    )
    above: float | None = Field(None, description="A number above this one.")
    below: float | None = Field(None, description="A number below this one.")


def _condition(value: Any) -> Any:
    if value in ("present", "absent"):
        return {"present": value == "present"}
    return value if isinstance(value, dict | Configured) else {"values": value}


class VolumeSettings(Configured):
    """How many orders or interactions there must be about an entity, or how much they must come to."""

    above: float
    sum: Name | None = Field(
        None, description="The field that is added up; without it they are counted."
    )
    by: Name | None = Field(None, description="The time by which they count, with `within`.")
    within: Duration | None = Field(None, description="Only those of the last `365d`.")

    @model_validator(mode="after")
    def _within_needs_a_time(self) -> VolumeSettings:
        if (self.by is None) != (self.within is None):
            raise mistake("by without within, or within without by", "both, or neither")
        return self


class RaiseSettings(Configured):
    """What a process raises, and what that says."""

    entity: Name
    fields: dict[Name, Value] = Field(
        default_factory=dict,
        description="Values; `{name}` in a text is a field of the cause. A reference: `itself`, or the cause's field.",
    )
    open: dict[Name, Value] = Field(description="Further values, while the cause is there.")
    closed: dict[Name, Value] = Field(description="Those when it is gone.")


class ProcessSettings(Configured):
    """A process: who has to act when golden records come to be like this, or stay so too long."""

    of: Name = Field(description="The entity that is looked at.")
    when: dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")],
        Annotated[
            ConditionSettings,
            BeforeValidator(
                _condition, json_schema_input_type=Value | list[Value] | ConditionSettings
            ),
        ],
    ] = Field(
        default_factory=dict,
        description="Fields of its golden record (a group's member after a dot).",
    )
    facts: dict[Name, VolumeSettings] = Field(
        default_factory=dict, description="Volumes of the orders or interactions about it."
    )
    raises: RaiseSettings
    schedule: str | None = None


Limit = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=Duration | float),
    Field(ge=0),
]
"""A length of time, or a number in the unit of what it limits."""


class NotifierSettings(Configured):
    """Somebody who is told of alerts, through a notifier of Airflow."""

    notifier: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="The class, such as airflow.providers.smtp.notifications.smtp.SmtpNotifier.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        alias="with",
        description="Its arguments, no secrets among them: those are in the connection. Templates may name `alert`.",
    )
    least: Severity = Field(
        Severity.WARNING, description="Told of alerts that are at least so severe."
    )


class AlertSettings(Configured):
    """When an operator is told that something is wrong, and who is."""

    limits: dict[str, Limit | dict[str, Limit]] = Field(
        default_factory=dict,
        description="By alert: another limit than usual (`3h`, `0.2`, `50`), or others for some places.",
    )
    notify: list[NotifierSettings] = Field(default_factory=list)

    @field_validator("limits")
    @classmethod
    def _limits_alerts(cls, limits: dict[str, Any]) -> dict[str, Any]:
        errors = [
            mistake(f"the alert {name!r}", ", ".join(RULES), did_you_mean(name, RULES), at=(name,))
            for name in limits
            if name not in RULES
        ]
        if errors:
            raise together(errors)
        return limits


class HubSettings(Configured):
    """``hub.yaml``."""

    name: Name
    rank: list[Name] = Field(
        description="All systems, the one that wins a tie first: mandatory and total."
    )
    systems: dict[Name, SystemSettings] = Field(min_length=1)
    apply: Literal["ask", "automatic"] = Field(
        "ask", description="Who puts changed files in force: `concord apply`, or the next round."
    )
    spread: int = Field(
        1,
        ge=1,
        le=64,
        description="Over how many Airflow tasks at most one reconcile or one delivery is spread.",
    )
    processes: dict[Name, ProcessSettings] = Field(
        default_factory=dict, description="What the hub itself watches for, by name."
    )
    log: Literal["text", "json"] = Field(
        "text",
        description="The form of log lines: for people, or one JSON object each for machines.",
    )
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings.model_validate({}))

    @field_validator("systems")
    @classmethod
    def _own_name_is_taken(cls, systems: dict[str, Any]) -> dict[str, Any]:
        if OWN_SYSTEM in systems:
            raise mistake(f"a system named {OWN_SYSTEM!r}", "another name: it is the hub's own")
        return systems

    @field_validator("rank")
    @classmethod
    def _no_system_twice(cls, rank: list[str]) -> list[str]:
        if twice := sorted({name for name in rank if rank.count(name) > 1}):
            raise mistake(f"{twice} twice", "every system once")
        return rank

    @model_validator(mode="after")
    def _rank_is_total(self) -> HubSettings:
        missing, extra = set(self.systems) - set(self.rank), set(self.rank) - set(self.systems)
        if missing or extra:
            parts = [f"does not rank {sorted(missing)}"] * bool(missing)
            parts += [f"ranks {sorted(extra)}, which are no systems"] * bool(extra)
            raise mistake(" and ".join(parts), f"each of {sorted(self.systems)} once", at=("rank",))
        return self


class FieldSettings(Configured):
    """How one field is decided."""

    rule: Rule
    order: list[str | list[str]] = Field(
        default_factory=list,
        description="For source_priority systems, highest first, ties as a list; for most_restrictive values.",
    )
    owner: str | list[str] | None = Field(
        None,
        description="For owner: the system whose word it is; `originator` for the one it comes from.",
    )
    member: str | None = Field(
        None, description="For most_restrictive: the group's member that counts."
    )

    @model_validator(mode="after")
    def _has_what_its_rule_needs(self) -> FieldSettings:
        needs_order = self.rule in (Rule.SOURCE_PRIORITY, Rule.MOST_RESTRICTIVE)
        if needs_order and not self.order:
            raise mistake(f"{self.rule.value} without an order", "with `order: [...]`")
        if self.rule is Rule.OWNER and not self.owner:
            raise mistake("owner without a system", "with `owner: <system>`")
        return self


def _rule_or_settings(value: Any) -> Any:
    return {"rule": value} if isinstance(value, str) else value


class KeySettings(Configured):
    """An identity key: the fields whose values it pools; ``words`` compares them without case, accents and order."""

    fields: list[str] = Field(min_length=1)
    compare: Literal["exact", "words"] = "exact"


def _fields_or_settings(value: Any) -> Any:
    return {"fields": value} if isinstance(value, list) else value


class MatchSettings(Configured):
    """When two records are the same customer."""

    keys: dict[
        Name,
        Annotated[
            KeySettings,
            BeforeValidator(_fields_or_settings, json_schema_input_type=list[str] | KeySettings),
        ],
    ]
    same: list[list[Name]] = Field(
        min_length=1, description="Agreement on all keys of one entry is enough."
    )
    unless_differ: list[Name] = Field(default_factory=list)
    within_system: Literal["review", "link", "new"] = "review"

    @field_validator("same", "unless_differ")
    @classmethod
    def _names_keys(cls, value: list[Any], info: ValidationInfo) -> list[Any]:
        known = set(info.data.get("keys", {}))
        used = {name for entry in value for name in (entry if isinstance(entry, list) else [entry])}
        if unknown := sorted(used - known):
            raise mistake(f"unknown keys {unknown}", ", ".join(sorted(known)))
        return value


class FuseSettings(Configured):
    """The shares above which a run stops and asks. `concord approve` with the run's id lets it pass once."""

    deletes: float = Field(
        0.05, ge=0, le=1, description="Of a stream's records: gone at once, or to be deleted."
    )
    links: float = Field(
        0.2, ge=0, le=1, description="Of all customers: records linked to one by one run."
    )
    writes: float = Field(
        0.5, ge=0, le=1, description="Of all customers: deliveries that wait for a stream."
    )
    floor: int = Field(25, ge=0, description="A number up to which no run is stopped.")


class PolicySettings(Configured):
    """``policies/<entity>.yaml``."""

    entity: Name
    default: Literal["most_recent"] = "most_recent"
    fields: dict[
        str,
        Annotated[
            FieldSettings,
            BeforeValidator(_rule_or_settings, json_schema_input_type=Rule | FieldSettings),
        ],
    ] = Field(default_factory=dict)
    match: MatchSettings
    failures_allowed: float = Field(
        0.0, ge=0, le=1, description="Share of records that may fail before a run counts as failed."
    )
    deletes: DeletePolicy = Field(
        DeletePolicy.IGNORE, description="What a deletion in one system does elsewhere."
    )
    fuses: FuseSettings = Field(default_factory=lambda: FuseSettings.model_validate({}))
