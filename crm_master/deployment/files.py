"""Where the files of a deployment are: in a folder, behind it what ships with Concord, or in the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson

import connectors
import mappings
from connectors.yamlfile import ConfigurationMistakes, Mistake

FileReader = Callable[[str], str | None]
"""Gives the text of a deployment's file by its name (``policies/customer.yaml``), ``None`` if there is none."""

EXAMPLE = """\
# A hub: which systems there are, where they are, and which way their records flow.
# Addresses and credentials come from Airflow connections, or from AIRFLOW_CONN_<ID> in the environment.
name: my_hub
rank: [erp]                      # every system, the one that wins a tie first
systems:
  erp:
    system: tryton               # systems/tryton.yaml: yours if there is one, else the one that ships
    connection: erp              # AIRFLOW_CONN_ERP
    params: {database: tryton, newsletter: 1}
    join: ask                    # an operator approves what would be written; auto lets policy do it
    streams:
      parties: {direction: both}
"""


def write_example(home: Path) -> bool:
    """Write an example ``hub.yaml`` where there is none. Gives whether it did."""
    path = home / "hub.yaml"
    if path.exists():
        return False
    home.mkdir(parents=True, exist_ok=True)
    path.write_text(EXAMPLE, encoding="utf-8")
    return True


def home_files(home: Path) -> FileReader:
    """The files of a deployment: its own, and where it has none, those that ship with Concord."""
    shipped = {
        "systems": Path(connectors.__file__).parent / "systems",
        "mappings": Path(mappings.__file__).parent,
        "entities": Path(mappings.__file__).parent / "entities",
        "policies": Path(mappings.__file__).parent / "policies",
    }

    def read(name: str) -> str | None:
        folder, _, rest = name.partition("/")
        places = [home / name]
        if rest and folder in shipped:
            places.append(shipped[folder] / rest)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            return None
        content = found.read_bytes()
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            mistake = Mistake(name, line, "", "bytes that are no UTF-8", "a YAML file in UTF-8")
            raise ConfigurationMistakes([mistake]) from None

    return read


class RecordedFiles(dict[str, str]):
    """The files that a deployment was compiled from, and no others. They were applied once."""

    def __call__(self, name: str) -> str | None:
        return self.get(name)


def recorded_files(content: str) -> FileReader:
    """The files of a deployment as the journal recorded them."""
    return RecordedFiles(orjson.loads(content))
