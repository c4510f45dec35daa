"""A CycloneDX bill of materials from Cargo.lock and constraints.txt.

The same sources give the same bytes. Nothing is fetched: names, versions and hashes stand in the two files.

    python tools/sbom.py > sbom.json             all crates and packages, those for development too
    python tools/sbom.py --crates > sbom.json    the crates that a wheel is built from, for the wheel
"""

import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]*?))?\s*\\?$")


def crates(lock: dict[str, Any]) -> list[dict[str, Any]]:
    """Components of the Rust side; the package itself has no checksum and is left out."""
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:cargo/{crate['name']}@{crate['version']}",
            "name": crate["name"],
            "version": crate["version"],
            "purl": f"pkg:cargo/{crate['name']}@{crate['version']}",
            "hashes": [{"alg": "SHA-256", "content": crate["checksum"]}],
        }
        for crate in lock["package"]
        if "checksum" in crate
    ]


def built_from(lock: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """The part of a Cargo.lock that `dependencies` of a Cargo.toml lead to, on any platform.

    >>> lock = {"package": [{"name": "a", "version": "1", "dependencies": ["b 2"]}, {"name": "b", "version": "1"},
    ...                     {"name": "b", "version": "2"}, {"name": "test", "version": "1", "dependencies": ["b 1"]}]}
    >>> [(crate["name"], crate["version"]) for crate in built_from(lock, {"dependencies": {"a": "1"}})["package"]]
    [('a', '1'), ('b', '2')]
    """
    reached: set[tuple[str, str]] = set()
    asked = list(manifest["dependencies"])
    while asked:
        name, _, version = asked.pop().partition(" ")  # the version stands there where a name has several
        for crate in lock["package"]:
            key = (crate["name"], crate["version"])
            if crate["name"] == name and version in {"", crate["version"]} and key not in reached:
                reached.add(key)
                asked += crate.get("dependencies", [])
    return {"package": [crate for crate in lock["package"] if (crate["name"], crate["version"]) in reached]}


def packages(constraints: str) -> list[dict[str, Any]]:
    """Components of the Python side, with the condition under which each is installed."""
    found: list[dict[str, Any]] = []
    for line in constraints.splitlines():
        if requirement := REQUIREMENT.match(line):
            name, version, marker = requirement.groups()
            purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
            component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
            if marker:  # the same version may stand under two conditions, and a name under two versions
                component["properties"] = [{"name": "unirex:marker", "value": marker.strip()}]
            found.append({**component, "hashes": []})
        elif hashed := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            found[-1]["hashes"].append({"alg": "SHA-256", "content": hashed[1]})
    return found


def bill(components: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """The whole bill; its serial number is derived from what it lists."""
    components = sorted(components, key=lambda component: str(component["bom-ref"]))
    unique = {json.dumps(component, sort_keys=True): component for component in components}
    digest = hashlib.sha256("".join(unique).encode()).digest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": f"pkg:pypi/unirex.{version}",
                "name": "unirex",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": list(unique.values()),
    }


def main(arguments: list[str]) -> int:
    """Prints the bill of this tree."""
    if arguments not in ([], ["--crates"]):
        print(__doc__, file=sys.stderr)
        return 2
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    if arguments:
        components = crates(built_from(lock, manifest))
    else:
        components = [*crates(lock), *packages((ROOT / "constraints.txt").read_text())]
    json.dump(bill(components, manifest["package"]["version"]), sys.stdout, indent=1, sort_keys=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
