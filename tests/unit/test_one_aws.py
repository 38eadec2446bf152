"""The code does not ask whether it talks to AWS or to the embedded AWS, except where it must."""

import re

from toolchain.paths import HERE

SIGNS = {
    "endpoint": re.compile(r"AWS_ENDPOINT_URL|endpoint_url"),
    "embedded": re.compile(r"\blocalaws\b"),
    "target": re.compile(r"\b(Aws|Local)Target\b"),
}
# Module to the signs that it may hold, and why.
ALLOWED: dict[str, dict[str, str]] = {
    "toolchain/aws.py": {"endpoint": "names the variable in what to check when nothing answers, and reads it nowhere"},
    "toolchain/cli/local.py": {"embedded": "--local, and `local start|stop|status`", "target": "hands it to commands"},
    "toolchain/cli/doctor.py": {"target": "`doctor --deep` takes --local, and the other checks do not"},
    "toolchain/cli/jobdefs.py": {"target": "`render` without --local is for AWS"},
    "toolchain/demo/run.py": {
        "embedded": "the demo is always on this machine: it puts its reads where that AWS has them",
        "target": "likewise",
    },
    "toolchain/doctor/checks/machine.py": {"target": "doctor looks at AWS only"},
    "toolchain/runs/target.py": {"target": "defines them"},
}


def test_only_these_modules_ask_which_of_the_two_they_talk_to() -> None:
    modules = {file.relative_to(HERE.root): file for file in HERE.root.glob("toolchain/**/*.py")}
    files = [file for path, file in modules.items() if path.parts[1] != "localaws"]
    files += [HERE.root / "build.py", *HERE.jobdefs.glob("*.j2"), *HERE.stacks.glob("*.yaml")]
    signs = {
        str(file.relative_to(HERE.root)): {
            name for name, pattern in SIGNS.items() if pattern.search(file.read_text(encoding="utf-8"))
        }
        for file in files
    }
    assert {file: names for file, names in signs.items() if names} == {
        file: set(names) for file, names in ALLOWED.items()
    }
