"""What a job may have of this machine: the three directories of scratch, and nothing that root has.

Batch lets a definition mount any path of its host, as any user, privileged or not; its hosts are there for jobs alone.
This machine is somebody's own.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from toolchain.docker.container import Container
from toolchain.jobdefs.template import Scratch
from toolchain.localaws.config import LocalConfig

# Each by the name of its directory, and whether jobs may write to it.
_MOUNTS: Final = {"reference": False, "data": False, "working": True}
_HOSTS_SCRATCH: Final = Scratch().path
# By number: what a name stands for is the image's own word.
_USER: Final = re.compile(r"[1-9][0-9]{0,8}(:[1-9][0-9]{0,8})?")
_LINUX: Final = frozenset({"initProcessEnabled", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness"})
_TMPFS_OPTIONS: Final = re.compile(r"rw|ro|noexec|nosuid|nodev|(mode|size|uid|gid|nr_inodes)=[0-9]+[kmg%]?")
_EXPORT_ACTION: Final = "fsx:CreateDataRepositoryTask"


class ForbiddenError(Exception):
    """A job may not have what it asks for; the text is why."""


def check(properties: Mapping[str, Any], world: LocalConfig) -> None:
    """Holds a job definition's containerProperties against what jobs may have.

    Args:
        properties: The definition's containerProperties.
        world: Whose scratch jobs may mount.

    Raises:
        ForbiddenError: It asks for more.
    """
    faults = [*_faults(properties), *_volume_faults(properties, world)]
    if faults:
        raise ForbiddenError(f"The embedded AWS does not run such a job: {'; '.join(faults)}.")


def confined(container: Container, image_user: str, world: LocalConfig) -> Container:
    """What is asked of the engine, as it may be asked: a definition's directories are looked at once more.

    Args:
        container: What a definition asks for.
        image_user: The image's own user, where the definition names none.
        world: Whose scratch jobs may mount.

    Raises:
        ForbiddenError: It asks for more than a job may have.
    """
    user = container.user or image_user
    if container.privileged or not _USER.fullmatch(user):
        raise ForbiddenError(
            f"The embedded AWS does not run such a job: its user must be a number that is not 0, and is '{user}'."
        )
    mounts = []
    for mount in container.mounts:
        source = _directory(mount.source, world)
        if source is None or not (_MOUNTS[source.name] or mount.read_only):
            raise ForbiddenError(f"The embedded AWS does not run such a job: it may not mount {mount.source}.")
        mounts.append(replace(mount, source=str(source)))
    return replace(container, user=user, mounts=tuple(mounts))


def may_export(role: Any) -> bool:  # noqa: ANN401  # moto's role, or none
    """Whether a job's role lets it create data repository tasks."""
    documents = [] if role is None else [*role.policies.values()]
    for document in documents:
        statements = json.loads(document).get("Statement") or ()
        for statement in [statements] if isinstance(statements, Mapping) else statements:
            actions = statement.get("Action") or ()
            if statement.get("Effect") == "Allow" and _EXPORT_ACTION in (
                [actions] if isinstance(actions, str) else actions
            ):
                return True
    return False


def _faults(properties: Mapping[str, Any]) -> Iterable[str]:
    if properties.get("privileged"):
        yield "privileged must be false"
    user = properties.get("user")
    if user not in (None, "") and not (isinstance(user, str) and _USER.fullmatch(user)):
        yield f"user must be a number that is not 0, and is '{user}'"
    linux = properties.get("linuxParameters") or {}
    for name in sorted(name for name in set(linux) - _LINUX if linux[name]):
        yield f"linuxParameters.{name} is not for jobs here"
    for entry in linux.get("tmpfs") or ():
        # It is written into the mount's options, and a text could hold more of them.
        if type(entry.get("size")) is not int:
            yield f"the tmpfs size must be a number of MiB, and is '{entry.get('size')}'"
        yield from (
            f"the tmpfs option '{option}' is not for jobs here"
            for option in entry.get("mountOptions") or ()
            if not _TMPFS_OPTIONS.fullmatch(str(option))
        )
    if properties.get("secrets"):
        yield "there are no secrets here"
    if (properties.get("logConfiguration") or {}).get("logDriver", "awslogs") != "awslogs":
        yield "logDriver must be awslogs"


def _volume_faults(properties: Mapping[str, Any], world: LocalConfig) -> Iterable[str]:
    names = {}
    for volume in properties.get("volumes") or ():
        path = str((volume.get("host") or {}).get("sourcePath") or "")
        names[volume.get("name")] = name = _name(path, world)
        if name is None or any(volume[key] for key in set(volume) - {"name", "host"}):
            allowed = ", ".join(str(world.scratch.resolve() / mount) for mount in _MOUNTS)
            yield f"the volume '{volume.get('name')}' is '{path}', and must be one of {allowed}"
    for mount in properties.get("mountPoints") or ():
        name = names.get(mount.get("sourceVolume"))
        if name is None:
            yield f"the mount point {mount.get('containerPath')} has no volume that jobs may mount"
        elif not _MOUNTS[name] and mount.get("readOnly") is not True:
            yield f"the mount of {name} must be readOnly"


def _name(path: str, world: LocalConfig) -> str | None:
    """Which of the three directories a path is: here, or on the hosts of the cloud, whose definitions do not run."""
    found = _directory(path, world) or Path(path)
    on_hosts = path == f"{_HOSTS_SCRATCH}/{found.name}"
    return found.name if found.name in _MOUNTS and (on_hosts or _directory(path, world)) else None


def _directory(path: str, world: LocalConfig) -> Path | None:
    """One of the three directories; none for any other path.

    They stand where no job can write, so that none of them can be made a link once this has looked at it.
    """
    if not path.startswith("/"):
        return None
    try:
        found = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return found if found.parent == world.scratch.resolve() and found.name in _MOUNTS else None
