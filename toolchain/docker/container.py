"""A Batch job definition's containerProperties, as what a Docker engine is asked to run.

The one mapping from what Batch is told to what happens on a host: the demo, the smoke tests and the embedded
AWS run every container through it, so what is tried on one machine is what the cloud runs.

It follows what Batch and the ECS agent do on EC2:
https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from toolchain.errors import WrongUsageError

MIB = 1024 * 1024
SHARES_PER_VCPU = 1024
FEWEST_SHARES = 2
_REFERENCE = re.compile(r"Ref::([A-Za-z0-9_-]+)")
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A directory of the host inside a container."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class Ulimit:
    """A limit of setrlimit(2)."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """What Batch itself tells a job.

    Attributes:
        job_id: AWS_BATCH_JOB_ID.
        queue: AWS_BATCH_JQ_NAME.
        compute_environment: AWS_BATCH_CE_NAME.
        attempt: AWS_BATCH_JOB_ATTEMPT, from 1.
        array_index: AWS_BATCH_JOB_ARRAY_INDEX, from 0; none outside an array job.
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
class Overrides:
    """What SubmitJob's containerOverrides may change.

    Attributes:
        command: Replaces the definition's command; `Ref::` is still substituted.
        environment: Added to the definition's, over it.
        vcpus: Replaces the definition's.
        memory: Replaces the definition's, in MiB.
    """

    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    vcpus: int | None = None
    memory: int | None = None

    @classmethod
    def parse(cls, overrides: Mapping[str, Any]) -> "Overrides":
        """From the API's own containerOverrides."""
        resources = {entry["type"]: int(entry["value"]) for entry in overrides.get("resourceRequirements", [])}
        return cls(
            command=tuple(overrides["command"]) if overrides.get("command") else None,
            environment={entry["name"]: entry["value"] for entry in overrides.get("environment", [])},
            vcpus=resources.get("VCPU"),
            memory=resources.get("MEMORY"),
        )


@dataclass(frozen=True, kw_only=True)
class Container:
    """What a Docker engine is asked to run.

    Attributes:
        image: A reference that the engine can resolve.
        command: The command and its arguments; empty for the image's own.
        environment: Every variable, Batch's own included.
        mounts: Directories of the host.
        vcpus: CPU shares, 1024 each: a weight and not a limit, as on a Batch host.
        memory: The hard limit in MiB; there is no swap beyond it.
        user: `uid:gid`, or empty for the image's own.
        read_only: Whether the root file system is read-only.
        privileged: Whether it is privileged.
        tmpfs: Target to mount options.
        shared_memory: Size of /dev/shm in MiB; none for the engine's default.
        ulimits: Limits of setrlimit(2).
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
    ulimits: tuple[Ulimit, ...] = ()
    init: bool = False

    def docker_arguments(self) -> dict[str, Any]:
        """The keyword arguments of docker-py's `containers.create`, less the image and the command."""
        from docker.types import LogConfig
        from docker.types import Mount as DockerMount
        from docker.types import Ulimit as DockerUlimit

        arguments: dict[str, Any] = {
            "environment": dict(self.environment),
            # A bind mount, not a volume: a host directory that is missing is an error and is not made.
            "mounts": [
                DockerMount(target=mount.target, source=mount.source, type="bind", read_only=mount.read_only)
                for mount in self.mounts
            ],
            "cpu_shares": max(FEWEST_SHARES, self.vcpus * SHARES_PER_VCPU),
            "mem_limit": self.memory * MIB,
            "memswap_limit": self.memory * MIB,
            "user": self.user,
            "read_only": self.read_only,
            "privileged": self.privileged,
            "tmpfs": dict(self.tmpfs),
            "ulimits": [DockerUlimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in self.ulimits],
            "init": self.init,
            # On a Batch host jobs are in the host's network, and there is no other choice. What it may do is its role's
            # matter there; a workstation's network, its metadata and its loopback are not for jobs, which need none.
            "network_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "log_config": LogConfig(type="json-file"),
        }
        if self.shared_memory is not None:
            arguments["shm_size"] = self.shared_memory * MIB
        return arguments


def container_of(
    definition: Mapping[str, Any],
    *,
    parameters: Mapping[str, str] = _NOTHING,
    overrides: Overrides | None = None,
    job: Job | None = None,
) -> Container:
    """Maps a job definition, with what a job adds to it, to a container.

    Args:
        definition: RegisterJobDefinition's arguments, or what DescribeJobDefinitions returns.
        parameters: SubmitJob's parameters, over the definition's.
        overrides: SubmitJob's containerOverrides.
        job: Which job it is.

    Raises:
        WrongUsageError: A parameter that the definition does not declare.
    """
    overrides = overrides or Overrides()
    job = job or Job()
    properties = definition["containerProperties"]
    declared: Mapping[str, str] = definition.get("parameters", {})
    if unknown := sorted(set(parameters) - set(declared)):
        raise WrongUsageError(
            f"no parameter '{unknown[0]}' in {definition['jobDefinitionName']}",
            why=f"it declares {', '.join(sorted(declared)) or 'none'}",
            fix="Correct the name.",
        )
    resources = {entry["type"]: int(entry["value"]) for entry in properties["resourceRequirements"]}
    vcpus = overrides.vcpus or resources["VCPU"]
    linux = properties.get("linuxParameters", {})
    environment = {entry["name"]: entry["value"] for entry in properties.get("environment", [])}
    return Container(
        image=properties["image"],
        command=substituted(overrides.command or properties.get("command", ()), {**declared, **parameters}),
        environment={
            **environment,
            **overrides.environment,
            **job.environment,
            # On a Batch host a step asks the ECS agent; here the number of vCPUs is said outright.
            "STEP_VCPUS": str(vcpus),
        },
        mounts=_mounts(properties),
        vcpus=vcpus,
        memory=overrides.memory or resources["MEMORY"],
        user=properties.get("user", ""),
        read_only=properties.get("readonlyRootFilesystem", False),
        privileged=properties.get("privileged", False),
        tmpfs={
            entry["containerPath"]: ",".join([f"size={entry['size']}m", *entry.get("mountOptions", [])])
            for entry in linux.get("tmpfs", [])
        },
        shared_memory=linux.get("sharedMemorySize"),
        ulimits=tuple(
            Ulimit(name=entry["name"], soft=entry["softLimit"], hard=entry["hardLimit"])
            for entry in properties.get("ulimits", [])
        ),
        init=linux.get("initProcessEnabled", False),
    )


def substituted(command: tuple[str, ...] | list[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """A command with every `Ref::name` replaced, once: what a value holds is never looked into.

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
