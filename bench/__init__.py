"""Measurements of Concord at sizes that no test reaches."""
