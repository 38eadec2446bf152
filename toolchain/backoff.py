"""How often something is tried again, and how long is waited before it is."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often something is tried, and how long is waited before it is tried again.

    Attributes:
        attempts: The most attempts.
        first: The longest first wait, in seconds; each further one may be twice as long.
        longest: The longest wait, in seconds.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 30.0

    def wait(self, failed: int) -> float:
        """How long to wait after so many failed attempts: anything up to the longest, so that many spread out.

        Args:
            failed: How many attempts have failed, from 1.
        """
        return random.uniform(0, min(self.longest, self.first * 2 ** (failed - 1)))  # noqa: S311  # no secret
