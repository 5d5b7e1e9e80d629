"""Other libraries as backends, judged and timed like any other; nothing here is an oracle."""
