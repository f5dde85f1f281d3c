"""Real systems to try Concord against: installed once, started on loopback, stopped without trace.

    from examples import peers

    with peers.tryton() as erp, peers.mailman() as lists, peers.vendure() as shop:
        print(erp.rest_url, lists.url, shop.url)

Standard library only. See README.md beside this file for what these systems do.
"""

from collections.abc import Callable

from examples.peers import broker, database, erp, lists, office, shop
from examples.peers.broker import Redis
from examples.peers.database import Postgres
from examples.peers.erp import Tryton, TrytonClient
from examples.peers.installing import PeerError
from examples.peers.lists import Mailman, MailmanClient, MailmanRefusal
from examples.peers.office import BackOffice, Clerk, PhpBackOffice
from examples.peers.processes import Server, free_port
from examples.peers.shop import Vendure, VendureClient

tryton = Tryton
mailman = Mailman
postgres = Postgres
redis = Redis
vendure = Vendure
backoffice = BackOffice

INSTALLERS: dict[str, Callable[[], object]] = {
    "tryton": erp.install,
    "mailman": lists.install,
    "postgres": database.install,
    "redis": broker.install,
    "vendure": shop.install,
    "backoffice": office.install,
}


def install(*systems: str) -> None:
    """Install these systems (all without a name); what is there already is kept."""
    for system in systems or tuple(INSTALLERS):
        if system not in INSTALLERS:
            raise PeerError(f"No peer is called {system!r}; there are {', '.join(INSTALLERS)}.")
        INSTALLERS[system]()


__all__ = [
    "INSTALLERS",
    "BackOffice",
    "Clerk",
    "Mailman",
    "MailmanClient",
    "MailmanRefusal",
    "PeerError",
    "PhpBackOffice",
    "Postgres",
    "Redis",
    "Server",
    "Tryton",
    "TrytonClient",
    "Vendure",
    "VendureClient",
    "backoffice",
    "free_port",
    "install",
    "mailman",
    "postgres",
    "redis",
    "tryton",
    "vendure",
]
