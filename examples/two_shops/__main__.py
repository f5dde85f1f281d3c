"""Starts the two systems: `python -m examples.two_shops`. They forget everything when they end."""

from __future__ import annotations

from connectors.testing import Profile, Simulator


def main() -> None:
    """Say where both are, and serve until a line is read. Only programs of this machine can reach them."""
    with Simulator(Profile(etag=True)) as shop, Simulator(Profile(etag=True)) as desk:
        shop.add(name="Ada Lovelace", email="ada@example.org", phone="02 555 12 12", status="A")
        desk.add(name="Ada Lovelace", email="ADA@example.org", city="Ghent")
        desk.add(name="Grace Hopper", email="grace@example.org", status="A")
        for name, system in (("SHOP", shop), ("DESK", desk)):
            host = system.url.removeprefix("http://")
            print(f"export {name}={system.url} AIRFLOW_CONN_{name}=http://:simulated-key@{host}")
        print("Enter ends both. ", flush=True)
        input()


if __name__ == "__main__":
    main()
