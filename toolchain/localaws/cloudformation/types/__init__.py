"""The resource types that stacks of the embedded AWS may have, by the service that each belongs to."""

from collections.abc import Mapping
from typing import Final

from toolchain.localaws.cloudformation.types import batch, ec2, ecr, fsx, iam, s3, states, watching
from toolchain.localaws.cloudformation.types.kind import Kind

KINDS: Final[Mapping[str, Kind]] = {
    kind.type_name: kind() for module in (batch, ec2, ecr, fsx, iam, s3, states, watching) for kind in module.KINDS
}
