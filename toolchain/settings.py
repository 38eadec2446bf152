"""genomics.toml: what differs between labs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from toolchain import files
from toolchain.files import must_be

AlignerChoice = Literal["bwa", "bwa-mem3", "auto"]
# A value of a stack's parameter.
Value = bool | int | float | str | tuple[str, ...]

_Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\z"),
    must_be("a name of lower-case letters, digits and single hyphens"),
]
_ListItem = Annotated[str, Field(pattern=r"^[^,]*\z")]
_StackValue = Annotated[
    bool | int | float | str | tuple[_ListItem, ...],
    must_be("a text, a number, true, false, or a list of texts without commas"),
]


@with_config(ConfigDict(extra="forbid"))
class JobSettings(TypedDict, total=False):
    """What differs from the defaults of a tool's job definition: memory in MiB, timeout in seconds."""

    vcpus: Annotated[int, Field(strict=True, ge=1, le=192), must_be("a whole number from 1 to 192")]
    memory: Annotated[int, Field(strict=True, ge=4, le=1_572_864), must_be("a whole number from 4 to 1572864")]
    timeout: Annotated[int, Field(strict=True, ge=60, le=604_800), must_be("a whole number from 60 to 604800")]
    attempts: Annotated[int, Field(strict=True, ge=1, le=10), must_be("a whole number from 1 to 10")]


_Price = Annotated[float, Field(ge=0), must_be("a price in USD")]


class Prices(BaseModel):
    """What file systems, network and hosts cost by the hour or month, in USD.

    Attributes:
        region: Where these prices hold.
        date: When they were read.
        lustre_gib_month: By deployment type, and throughput where that can be chosen, as in PERSISTENT_2-125.
        nat_gateway_hour: With its address.
        vcpu_hour: Of a host on demand; Spot costs less.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str
    date: str
    lustre_gib_month: Mapping[str, _Price]
    endpoint_hour: _Price
    nat_gateway_hour: _Price
    key_month: _Price
    vcpu_hour: _Price


class Settings(BaseModel):
    """The content of genomics.toml.

    Attributes:
        project: The prefix of repositories, job definitions and log groups.
        workflow: WORKFLOW_NAME, the first directory below /scratch/working.
        aligner: The aligner of runs that name none.
        jobs: By tool.
        tags: AWS tags of everything that is registered and deployed.
        prices: Without them nothing is said about costs.
        stacks: Stack to the parameters that differ from its template's defaults; the template checks them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: _Name
    workflow: _Name
    aligner: Annotated[AlignerChoice, must_be("one of bwa, bwa-mem3, auto")] = "auto"
    jobs: Mapping[str, JobSettings] = {}
    tags: Annotated[Mapping[str, str], must_be("a table of texts")] = {}
    prices: Prices | None = None
    stacks: Mapping[str, Mapping[str, _StackValue]] = Field(default={}, alias="stack")


def load(file: Path) -> Settings:
    """Reads genomics.toml.

    Raises:
        ConfigurationError: The file does not exist, or some keys in it are wrong; the message names each of them.
    """
    return files.read_toml(file, Settings, fix="Correct it; the comments in it say what each key means.")
