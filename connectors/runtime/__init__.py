"""What every kind of connector shares: manifests, connections, HTTP, budgets, redaction."""
