"""CloudFormation: stacks that are made, changed and deleted through the other services' APIs.

moto's own makes blanks of the types that it does not know, in no order, without a way back, and what its classes make
is not always what the services' APIs make. So this one is not an extension of it but in its place: templates are read
here, and each resource type is a few calls of its service's API. AWS's resource schemas say which changes mean another
resource. What is not here: nested stacks, macros other than AWS::LanguageExtensions, stack sets, drift, imports of
resources, stack policies, and the stack's tags on its resources.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolchain.localaws.access import Access


@contextmanager
def application(access: Access) -> Iterator[Any]:
    """A WSGI application that answers for CloudFormation in every region, until the block ends.

    Args:
        access: Where the services answer of which stacks are made, and the key.
    """
    from toolchain.localaws.cloudformation.api import response_class
    from toolchain.localaws.cloudformation.service import Services
    from toolchain.localaws.web import answering

    services = Services(access)
    try:
        yield answering("cloudformation", response_class(services))
    finally:
        services.close()
