"""The use cases, batch by batch: land, reconcile, deliver, decide, repair."""
