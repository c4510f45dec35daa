"""A CycloneDX bill of materials from Cargo.lock and constraints.txt: `python tools/sbom.py > sbom.json`.

The same sources give the same bytes. Nothing is fetched: names, versions and hashes stand in the two files.
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


def bill(cargo_lock: str, constraints: str, version: str) -> dict[str, Any]:
    """The whole bill; its serial number is derived from what it lists."""
    lock = tomllib.loads(cargo_lock)
    components = sorted([*crates(lock), *packages(constraints)], key=lambda component: str(component["bom-ref"]))
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
                "bom-ref": f"pkg:pypi/unirex@{version}",
                "name": "unirex",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": list(unique.values()),
    }


def main() -> int:
    """Prints the bill of this tree."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    found = bill((ROOT / "Cargo.lock").read_text(), (ROOT / "constraints.txt").read_text(), version)
    json.dump(found, sys.stdout, indent=1, sort_keys=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
