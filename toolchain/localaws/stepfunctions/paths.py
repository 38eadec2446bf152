"""JSONPath with an index: moto gives a list of one where the service gives the value."""

import re
import sys
from typing import Any, Final

# What may match more than once: wildcards, descent, filters, slices and lists of indexes.
_INDEFINITE: Final = re.compile(r"\*|\.\.|\[\?|\[[^\]]*:[^\]]*\]|\[\s*-?\d+\s*,")


def install() -> None:
    """Replaces moto's lookup, wherever it was imported to."""
    import jsonpath_ng.ext.parser as jsonpath
    from moto.stepfunctions.parser.asl.utils import json_path

    stock = json_path.extract_json
    if stock.__module__ == __name__:
        return

    def extract_json(path: str, data: Any) -> Any:
        if _INDEFINITE.search(path):
            return stock(path, data)
        found = jsonpath.parse(path).find(data)
        if not found:
            raise json_path.NoSuchJsonPathError(json_path=path, data=data)
        return found[0].value

    for module in list(sys.modules.values()):
        if getattr(module, "extract_json", None) is stock:
            module.extract_json = extract_json  # type: ignore[attr-defined]  # it has it: it was just found there
