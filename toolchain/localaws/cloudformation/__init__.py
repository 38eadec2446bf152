"""moto's CloudFormation, with the resource types of stack/ made through their services' APIs, and real change sets."""

import sys

# moto's CloudFormation imports API Gateway, and that jsonschema, which compiles this optional grammar for 1.5 s.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # what makes an import fail
