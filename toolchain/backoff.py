"""Exponential backoff with full jitter."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often to try, and how long to wait in between.

    Attributes:
        attempts: The most attempts.
        first: The longest first wait, in seconds; each further one may be twice as long.
        longest: The longest wait, in seconds.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 30.0

    def wait(self, failed: int) -> float:
        """A random number of seconds to wait after so many failed attempts, from 1."""
        return random.uniform(0, min(self.longest, self.first * 2 ** (failed - 1)))  # noqa: S311  # no secret
