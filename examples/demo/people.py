"""Invented customers, the way several systems come to hold them: overlapping, and never quite alike.

Nobody here exists. Addresses of electronic mail end in example.org, example.com and example.net;
telephone numbers are well-formed and made up; VAT numbers have right check digits.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_GIVEN = (
    "Marie Jean Luc Sofie Jan Emma Noah Louise Lucas Pilar José María Iker Núria Begoña Jürgen "
    "Käthe Björn Heike Günther Anneliese Siobhán Conor Zoë Renée Loïc Wout Liesbeth Aïcha Ander"
).split()
_FAMILY = (
    "Dupont|Peeters|Janssens|Van den Broeck|De Smet|Lambert|García López|Fernández|Etxeberria|"
    "Núñez|Müller|Schröder|Weiß|Groß|Özdemir|O'Brien|O'Neill|D'Hondt|Saint-Rémy|Vandenberghe|"
    "Claes|Maes|Wouters|Ruiz Ibáñez|Köhler|Jäger|Lefèvre|Dubois"
).split("|")
_TRADES = "Bakkerij|Garage|Imprimerie|Talleres|Bäckerei|Boekhandel|Librería|Elektro".split("|")
_FORMS = {"BE": "BV", "ES": "S.L.", "DE": "GmbH"}
_DOMAINS = ("example.org", "example.com", "example.net")
_PLACES = {
    "BE": [("1000", "Bruxelles"), ("9000", "Gent"), ("4000", "Liège"), ("2000", "Antwerpen")],
    "ES": [("28004", "Madrid"), ("48001", "Bilbao"), ("08002", "Barcelona"), ("41001", "Sevilla")],
    "DE": [("10115", "Berlin"), ("80331", "München"), ("50667", "Köln"), ("20095", "Hamburg")],
}
_STREETS = {
    "BE": "Rue Haute|Kerkstraat|Chaussée de Wavre|Stationsstraat".split("|"),
    "ES": "Calle Mayor|Gran Vía|Avenida del Puerto|Plaza Nueva".split("|"),
    "DE": "Hauptstraße|Bahnhofstraße|Schloßallee|Am Markt".split("|"),
}
# Each way of writing is valid in its country; local ones name no country at all.
_PHONES = {
    "BE": ("02 5## ## ##", "+32 2 5## ## ##", "02/5##.##.##", "0032 25######"),
    "ES": ("91 5## ## ##", "+34 915 ### ###", "944-2##-###", "0034 93 4## ## ##"),
    "DE": ("030 5######", "+49 30 5######", "(089) 5######", "0049 40 3######"),
}
_MOBILES = {
    "BE": ("0475/##.##.##", "+32 475 ## ## ##", "0475######"),
    "ES": ("6## ## ## ##", "+34 6########", "6##-###-###"),
    "DE": ("0151 2#######", "+49 151 2#######", "0171/2######"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """One invented customer, as tidy as nobody holds it."""

    number: int
    name: str
    email: str
    second_email: str | None
    country: str
    phone: str | None
    mobile: str | None
    street: str
    postal_code: str
    city: str
    vat: str | None

    @property
    def is_company(self) -> bool:
        return self.vat is not None


def people(count: int, seed: int = 1) -> list[Person]:
    """The same people for the same seed, each with e-mail addresses nobody else has."""
    chance = random.Random(seed)
    return [_person(number, chance) for number in range(count)]


def messy_name(name: str, chance: random.Random) -> str:
    """A name as hands type it: case, spacing and order vary."""
    given, _, family = name.partition(" ")
    return chance.choice(
        [
            *(name, name, name, name.upper(), name.lower(), f"{name} "),
            *(f"  {family.upper()}  {given.lower()}", f"{given}  {family}", f"{family}, {given}"),
        ]
    )


def messy_email(email: str, chance: random.Random) -> str:
    """An address as hands type it: the same mailbox in another case."""
    local, _, domain = email.partition("@")
    return chance.choice(
        [
            email,
            email,
            email,
            email.upper(),
            f"{local.title()}@{domain}",
            f"{local}@{domain.upper()}",
        ]
    )


def belgian_vat(number: int) -> str:
    """A Belgian VAT number: eight digits and the check digits, 97 less the remainder by 97."""
    body = 4_000_000 + number * 7
    return f"BE0{body:07d}{97 - body % 97:02d}"


def _person(number: int, chance: random.Random) -> Person:
    country = chance.choice(["BE", "BE", "BE", "ES", "ES", "DE"])
    family = chance.choice(_FAMILY)
    company = chance.random() < 0.08
    if company:
        name = f"{chance.choice(_TRADES)} {family} {_FORMS[country]}"
        local = "info." + _ascii(family)
    else:
        given = chance.choice(_GIVEN)
        name = f"{given} {family}"
        local = f"{_ascii(given)}.{_ascii(family)}"
    domain = chance.choice(_DOMAINS)
    postal_code, city = chance.choice(_PLACES[country])
    return Person(
        number=number,
        name=name,
        email=f"{local}{number}@{domain}",
        second_email=f"{local}{number}.home@{domain}" if chance.random() < 0.15 else None,
        country=country,
        phone=_digits(chance.choice(_PHONES[country]), chance) if chance.random() < 0.7 else None,
        mobile=_digits(chance.choice(_MOBILES[country]), chance) if chance.random() < 0.6 else None,
        street=f"{chance.choice(_STREETS[country])} {chance.randint(1, 180)}",
        postal_code=postal_code,
        city=city,
        vat=belgian_vat(number) if company else None,
    )


def _ascii(name: str) -> str:
    import unicodedata

    plain = name.replace("ß", "ss").replace("ø", "o")
    letters = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in letters if letter.isalnum())


def _digits(pattern: str, chance: random.Random) -> str:
    return "".join(str(chance.randint(0, 9)) if sign == "#" else sign for sign in pattern)
