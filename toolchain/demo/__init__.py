"""The demo: simulated reads, the whole workflow on this machine, and how accurate the calls are."""
