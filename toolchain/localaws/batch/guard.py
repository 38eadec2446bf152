"""What a job may have of this machine: the three directories of scratch, and nothing that root has.

Batch lets a definition mount any path of its host, as any user, privileged or not: its hosts are there for jobs alone.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from moto.iam.models import IAMBackend

from toolchain.docker.container import Container
from toolchain.jobdefs.template import Scratch
from toolchain.localaws.config import LocalConfig

# The directories of scratch, and whether jobs may write to them.
_MOUNTS: Final = {"reference": False, "data": False, "working": True}
# Numbers alone: what a name means is up to the image.
_USER: Final = re.compile(r"[1-9][0-9]{0,8}(:[1-9][0-9]{0,8})?")
_LINUX_PARAMETERS: Final = frozenset({"initProcessEnabled", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness"})
_TMPFS_OPTIONS: Final = re.compile(r"rw|ro|noexec|nosuid|nodev|(mode|size|uid|gid|nr_inodes)=[0-9]+[kmg%]?")


class ForbiddenError(Exception):
    """A job asks for more than it may have."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The embedded AWS does not run such a job: {why}.")


def check(properties: Mapping[str, Any], config: LocalConfig) -> None:
    """Checks a job definition's containerProperties when it is registered.

    Raises:
        ForbiddenError: Its jobs would have more than they may.
    """
    if faults := [*_faults(properties), *_volume_faults(properties, config)]:
        raise ForbiddenError("; ".join(faults))


def confine(container: Container, image_user: str, config: LocalConfig) -> Container:
    """Checks a container right before it is created, and resolves its mounts.

    The image's user counts where the definition names none.

    Raises:
        ForbiddenError: It asks for more than a job may have.
    """
    user = container.user or image_user
    if container.privileged or not _USER.fullmatch(user):
        raise ForbiddenError(f"its user must be a number that is not 0, and is '{user}'")
    mounts = []
    for mount in container.mounts:
        source = _scratch_directory(mount.source, config)
        if source is None or not (_MOUNTS[source.name] or mount.read_only):
            raise ForbiddenError(f"it may not mount {mount.source}")
        mounts.append(replace(mount, source=str(source)))
    return replace(container, user=user, mounts=tuple(mounts))


def may_export(iam: IAMBackend, role_arn: str | None) -> bool:
    """Whether a role's policies let it create data repository tasks."""
    for role in iam.roles.values():
        for document in role.policies.values() if role.arn == role_arn else ():
            statements = json.loads(document).get("Statement") or ()
            for statement in [statements] if isinstance(statements, Mapping) else statements:
                actions = statement.get("Action") or ()
                actions = [actions] if isinstance(actions, str) else actions
                if statement.get("Effect") == "Allow" and "fsx:CreateDataRepositoryTask" in actions:
                    return True
    return False


def _faults(properties: Mapping[str, Any]) -> Iterable[str]:
    if properties.get("privileged"):
        yield "privileged must be false"
    user = properties.get("user")
    if user not in (None, "") and not (isinstance(user, str) and _USER.fullmatch(user)):
        yield f"user must be a number that is not 0, and is '{user}'"
    linux = properties.get("linuxParameters") or {}
    for name in sorted(name for name in set(linux) - _LINUX_PARAMETERS if linux[name]):
        yield f"linuxParameters.{name} is not for jobs here"
    for entry in linux.get("tmpfs") or ():
        # It becomes a part of the mount options, and a text could hold more of them.
        if type(entry.get("size")) is not int:
            yield f"the tmpfs size must be a number of MiB, and is '{entry.get('size')}'"
        for option in entry.get("mountOptions") or ():
            if not _TMPFS_OPTIONS.fullmatch(str(option)):
                yield f"the tmpfs option '{option}' is not for jobs here"
    if properties.get("secrets"):
        yield "there are no secrets here"
    if (properties.get("logConfiguration") or {}).get("logDriver", "awslogs") != "awslogs":
        yield "logDriver must be awslogs"


def _volume_faults(properties: Mapping[str, Any], config: LocalConfig) -> Iterable[str]:
    directories = {}
    for volume in properties.get("volumes") or ():
        path = str((volume.get("host") or {}).get("sourcePath") or "")
        name = _directory_name(path, config)
        directories[volume.get("name")] = name
        if name is None or any(volume[key] for key in set(volume) - {"name", "host"}):
            allowed = ", ".join(str(config.scratch.resolve() / mount) for mount in _MOUNTS)
            yield f"the volume '{volume.get('name')}' is '{path}', and must be one of {allowed}"
    for mount in properties.get("mountPoints") or ():
        name = directories.get(mount.get("sourceVolume"))
        if name is None:
            yield f"the mount point {mount.get('containerPath')} has no volume that jobs may mount"
        elif not _MOUNTS[name] and mount.get("readOnly") is not True:
            yield f"the mount of {name} must be readOnly"


def _directory_name(path: str, config: LocalConfig) -> str | None:
    """Which directory of scratch a path is, here or on a host of the cloud, whose definitions are kept but not run."""
    for name in _MOUNTS:
        if path == f"{Scratch().path}/{name}":
            return name
    directory = _scratch_directory(path, config)
    return directory.name if directory else None


def _scratch_directory(path: str, config: LocalConfig) -> Path | None:
    """The directory of scratch that a path leads to; none for any other path.

    No job can write where they are: none can be swapped for a link after this check.
    """
    if not path.startswith("/"):
        return None
    try:
        directory = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return directory if directory.parent == config.scratch.resolve() and directory.name in _MOUNTS else None
