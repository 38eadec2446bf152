"""Containers on this machine's Docker engine, as Batch would start them."""
