#!/bin/sh
# Compiles requirements/runtime.txt and requirements/dev.txt from pyproject.toml, and requirements/checkov.txt: exact
# versions with their hashes, and no index's host name. checkov pins a boto3 of its own, so it lives apart.
set -eu
cd "$(dirname "$0")/.."
compile() {
    "$PYTHON" -m uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
        --python-version 3.11 --upgrade "$@"
}
PYTHON=${1:-python3}
compile pyproject.toml --output-file requirements/runtime.txt
compile pyproject.toml --extra dev --output-file requirements/dev.txt
echo checkov | compile - --output-file requirements/checkov.txt
