"""Runs of the workflow: what is asked for, how it is started, followed, read and stopped."""
