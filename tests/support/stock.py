"""Runs questions to stock moto, in a process where nothing of ours is installed."""

import json
import subprocess
import sys
from typing import Any

_FRAME = """
import inspect, json, logging
logging.disable(logging.CRITICAL)
answers = {{}}
{code}
print(json.dumps(answers))
"""


def answers(code: str) -> dict[str, Any]:
    """What some code put into its dictionary `answers`."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FRAME.format(code=code)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found
