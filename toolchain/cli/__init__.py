"""The commands of `python build.py`, a module for each group."""
