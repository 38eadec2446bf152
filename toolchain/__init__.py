"""Builds, pushes, renders, registers and runs what this repository holds."""
