"""The step library, which connects a Batch job to the tool that it runs. Standard library only.

A command checks its arguments (arguments), finds its reference and inputs (references, job), runs programs as a
pipeline (pipeline), and publishes their output (steps). The contract is described in ../README.md.
"""
