"""The documentation is true: its commands exist, its files are valid, its links lead somewhere."""

import ast
import importlib
import json
import re
import shlex
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml

from connectors.files import manifest as files
from connectors.registry import load_manifest
from connectors.rest import manifest as rest
from connectors.runtime import manifest as runtime
from connectors.runtime.streams import calls, models, writes
from connectors.soap import manifest as soap
from connectors.yamlfile import load_model
from crm_master import cli, settings
from crm_master.domain.alerts import RULES, Severity
from mappings import spec
from mappings.compiler import compile_file
from tests.docs.pages import ROOT, all_blocks, anchors, blocks, commands, pages, prose

COMMAND: Any = typer.main.get_command(cli.app)
ENTITIES = ROOT / "mappings" / "entities"
HOSTS = {
    "airflow.apache.org", "keepachangelog.com", "semver.org",
    "example.com", "example.org", "lists.example.org", "erp.example.org",
}  # fmt: skip
PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


# Commands


def _parse(words: list[str]) -> None:
    """Parse a command line of `concord` without running it. Raises the parser's ``UsageError``."""
    command, name, parent = COMMAND, "concord", None
    while True:
        context = command.make_context(name, list(words), parent=parent)
        left = [*getattr(context, "_protected_args", ()), *context.args]
        if not hasattr(command, "commands") or not left:
            return
        name, command, words = command.resolve_command(context, left)
        parent = context


def _mentioned() -> list[tuple[str, str]]:
    found = [
        (str(block), command)
        for block in all_blocks("console")
        for command, _ in commands(block.body)
        if command.startswith("concord ")
    ]
    for page in pages():
        for text in re.findall(r"`(concord [^`]+)`", prose(page)):
            found.append((str(page.relative_to(ROOT)), text))
    return sorted(set(found))


@pytest.mark.parametrize(("where", "command"), _mentioned())
def test_a_command_exists_with_its_options(where, command):
    words = shlex.split(command.replace("NUMBER", "1"))[1:]
    try:
        _parse(words)
    except Exception as error:
        # a verb may be named without its arguments
        if type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
            raise AssertionError(f"{where}: {command}: {error}") from error


@pytest.mark.parametrize("command", ["concord sink", "concord sync --fully", "concord dlq lost"])
def test_a_command_that_does_not_exist_is_noticed(command):
    with pytest.raises(AssertionError):
        test_a_command_exists_with_its_options("here", command)


def _verbs(command: Any = COMMAND, path: str = "concord") -> list[str]:
    if not hasattr(command, "commands"):
        return [path]
    own = [path] if command.invoke_without_command and path != "concord" else []
    return own + [v for n, c in command.commands.items() for v in _verbs(c, f"{path} {n}")]


@pytest.mark.parametrize("verb", _verbs())
def test_every_command_is_in_the_operators_list(verb):
    text = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    assert re.search(rf"\| [^|]*`{verb}[ `]", text), f"docs/operate.md does not list {verb}"


