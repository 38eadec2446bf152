"""The tables of stack/README.md, as the templates have it.

python tests/support/stack_tables.py    writes them
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

from support.resolved_stacks import FOLDER, NAMES, template

from toolchain.stacks.parameters import COMPUTED
from toolchain.stacks.template import Parameter

README = FOLDER / "README.md"


def overview() -> str:
    """Template, what it creates, what it needs, when."""
    lines = ["| order | template | creates | needs |", "| --- | --- | --- | --- |"]
    for number, name in enumerate(NAMES, start=1):
        needs = [other for other in NAMES if template(other).exports & template(name).imports]
        creates = template(name).body["Description"].removesuffix(".")
        lines.append(f"| {number} | [{name}.yaml]({name}.yaml) | {creates} | {', '.join(needs) or 'nothing'} |")
    return "\n".join(lines) + "\n"


def allowed(parameter: Parameter) -> str:
    """The values that a parameter may have, in a table's cell."""
    if parameter.allowed:
        values = parameter.allowed
        if len(values) > 8:  # a series
            values = (*values[:3], "…", values[-1])
        return ", ".join(values)
    if parameter.kind == "Number":
        return f"{parameter.lowest} to {parameter.highest}"
    pattern = (parameter.pattern or "").replace("|", "\\|")
    return f"`{pattern}`"


def default(parameter: Parameter) -> str:
    """What a parameter is where genomics.toml says nothing."""
    if parameter.name in COMPUTED:
        return "set by `deploy`"
    if parameter.default is None:
        return "**to be given**"
    return parameter.default or "empty"


def parameters() -> str:
    """A table of parameters a template."""
    text = ""
    for name in NAMES:
        text += f"\n### {name}\n\n| parameter | default | allowed | |\n| --- | --- | --- | --- |\n"
        for parameter in template(name).parameters.values():
            text += f"| {parameter.name} | {default(parameter)} | {allowed(parameter)} | {parameter.description} |\n"
    return text


def written(readme: str) -> str:
    """A README with its tables made anew: one between two comments, and the others after the third."""
    before, rest = readme.split("<!-- templates -->\n")
    _, rest = rest.split("<!-- end of templates -->\n")
    between, _ = rest.split("<!-- parameters -->\n")
    top = f"{before}<!-- templates -->\n{overview()}<!-- end of templates -->\n"
    return f"{top}{between}<!-- parameters -->\n{parameters()}"


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
