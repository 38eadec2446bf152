"""The XML that S3 speaks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET

# What no XML document may hold.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True)
class Node:
    """An element: its name, and its children or its text."""

    name: str
    children: Sequence["Node"] = field(default_factory=tuple)
    content: str | None = None


def text(name: str, content: str) -> Node:
    """An element with text."""
    return Node(name, (), content)


def written(node: Node) -> bytes:
    """A document."""
    root = _element(node)
    if node.name != "Error":  # which has none
        root.set("xmlns", _NAMESPACE)
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def read(document: bytes) -> ET.Element:
    """A document's root, with names that have no namespace.

    Raises:
        xml.etree.ElementET.ParseError: It is none.
    """
    root = ET.fromstring(document)  # noqa: S314  # from a client on this machine, whose files these are
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    return root


def moment(when: datetime) -> str:
    """A time as S3 writes it in XML."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _element(node: Node) -> ET.Element:
    element = ET.Element(node.name)
    element.text = None if node.content is None else _NO_XML.sub("\ufffd", node.content)
    element.extend(_element(one) for one in node.children)
    return element
