"""Connectors: how Concord speaks to the systems of a company, one kind of system each."""
