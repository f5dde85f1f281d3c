"""`make up`: Airflow with Concord's DAGs and the demo's systems, until Ctrl-C. Everything listens on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from examples import peers
from examples.demo.cluster import USER, Cluster
from examples.demo.stage import Company


def main() -> int:
    """0 after Ctrl-C, 1 if something did not start."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = Path(tempfile.mkdtemp(prefix="concord-up-"))
    port = int(os.environ.get("PORT") or 0) or None
    try:
        _say("The systems start, and are filled with invented customers ...")
        with Company(folder / "shared") as company:
            company.fill()
            home = company.deploy(folder / "hub")
            _say("Airflow starts: web page, scheduler, DAG processor (half a minute or more) ...")
            with Cluster(folder / "airflow", home, port=port) as cluster:
                _tell(cluster, company, home)
                signal.pause()
    except KeyboardInterrupt:
        _say("\nStopped.")
    except peers.PeerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _tell(cluster: Cluster, company: Company, home: Path) -> None:
    erp, shop, lists = company.erp, company.shop, company.lists
    _say(
        f"""
  Airflow   {cluster.url}   login {USER}, password {cluster.password}
  Tryton    {erp.url}   login {erp.user_name}, password {erp.password}, database {erp.database}
  Vendure   {shop.url}/admin-api   login {shop.user_name}, password {shop.password}
  Mailman   {lists.url}   login {lists.user_name}, password {lists.password}
  Office    {company.office.url}/backoffice   (SOAP) login {company.office.user_name}, password {company.office.password}
  Calls     {company.shared}

The systems are read now, and every five minutes. They join within five minutes: see the DAG maintain__join.
Look on with `concord status`:  CONCORD_HOME={home} .venv/bin/concord status
Ctrl-C stops everything and removes it.
"""
    )


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
