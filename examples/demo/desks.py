"""Somebody at a desk: edits made by hand in Tryton and Mailman, through the systems' own APIs."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from examples.peers import Mailman, MailmanClient, MailmanRefusal, PeerError, Tryton, TrytonClient


@dataclass(frozen=True, slots=True)
class PartyCard:
    """A party as a clerk sees it: values as typed, in Tryton's order."""

    id: int
    name: str
    active: bool
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    mobiles: tuple[str, ...]
    street: str
    postal_code: str
    city: str
    vat: str | None
    newsletter: bool


class _Desk:
    """Somebody whose session ends with the block."""

    _client: TrytonClient | MailmanClient

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()


class TrytonDesk(_Desk):
    """A clerk with a Tryton session. Parties go by id, or by an e-mail address in any case."""

    def __init__(self, erp: Tryton) -> None:
        self._erp = erp
        self._client: TrytonClient = TrytonClient(erp)

    def count(self) -> int:
        """Active parties, the company itself left out."""
        total: int = self._client.model(
            "party.party", "search_count", [["id", "!=", self._erp.company_party]]
        )
        return total

    def find(self, email: str) -> int | None:
        """The first party with this address, inactive ones included."""
        pattern = email.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
        domain = [
            ["contact_mechanisms", "where", [["type", "=", "email"], ["value", "ilike", pattern]]],
            ["active", "in", [True, False]],
        ]
        found = self._client.model("party.party", "search", domain, 0, 1, [["id", "ASC"]])
        return found[0] if found else None

    def card(self, party: int | str) -> PartyCard:
        fields = ["name", "active", "categories", "identifiers.code", "contact_mechanisms.type"]
        fields += ["contact_mechanisms.value", "addresses.street", "addresses.postal_code"]
        (row,) = self._client.model(
            "party.party", "read", [self._id(party)], [*fields, "addresses.city"]
        )
        mechanisms = row["contact_mechanisms."]
        address = row["addresses."][0] if row["addresses."] else {}
        return PartyCard(
            id=row["id"],
            name=row["name"],
            active=bool(row["active"]),
            emails=tuple(m["value"] for m in mechanisms if m["type"] == "email"),
            phones=tuple(m["value"] for m in mechanisms if m["type"] == "phone"),
            mobiles=tuple(m["value"] for m in mechanisms if m["type"] == "mobile"),
            street=address.get("street") or "",
            postal_code=address.get("postal_code") or "",
            city=address.get("city") or "",
            vat=row["identifiers."][0]["code"] if row["identifiers."] else None,
            newsletter=self._erp.newsletter in row["categories"],
        )

    def add(self, name: str, *, email: str | None = None, phone: str | None = None) -> int:
        mechanisms = [
            {"type": kind, "value": value}
            for kind, value in (("email", email), ("phone", phone))
            if value is not None
        ]
        record = {"name": name, "contact_mechanisms": [["create", mechanisms]]}
        (party,) = self._client.model("party.party", "create", [record])
        return int(party)

    def rename(self, party: int | str, name: str) -> None:
        self._client.model("party.party", "write", [self._id(party)], {"name": name})

    def change_phone(self, party: int | str, value: str) -> None:
        self._change_contact(party, "phone", value)

    def change_mobile(self, party: int | str, value: str) -> None:
        self._change_contact(party, "mobile", value)

    def change_email(self, party: int | str, value: str) -> None:
        self._change_contact(party, "email", value)

    def deactivate(self, party: int | str) -> None:
        self._client.model("party.party", "write", [self._id(party)], {"active": False})

    def delete(self, party: int | str) -> None:
        """Physical, and without a trace."""
        self._client.model("party.party", "delete", [self._id(party)])

    def _change_contact(self, party: int | str, kind: str, value: str) -> None:
        """The party's first contact of this kind takes the value; it is made if there is none."""
        key = self._id(party)
        domain = [["party", "=", key], ["type", "=", kind]]
        found = self._client.model("party.contact_mechanism", "search", domain, 0, 1)
        if found:
            self._client.model("party.contact_mechanism", "write", found, {"value": value})
        else:
            record = {"party": key, "type": kind, "value": value}
            self._client.model("party.contact_mechanism", "create", [record])

    def _id(self, party: int | str) -> int:
        found = party if isinstance(party, int) else self.find(party)
        if found is None:
            raise PeerError(f"No party in Tryton has the address {party}.")
        return found


class MailmanDesk(_Desk):
    """The list owner. People go by their e-mail address, in any case."""

    def __init__(self, lists: Mailman) -> None:
        self._lists = lists
        self._client: MailmanClient = MailmanClient(lists)

    def count(self) -> int:
        """Members of the list."""
        page = self._client.get(f"/lists/{self._lists.list_id}/roster/member?count=1&page=1")
        total: int = page["total_size"]
        return total

    def user(self, email: str) -> dict[str, Any] | None:
        """The user who holds this address, subscribed or not."""
        try:
            found: dict[str, Any] = self._client.get(f"/users/{email}")
        except MailmanRefusal as refusal:
            if refusal.status == 404:
                return None
            raise
        return found

    def member(self, email: str) -> dict[str, Any] | None:
        """The subscription to the list by this address."""
        form = {"subscriber": email, "list_id": self._lists.list_id, "role": "member"}
        _, _, page = self._client.request("POST", "/members/find", form)
        entries = page.get("entries", [])
        return entries[0] if entries else None

    def subscribe(self, email: str, display_name: str = "") -> str:
        """The new member's id."""
        return self._client.subscribe(email, display_name).rsplit("/", 1)[-1]

    def rename(self, email: str, display_name: str) -> None:
        """Change the user's name, and the address's: a roster shows the address's if it has one."""
        self._client.patch(f"/users/{email}", display_name=display_name)
        self._client.patch(f"/addresses/{email}", display_name=display_name)

    def change_address(self, email: str, new: str) -> None:
        """The same member with another address; the old address is removed."""
        member = self._member(email)
        self._client.post(f"/users/{email}/addresses", email=new)
        self._client.post(f"/addresses/{new}/verify", verify="true")
        self._client.patch(member["self_link"], address=new)
        self._client.delete(f"/addresses/{email}")

    def unsubscribe(self, email: str) -> None:
        """End the membership; user and address stay."""
        self._client.delete(self._member(email)["self_link"])

    def erase(self, email: str) -> None:
        """Remove the user with all addresses and memberships."""
        self._client.delete(f"/users/{email}")

    def _member(self, email: str) -> dict[str, Any]:
        member = self.member(email)
        if member is None:
            raise PeerError(f"{email} is no member of {self._lists.list_name}.")
        return member
