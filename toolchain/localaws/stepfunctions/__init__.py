"""AWS Step Functions: moto's interpreter, and what it lacks to run this project's state machines."""

import logging

from moto.core.config import default_user_config
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.moto_patch import replace
from toolchain.localaws.stepfunctions import (  # noqa: F401  # each replaces parts of moto
    api,
    expressions,
    integrations,
    map_runs,
    states,
)
from toolchain.localaws.stepfunctions.backend import LocalStepFunctionsBackend

replace(stepfunctions_parser_backends, "backend", LocalStepFunctionsBackend)


def install(_config: LocalConfig, access: Access) -> None:
    """Turns the interpreter on."""
    # moto logs every failed state with its whole environment; the history has it too.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    LocalStepFunctionsBackend.access = access
