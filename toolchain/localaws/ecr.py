"""ECR: the lifecycle rules that moto does not know yet."""

from toolchain.localaws.world import World


def install(_world: World) -> None:
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
