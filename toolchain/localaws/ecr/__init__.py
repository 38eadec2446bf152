"""ECR: moto's, with a real registry behind it as soon as somebody logs in to push.

Until then nothing runs: jobs here name images by the ids that the engine knows them by. What is not here: that a tag
is immutable is a repository's setting, and the registry does not hold pushes against it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig


def install(_world: LocalConfig, _access: Access) -> None:
    """Lets moto take rules that archive images, and rules by an image's last pull.

    As in https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
    """
    from moto.ecr import policy_validation as known

    known.VALID_ACTION_PROPERTIES = known.VALID_ACTION_PROPERTIES | {"targetStorageClass"}
    known.VALID_ACTION_TYPE_VALUES = known.VALID_ACTION_TYPE_VALUES | {"transition"}
    known.VALID_SELECTION_PROPERTIES = known.VALID_SELECTION_PROPERTIES | {"storageClass"}
    known.VALID_SELECTION_COUNT_TYPE_VALUES = known.VALID_SELECTION_COUNT_TYPE_VALUES | {
        "sinceImagePulled",
        "sinceImageTransitioned",
    }


@contextmanager
def pushable(world: LocalConfig) -> Iterator[None]:
    """While it lasts, repositories have addresses on the loopback, and a login starts what listens there.

    Args:
        world: Where the registry keeps its layers, for as long as the server knows its repositories.
    """
    from toolchain.localaws.ecr.on_demand import OnDemand
    from toolchain.localaws.ecr.truth import ecr_of

    folder = world.root / "registry"
    shutil.rmtree(folder, ignore_errors=True)
    with OnDemand(folder) as registry, ecr_of(registry, registry.host):
        yield
