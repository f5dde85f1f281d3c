"""Fills a fresh Tryton database; runs inside Tryton's own environment, before any server starts.

    tryton_base.py CONFIG DATABASE FACTS.json

A company in euros with its chart of accounts and fiscal year, two products, the party category Newsletter,
and a validated application key for REST. What a client has to know is written to FACTS.json.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

from proteus import Model, config

config_file, database, facts = sys.argv[1:4]
config.set_trytond(f"sqlite:///{database}", config_file=config_file)

from trytond.modules.account.tests.tools import (  # noqa: E402
    create_chart,
    create_fiscalyear,
    get_accounts,
)
from trytond.modules.account_invoice.tests.tools import (  # noqa: E402
    set_fiscalyear_invoice_sequences,
)
from trytond.modules.company.tests.tools import create_company, get_company  # noqa: E402
from trytond.modules.currency.tests.tools import get_currency  # noqa: E402

create_company(currency=get_currency("EUR"))
company = get_company()
User = Model.get("res.user")
(user,) = User.find([("login", "=", "admin")])
user.companies.append(company)
user.company = company
user.save()
config.get_config()._context = User.get_preferences(True, {})

create_chart(company)
set_fiscalyear_invoice_sequences(create_fiscalyear()).click("create_period")
accounts = get_accounts()
category = Model.get("product.category")(name="Goods", accounting=True)
category.account_expense = accounts["expense"]
category.account_revenue = accounts["revenue"]
category.save()
(unit,) = Model.get("product.uom").find([("name", "=", "Unit")])
products = []
for code, name, price in (("W-1", "Widget", "10.00"), ("G-1", "Gadget", "25.50")):
    template = Model.get("product.template")(
        name=name, code=code, default_uom=unit, type="goods", salable=True
    )
    template.list_price = Decimal(price)
    template.account_category = category
    template.save()
    products.append(template.products[0])

newsletter = Model.get("party.category")(name="Newsletter")
newsletter.save()

application = Model.get("res.user.application")(user=user, application="rest")
application.save()
if application.state != "validated":
    application.click("validate_")

Path(facts).write_text(
    json.dumps(
        {
            "company": company.id,
            "company_party": company.party.id,
            "key": application.key,
            "newsletter": newsletter.id,
            "product": products[0].id,
            "unit": unit.id,
        }
    )
)
