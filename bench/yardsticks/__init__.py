"""What a user would pick instead, on the same API: each runs in an environment of its own (``bench/requirements.lock``)."""
