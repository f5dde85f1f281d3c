"""What the demo and `make up` stand on: the two systems, filled, and a deployment that knows where they are."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from connectors.runtime.connection import variable
from examples.demo.seed import DUPLICATES, Seeded, seed
from examples.peers import Mailman, Tryton

HUB = Path(__file__).resolve().parent / "hub"


def fill(erp: Tryton, lists: Mailman) -> Seeded:
    """Customers as two systems come to hold them that never spoke to each other."""
    return seed(erp, lists, duplicates=DUPLICATES)


def deploy(home: Path, erp: Tryton, lists: Mailman) -> Path:
    """A copy of the demo's deployment with this Tryton's ids, its connections in the environment."""
    shutil.copytree(HUB, home)
    file = home / "hub.yaml"
    text = re.sub(r"newsletter: \d+", f"newsletter: {erp.newsletter}", file.read_text())
    file.write_text(re.sub(r"database: \w+", f"database: {erp.database}", text))
    os.environ.update(connections(erp, lists))
    return home


def connections(erp: Tryton, lists: Mailman) -> dict[str, str]:
    """The connections that hub.yaml names, as Airflow and Concord take them from the environment."""
    mailing = {
        "conn_type": "concord",
        "host": lists.url.rpartition("/")[0],
        "login": lists.user_name,
        "password": lists.password,
    }
    tryton = {"conn_type": "concord", "host": erp.url, "password": erp.key}
    return {
        variable("concord_erp"): json.dumps(tryton),
        variable("concord_mailing"): json.dumps(mailing),
    }
