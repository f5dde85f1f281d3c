"""Streams of systems that answer requests: paging, deltas, joins, guarded writes. Once, for all kinds that call."""
