#!/usr/bin/env bash
# Installs a wheel alone into a new environment, with the pinned versions, and checks what a plain install promises.
#     tools/try_wheel.sh dist/unirex-*.whl NEW_ENVIRONMENT PYTHON_VERSION
set -euo pipefail
wheel=$1 environment=$2 version=$3
constraints=$(dirname "$0")/../constraints.txt

uv venv --quiet --clear --python "$version" "$environment"
python="$environment/bin/python"
uv pip install --quiet --python "$python" --constraint "$constraints" "$wheel"
cd "$environment" # away from the sources
"$environment/bin/unirex-metrics" --help > /dev/null
"$python" - << 'PYTHON'
import importlib.metadata
import sys
import time

start = time.perf_counter()
import unirex.metrics

seconds = time.perf_counter() - start
heavy = {"torch", "transformers", "datasets", "pandas"} & set(sys.modules)
installed = {distribution.name for distribution in importlib.metadata.distributions()}
assert not heavy, f"import unirex.metrics loads {heavy}"
assert "torch" not in installed, "a plain install brings torch"
assert unirex.__version__ == importlib.metadata.version("unirex")
print(f"CPython {sys.version.split()[0]}: unirex {unirex.__version__} imports in {seconds:.2f} s")
PYTHON
time "$environment/bin/unirex-metrics" --help > /dev/null
