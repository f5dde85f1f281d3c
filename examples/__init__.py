"""Runnable examples: real peer systems, and the demo that joins them."""
