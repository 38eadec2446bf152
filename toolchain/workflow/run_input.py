"""What a run is asked to do: the state machine's input, and the jobs that come of it."""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolchain.errors import BadDataError, WrongUsageError
from toolchain.workflow.samples import Lane, Sample, Skip, in_order, is_path

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LARGEST_INPUT = 256 * 1024
LONGEST_RUN = 40
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", flags=re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of a run.

    Attributes:
        sample: Whose job it is; none for a job of the whole run.
        step: Its name, such as `mem L001` or `call 3`.
        tool: Whose job definition it uses.
    """

    sample: str | None
    step: str
    tool: str


@dataclass(frozen=True, kw_only=True)
class RunInput:
    """What a run is asked to do.

    Attributes:
        reference: The FASTA, as a path below /scratch/reference.
        samples: The samples and their lanes.
        shards: Parts of the genome to call side by side.
        ploidy: 1 or 2.
        aligner: Whose job definition `index` and `mem` use.
        skip: What is done without.
        count_orphans: Whether reads whose pair is not a proper one are called from, too.
        resources: Tool to what its jobs get instead of the job definition's: `VCPU`, and `MEMORY` in MiB.
    """

    reference: str
    samples: tuple[Sample, ...]
    shards: int
    ploidy: int
    aligner: str = "bwa"
    skip: tuple[Skip, ...] = ()
    count_orphans: bool = False
    resources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The execution's input, as stack/workflow.yaml reads it."""
        return {
            "reference": self.reference,
            "shards": self.shards,
            "ploidy": self.ploidy,
            "aligner": self.aligner,
            **({"skip": list(self.skip)} if self.skip else {}),
            **({"countOrphans": True} if self.count_orphans else {}),
            "resources": {
                tool: [{"Type": kind, "Value": str(value)} for kind, value in sorted(own.items())]
                for tool, own in sorted(self.resources.items())
            },
            "samples": [
                {"name": sample.name, "lanes": [_lane(lane) for lane in sample.lanes]} for sample in self.samples
            ],
        }

    def dump(self) -> str:
        """The input as the text that is sent.

        Raises:
            BadDataError: It is larger than the service takes.
        """
        text = json.dumps(self.as_json(), separators=(",", ":"))
        if (size := len(text.encode())) > LARGEST_INPUT:
            raise BadDataError(
                f"{len(self.samples)} samples are too many for one run",
                why=f"its input has {size} bytes, and Step Functions takes {LARGEST_INPUT}",
                fix="Split the sample sheet into several runs.",
            )
        return text

    def jobs(self) -> tuple[Job, ...]:
        """Every job, in the order in which a sample meets them."""
        jobs = [Job(sample=None, step="index", tool=self.aligner)]
        for sample in self.samples:
            steps = [
                *((f"mem {lane.name}", self.aligner) for lane in sample.lanes),
                *([] if sample.is_finished_by_its_lane else [("finish", "samtools")]),
                *((f"call {shard}", "bcftools") for shard in range(self.shards)),
                ("gather", "bcftools"),
                *([] if "qc" in self.skip else [("qc", "samtools")]),
                ("check", "samtools"),
            ]
            jobs += [Job(sample=sample.name, step=step, tool=tool) for step, tool in steps]
        return (*jobs, Job(sample=None, step="export", tool="fsx-export"))


def parse(text: str) -> RunInput:
    """An execution's input, back into an order: of a run that anybody started.

    Raises:
        BadDataError: It is none.
    """
    try:
        data = json.loads(text)
        return RunInput(
            reference=data["reference"],
            samples=tuple(
                Sample(
                    name=sample["name"],
                    lanes=tuple(
                        Lane(
                            name=lane["name"],
                            r1=lane["r1"],
                            r2=lane["r2"],
                            library=lane.get("library"),
                            unit=lane.get("unit"),
                        )
                        for lane in sample["lanes"]
                    ),
                )
                for sample in data["samples"]
            ),
            shards=int(data["shards"]),
            ploidy=int(data["ploidy"]),
            aligner=data.get("aligner", "bwa"),
            skip=in_order(data.get("skip", ())),
            count_orphans=bool(data.get("countOrphans", False)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadDataError(
            "the run's input is no order of this workflow",
            why=f"{type(error).__name__}: {error}",
            fix="Let `python build.py run SAMPLES.csv --reference NAME --dry-run` write one.",
        ) from error


def check_reference(path: str) -> str:
    """A reference that steps take.

    Raises:
        WrongUsageError: It is no path below /scratch/reference.
    """
    if not is_path(path):
        raise WrongUsageError(
            f"bad reference {path!r:.100}",
            why="it must be a path below /scratch/reference of letters, digits and '._+=@-', with no leading '/'",
            fix="Give the FASTA's path below /scratch/reference.",
        )
    return path


def new_name() -> str:
    """A name for a run: its date and time, and something that two started at once do not share."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def check_name(name: str) -> str:
    """A name that a run may have.

    Raises:
        WrongUsageError: It has another character, or too many.
    """
    if not _RUN.fullmatch(name) or len(name) > LONGEST_RUN or name == "reference":
        raise WrongUsageError(
            f"bad run name {name!r:.100}",
            why=f"it must be at most {LONGEST_RUN} letters, digits, '_' and '-', and not 'reference'",
            fix="Choose another.",
        )
    return name


def _lane(lane: Lane) -> dict[str, str]:
    # What is not given is left out: 256 KiB hold more samples so.
    given = {"library": lane.library, "unit": lane.unit}
    return {"name": lane.name, "r1": lane.r1, "r2": lane.r2, **{key: value for key, value in given.items() if value}}
