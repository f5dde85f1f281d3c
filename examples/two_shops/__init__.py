"""A shop and a help desk that are simulated, and the deployment that keeps them in step: docs/tutorial.md."""
