"""ECR: moto's, with a real registry behind it from the first login on.

Jobs name images by the engine's ids and need none. The registry does not refuse pushes to a tag that is immutable.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from moto.ecr import policy_validation

from toolchain.localaws.config import LocalConfig
from toolchain.localaws.ecr.registry import LocalRegistry
from toolchain.localaws.ecr.repositories import use_registry
from toolchain.localaws.moto_patch import replace

# Lifecycle rules that archive images, or go by their last pull. moto 5.2.5: they are refused.
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
LIFECYCLE_RULES: Final = {
    "VALID_ACTION_PROPERTIES": {"targetStorageClass"},
    "VALID_ACTION_TYPE_VALUES": {"transition"},
    "VALID_SELECTION_PROPERTIES": {"storageClass"},
    "VALID_SELECTION_COUNT_TYPE_VALUES": {"sinceImagePulled", "sinceImageTransitioned"},
}
for _name, _values in LIFECYCLE_RULES.items():
    replace(policy_validation, _name, getattr(policy_validation, _name) | _values)


@contextmanager
def serve_registry(config: LocalConfig) -> Iterator[None]:
    """Gives repositories addresses of an empty registry on the loopback until the block ends."""
    folder = config.root / "registry"
    shutil.rmtree(folder, ignore_errors=True)
    with LocalRegistry(folder) as registry, use_registry(registry, registry.host):
        yield
