"""What a Docker engine is asked to run for a Batch job.

The only mapping from job definitions to containers: the demo, the smoke tests and the embedded AWS all use it. It does
what Batch and the ECS agent do on EC2:
https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolchain.errors import WrongUsageError

MIB = 1024 * 1024
SHARES_PER_VCPU = 1024
FEWEST_SHARES = 2
_REFERENCE = re.compile(r"Ref::([A-Za-z0-9_-]+)")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A directory of the host inside a container."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """What Batch tells a job about itself.

    Attributes:
        attempt: From 1.
        array_index: From 0; none outside an array job.
    """

    job_id: str = "local"
    queue: str = "local"
    compute_environment: str = "local"
    attempt: int = 1
    array_index: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that Batch adds to a job's environment."""
        variables = {
            "AWS_BATCH_JOB_ID": self.job_id,
            "AWS_BATCH_JQ_NAME": self.queue,
            "AWS_BATCH_CE_NAME": self.compute_environment,
            "AWS_BATCH_JOB_ATTEMPT": str(self.attempt),
        }
        if self.array_index is not None:
            variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(self.array_index)
        return variables


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container to run.

    Attributes:
        image: A reference that the engine can resolve.
        command: Empty for the image's own.
        environment: Every variable, Batch's own included.
        vcpus: A weight and not a limit, as on a Batch host.
        memory: The hard limit in MiB; there is no swap beyond it.
        user: `uid:gid`, or empty for the image's own.
        tmpfs: Target to mount options.
        shared_memory: Size of /dev/shm in MiB; none for the engine's default.
        ulimits: Limits of setrlimit(2), each with `Name`, `Soft` and `Hard`.
        init: Whether process 1 is an init that reaps and forwards signals.
    """

    image: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    vcpus: int = 1
    memory: int
    user: str = ""
    read_only: bool = False
    privileged: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    shared_memory: int | None = None
    ulimits: tuple[Mapping[str, str | int], ...] = ()
    init: bool = False

    def docker_arguments(self) -> dict[str, Any]:
        """The keyword arguments of docker-py's `containers.create`, except for the image and the command."""
        return {
            "environment": dict(self.environment),
            # Bind mounts and not volumes: a host directory that is missing is an error, and is not created.
            "mounts": [
                {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
                for mount in self.mounts
            ],
            "cpu_shares": max(FEWEST_SHARES, self.vcpus * SHARES_PER_VCPU),
            "mem_limit": self.memory * MIB,
            "memswap_limit": self.memory * MIB,
            "user": self.user,
            "read_only": self.read_only,
            "privileged": self.privileged,
            "tmpfs": dict(self.tmpfs),
            "ulimits": [dict(limit) for limit in self.ulimits],
            "init": self.init,
            # Jobs on a Batch host are in the host's network, and their roles limit what they can do there. They need no
            # network, so on a workstation they get none: neither its loopback nor its instance metadata.
            "network_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "log_config": {"Type": "json-file"},
            **({} if self.shared_memory is None else {"shm_size": self.shared_memory * MIB}),
        }


def container_of(
    definition: Mapping[str, Any],
    *,
    parameters: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    vcpus: int | None = None,
    memory: int | None = None,
    job: Job | None = None,
) -> Container:
    """The container of a job.

    Args:
        definition: RegisterJobDefinition's arguments, or what DescribeJobDefinitions returns.
        parameters: Over the definition's.
        command: Instead of the definition's; `Ref::` is substituted in it too.
        environment: Over the definition's.
        vcpus: Instead of the definition's.
        memory: Instead of the definition's, in MiB.
        job: Which job it is.

    Raises:
        WrongUsageError: A parameter that the definition does not declare.
    """
    properties = definition["containerProperties"]
    declared: Mapping[str, str] = definition.get("parameters", {})
    parameters = parameters or {}
    if unknown := sorted(set(parameters) - set(declared)):
        raise WrongUsageError(
            f"no parameter '{unknown[0]}' in {definition['jobDefinitionName']}",
            why=f"it declares {', '.join(sorted(declared)) or 'none'}",
            fix="Correct the name.",
        )
    resources = {entry["type"]: int(entry["value"]) for entry in properties["resourceRequirements"]}
    vcpus = vcpus or resources["VCPU"]
    linux = properties.get("linuxParameters", {})
    return Container(
        image=properties["image"],
        command=substituted(command or properties.get("command", ()), {**declared, **parameters}),
        environment={
            **{entry["name"]: entry["value"] for entry in properties.get("environment", [])},
            **(environment or {}),
            **(job or Job()).environment,
            # On a Batch host steps ask the ECS agent for it.
            "STEP_VCPUS": str(vcpus),
        },
        mounts=_mounts(properties),
        vcpus=vcpus,
        memory=memory or resources["MEMORY"],
        user=properties.get("user", ""),
        read_only=properties.get("readonlyRootFilesystem", False),
        privileged=properties.get("privileged", False),
        tmpfs={
            entry["containerPath"]: ",".join([f"size={entry['size']}m", *entry.get("mountOptions", [])])
            for entry in linux.get("tmpfs", [])
        },
        shared_memory=linux.get("sharedMemorySize"),
        ulimits=tuple(
            {"Name": entry["name"], "Soft": entry["softLimit"], "Hard": entry["hardLimit"]}
            for entry in properties.get("ulimits", [])
        ),
        init=linux.get("initProcessEnabled", False),
    )


def substituted(command: Sequence[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """A command with every `Ref::name` replaced, once: a value is not searched for references.

    A name that is not declared stays as it is, as it does in Batch.
    """
    return tuple(_REFERENCE.sub(lambda match: parameters.get(match[1], match[0]), word) for word in command)


def _mounts(properties: Mapping[str, Any]) -> tuple[Mount, ...]:
    sources = {volume["name"]: volume["host"]["sourcePath"] for volume in properties.get("volumes", [])}
    return tuple(
        Mount(
            source=sources[mount["sourceVolume"]],
            target=mount["containerPath"],
            read_only=mount.get("readOnly", False),
        )
        for mount in properties.get("mountPoints", [])
    )
