"""Batch job definitions: rendered, validated, registered, pruned and verified."""
