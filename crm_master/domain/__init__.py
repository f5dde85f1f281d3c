"""The rules of reconciliation as pure functions: no I/O, no clock, no system's field names."""
