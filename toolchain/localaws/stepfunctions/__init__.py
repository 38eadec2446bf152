"""AWS Step Functions: moto's interpreter, with what it lacks to run a state machine as the service does."""

import logging

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig


def install(_world: LocalConfig, access: Access) -> None:
    """Turns the interpreter on, and gives it these."""
    from moto.core.config import default_user_config
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    from toolchain.localaws.stepfunctions import (
        announcements,
        api,
        arguments,
        backend,
        children,
        definitions,
        expressions,
        names,
        paths,
        tasks,
    )

    # It tells of every failed state, with all that surrounds it; a history tells of it too, and is asked for.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    stepfunctions_parser_backends.backend = backend.LocalStepFunctionsBackend
    for part in (definitions, expressions, names, paths, arguments, tasks, children, announcements, api):
        part.install()
    tasks.use(access)
