"""The customer engine: rules, use cases and the master database."""
