#!/usr/bin/env bash
# Installs a wheel alone into a new environment, with the pinned versions, and checks what a plain install promises.
#     tools/try_wheel.sh dist/unirex_rationales-*.whl NEW_ENVIRONMENT PYTHON_VERSION
set -euo pipefail
wheel=$1 version=$3
root=$(cd "$(dirname "$0")/.." && pwd)
unset PYTHONPATH # it could lead back to the sources

uv venv --quiet --clear --python "$version" "$2"
environment=$(cd "$2" && pwd)
bin=$environment/bin
[ -d "$bin" ] || bin=$environment/Scripts
uv pip install --quiet --python "$bin/python" --constraint "$root/constraints.txt" "$wheel"
cd "$environment" # away from the sources
"$bin/unirex-metrics" --help > /dev/null
"$bin/unirex-report" --help > /dev/null
"$bin/unirex" --help > /dev/null
if ! diff <("$bin/unirex" ls recipes | cut -d ' ' -f 1 | sort) \
  <(cd "$root/python/unirex/recipes" && find . -name '*.yaml' | sed 's/^\.\///; s/\.yaml$//' | sort); then
  echo "the wheel's recipes are not those of the sources" >&2
  exit 1
fi
"$bin/unirex-metrics" score "$root/tests/golden/v1/predictions.parquet" --output scores.json > /dev/null
"$bin/python" - scores.json "$root/tests/golden/v1/metrics.json" << 'PYTHON'
import importlib.metadata
import json
import math
import subprocess
import sys
import time
from pathlib import Path

start = time.perf_counter()
import unirex
from unirex.metrics import score

imported = time.perf_counter()
subprocess.run([sys.executable, "-m", "unirex.metrics.commands.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
answered = time.perf_counter()
heavy = {"torch", "transformers", "datasets", "pandas"} & set(sys.modules)
installed = {distribution.name for distribution in importlib.metadata.distributions()}
assert not heavy, f"unirex.metrics loads {heavy}"
assert "torch" not in installed, "a plain install brings torch"
files = {str(file) for file in importlib.metadata.files("unirex-rationales") or ()}
templates = {f"unirex/report/templates/page.{kind}" for kind in ("html.j2", "css", "js")}
missing = {"unirex/py.typed", "unirex/_rust.pyi", *templates} - files
assert not missing, f"the wheel lacks {missing}"
assert any(file.endswith("/LICENSE") for file in files), "the wheel lacks its licence"
assert all(file.startswith(("unirex/", "unirex_rationales-", "../")) for file in files), f"the wheel holds strangers: {files}"
found, system = (json.loads(Path(path).read_text()) for path in sys.argv[1:])
values = {metric["name"]: metric["value"] for metric in found["metrics"]}
expected = {metric["name"]: metric["value"] for metric in system["systems"][0]["metrics"]}
for name, value in expected.items():
    same = values[name] is value if value is None else math.isclose(values[name], value, abs_tol=1e-5)
    assert same, f"{name} is {values[name]}, expected {value}"
assert unirex.__version__ == importlib.metadata.version("unirex-rationales")
print(
    f"CPython {sys.version.split()[0]}, unirex {unirex.__version__}: "
    f"unirex.metrics imports in {imported - start:.2f} s, unirex-metrics --help takes {answered - imported:.2f} s, "
    f"{len(expected)} metrics as expected"
)
PYTHON
