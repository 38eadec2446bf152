"""Services that are not moto's, behind moto's own door."""

from typing import Any


def answering(name: str, response_class: type[Any]) -> Any:  # noqa: ANN401  # a WSGI application, which is any callable
    """A WSGI application that answers for one service.

    Args:
        name: The service.
        response_class: What answers: a class that is made as moto's own are.
    """
    from flask import Flask
    from moto.core.utils import convert_to_flask_response
    from moto.moto_server.werkzeug_app import BackendRequest

    flask = Flask(name)
    flask.request_class = BackendRequest
    # What goes wrong is the gate's to answer for.
    flask.config["PROPAGATE_EXCEPTIONS"] = True
    view = convert_to_flask_response(response_class.dispatch)
    flask.add_url_rule("/", "dispatch", view_func=view, methods=["GET", "POST"])
    return flask