def test_other_commands_name_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {t for page in pages() for t in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named
    assert named <= targets


def test_every_alert_is_in_the_runbook_with_what_to_look_at_and_what_to_do():
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([a-z-]+)$(.*?)(?=^## |\Z)", text, re.M | re.S))
    told = {rule.see.partition("#")[2]: rule.severity for rule in RULES.values()}
    assert sections.keys() == told.keys() | {"dag-fails"}
    for name, section in sections.items():
        assert section.strip().startswith(f"*{told.get(name, Severity.CRITICAL).value.title()}"), (
            name
        )
        assert "`concord " in section, name


# Files


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_a_yaml_block_is_a_valid_file(block):
    kind = block.file or (block.words[0] if block.words else "")
    if kind.startswith(("hub", "./hub")):
        load_model(block.body, settings.HubSettings)
    elif kind.startswith("mapping"):
        entity = yaml.safe_load(block.body)["entity"]
        compile_file(block.body, spec.load_entity(ENTITIES / f"{entity}.yaml"), {})
    elif kind.startswith("polic"):
        load_model(block.body, settings.PolicySettings)
    elif kind.startswith("entit"):
        spec.load_entity(block.body)
    elif kind.startswith("system"):
        load_manifest(block.body)
    elif kind.startswith("process"):
        for process in yaml.safe_load(block.body)["processes"].values():
            settings.ProcessSettings.model_validate(process)
    else:
        pytest.fail(f"{block} does not say what it is: ```yaml hub, mapping, policy, entity, …")


@pytest.mark.parametrize("block", all_blocks("json"), ids=str)
def test_a_json_block_is_json(block):
    json.loads(block.body)


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_a_python_block_is_python(block):
    ast.parse(block.body)


# Reference tables

_INHERITED = {*calls.Call.model_fields, *calls.Lookup.model_fields}
MODELS = {
    model.__name__: model
    for module in (settings, spec, runtime, calls, models, writes, rest, soap, files)
    for model in vars(module).values()
    if isinstance(model, type) and hasattr(model, "model_fields")
}
REFERENCE = ("configure.md", "manifests.md")
_TABLE = re.compile(r"<!-- model: (\w+) -->(.*?)(?=^#|\Z)", re.M | re.S)


def _tables():
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in REFERENCE)
    for name, section in _TABLE.findall(text):
        rows = re.findall(r"^\| (`[^|]*) \|(.*)\| ([^|]*) \|$", section, re.M)
        keys = {key: default for cell, _, default in rows for key in re.findall(r"`(\w+)`", cell)}
        yield name, keys


@pytest.mark.parametrize(("name", "keys"), list(_tables()), ids=lambda value: str(value)[:20])
def test_a_reference_table_is_its_model(name, keys):
    fields = {info.alias or key: info for key, info in MODELS[name].model_fields.items()}
    left_out = fields.keys() - keys.keys()
    if issubclass(MODELS[name], calls.Call) and name != "Read":
        left_out -= _INHERITED
    if name == "SoapManifest":
        left_out -= models.StreamManifest.model_fields.keys()
    if issubclass(MODELS[name], writes.ActionStep):
        left_out -= writes.Step.model_fields.keys()
    if name == "FilesManifest":
        left_out -= runtime.Manifest.model_fields.keys()
    assert not left_out, f"the reference lacks keys of {name}"
    assert keys.keys() <= fields.keys()
    for key, said in keys.items():
        info = fields[key]
        assert info.is_required() == (said == "required"), key
        default = info.default
        if isinstance(default, Enum):
            default = default.value
        if isinstance(default, bool):
            default = str(default).lower()
        if isinstance(default, str | int | float) and default != "":
            assert f"`{default}`" in said or f"`{default:g}`" in said, key


_UNTOLD = {  # each in words, at the key that holds it, or a base of others
    "Configured", "Manifest", "HttpManifest", "StreamManifest", "SoapHttp", "Call", "Lookup", "SideListing", "SingleLookup",
    "Join", "Only",
    "MemberDef", "EachLine", "Options", "BaseModel",
}  # fmt: skip


def test_every_model_has_its_table():
    told = {name for name, _ in _tables()}
    assert MODELS.keys() - told - _UNTOLD == set()


# Links, names, and what must not be there


@PAGES
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if urlsplit(target).scheme:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@PAGES
def test_files_that_are_named_exist(page):
    tops = "crm_master|connectors|dags|examples|tests|docs"
    for name in re.findall(rf"`((?:{tops})/[^`*<>\s]*)`", prose(page)):
        assert (ROOT / name).exists(), name


def test_functions_that_are_named_exist():
    text = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:engine|domain)(?:\.\w+)+)(?:\([^`]*)?`", text)
    assert len(names) > 8
    for name in names:
        package, module, *attributes = name.split(".")
        found = importlib.import_module(f"crm_master.{package}.{module}")
        for attribute in attributes:
            found = getattr(found, attribute)


@PAGES
def test_addresses_are_of_known_places_only(page):
    text = page.read_text(encoding="utf-8")
    for address in re.findall(r"https?://[^\s)\"'`<>\]]+", text):
        host = re.split("[/:]", address.partition("://")[2].rpartition("@")[2])[0]
        placeholder = host in ("host", "host[", "") or host.startswith("{")
        assert host in HOSTS or placeholder, address


@PAGES
def test_no_place_of_somebodys_machine_is_named(page):
    text = page.read_text(encoding="utf-8")
    assert str(ROOT) + "/" not in text
    assert not re.search(r"(?<![\w.:/~-])/(home|root|tmp|Users|mnt|opt)/", text)


@PAGES
def test_sentences_are_not_left_unfinished(page):
    assert not re.search(r"\b(TODO|FIXME|TBD|lorem)\b", page.read_text(encoding="utf-8"))


@PAGES
def test_lines_are_not_too_long_to_review(page):
    if page.name == "codecs.md":
        return
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        assert len(line) <= 125 or line.startswith(("|", "$ ")), f"line {number}"


def test_each_block_has_a_language_or_is_a_drawing():
    for page in pages():
        for block in blocks(page):
            known = {"", "console", "json", "mermaid", "python", "sh", "sql", "yaml"}
            assert block.language in known, str(block)
