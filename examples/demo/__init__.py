"""The demo: two real systems, kept in step."""
