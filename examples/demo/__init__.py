"""The demo: one customer whom four real systems know, and a company that stays (`make up`)."""
