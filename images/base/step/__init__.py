"""The step library: the contract between a Batch job and the tool that it runs. Standard library only.

A command checks its arguments (arguments), finds its reference and inputs (references, steps), runs programs as a
pipeline (pipeline), and publishes what they made (steps). README.md beside this package has the contract.
"""
