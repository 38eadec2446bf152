"""The input of a run, as the state machine takes it."""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from toolchain.errors import BadDataError, WrongUsageError
from toolchain.workflow.samples import Lane, Sample, Skip, is_path

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LARGEST_INPUT = 256 * 1024
LONGEST_RUN = 40
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", flags=re.ASCII)


@dataclass(frozen=True, kw_only=True)
class RunInput:
    """The input of a run.

    Attributes:
        reference: The FASTA, as a path below /scratch/reference.
        samples: The samples and their lanes.
        shards: The number of parts of the genome that are called in parallel.
        ploidy: 1 or 2.
        aligner: The tool that aligns, and whose index is prepared.
        skip: The parts of the workflow that are left out.
        count_orphans: Whether variants are also called from reads that are not properly paired.
        resources: Tool or command to the `VCPU` and `MEMORY` (MiB) that override its job definition's.
    """

    reference: str
    samples: tuple[Sample, ...]
    shards: int
    ploidy: int
    aligner: str = "bwa"
    skip: tuple[Skip, ...] = ()
    count_orphans: bool = False
    resources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def fastqs(self) -> list[str]:
        """The FASTQ files of all lanes, as paths below /scratch/data."""
        return [name for sample in self.samples for lane in sample.lanes for name in (lane.r1, lane.r2)]

    def as_json(self) -> dict[str, Any]:
        """The input of the state machine in stack/workflow.yaml."""
        return {
            "reference": self.reference,
            "shards": self.shards,
            "ploidy": self.ploidy,
            "aligner": self.aligner,
            **({"skip": list(self.skip)} if self.skip else {}),
            **({"countOrphans": True} if self.count_orphans else {}),
            "resources": {
                tool: [{"Type": kind, "Value": str(value)} for kind, value in sorted(overrides.items())]
                for tool, overrides in sorted(self.resources.items())
            },
            "samples": [
                {"name": sample.name, "lanes": [_lane(lane) for lane in sample.lanes]} for sample in self.samples
            ],
        }

    def dump(self) -> str:
        """The input as compact JSON.

        Raises:
            BadDataError: It is larger than Step Functions takes.
        """
        text = json.dumps(self.as_json(), separators=(",", ":"))
        if (size := len(text.encode())) > LARGEST_INPUT:
            raise BadDataError(
                f"{len(self.samples)} samples are too many for one run",
                why=f"its input has {size} bytes, and Step Functions takes {LARGEST_INPUT}",
                fix="Split the sample sheet into several runs.",
            )
        return text


def check_reference(path: str) -> str:
    """Checks and returns a reference's path.

    Raises:
        WrongUsageError: It is not a path below /scratch/reference.
    """
    if not is_path(path):
        raise WrongUsageError(
            f"bad reference {path!r:.100}",
            why="it must be a path below /scratch/reference of letters, digits and '._+=@-', with no leading '/'",
            fix="Give the FASTA's path below /scratch/reference.",
        )
    return path


def new_name() -> str:
    """A unique name for a run: date, time, and a random suffix."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def check_name(name: str) -> str:
    """Checks and returns a run's name.

    Raises:
        WrongUsageError: It has a bad character, or is too long.
    """
    if not _RUN.fullmatch(name) or len(name) > LONGEST_RUN or name == "reference":
        raise WrongUsageError(
            f"bad run name {name!r:.100}",
            why=f"it must be at most {LONGEST_RUN} letters, digits, '_' and '-', and not 'reference'",
            fix="Choose another.",
        )
    return name


def _lane(lane: Lane) -> dict[str, str]:
    """A lane without what was not given: more samples fit into 256 KiB."""
    return {key: value for key, value in asdict(lane).items() if value}
