"""CloudFormation: stacks that are made, changed and deleted through the other services' APIs.

moto's own makes blanks of the types that it does not know, in no order, without a way back, and what its classes make
is not always what the services' APIs make. So this one is not an extension of it but in its place: templates are read
here, and each resource type is a few calls of its service's API. AWS's resource schemas say which changes mean another
resource. What is not here: nested stacks, macros other than AWS::LanguageExtensions, stack sets, drift, imports of
resources, stack policies, and the stack's tags on its resources.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolchain.localaws.cloudformation.service import Service


@contextmanager
def application(endpoint: str) -> Iterator[Any]:
    """A WSGI application that answers for CloudFormation in every region, until the block ends.

    Args:
        endpoint: Where the services answer of which stacks are made.
    """
    from flask import Flask
    from moto.core.utils import convert_to_flask_response
    from moto.moto_server.werkzeug_app import BackendRequest

    from toolchain.localaws.cloudformation.api import response_class
    from toolchain.localaws.cloudformation.service import Service

    services: dict[tuple[str, str], Service] = {}
    guard = threading.Lock()

    def service_of(account: str, region: str) -> "Service":
        with guard:
            if (account, region) not in services:
                services[account, region] = Service(name=region, account=account, endpoint=endpoint)
            return services[account, region]

    flask = Flask("cloudformation")
    flask.request_class = BackendRequest
    flask.add_url_rule(
        "/",
        "dispatch",
        view_func=convert_to_flask_response(response_class(service_of).dispatch),
        methods=["GET", "POST"],
    )
    try:
        yield flask
    finally:
        for one in services.values():
            one.close()
