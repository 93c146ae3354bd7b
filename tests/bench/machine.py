"""Describes the machine and the Python that measures, and runs in that Python.

python -m tests.bench.machine
"""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("casty-trio", "trio", "anyio", "msgspec", "pykka", "xoscar")


def processor() -> str:
    """What Linux calls the processor; elsewhere, what the platform does."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "packages": {package: installed(package) for package in PACKAGES},
    }


if __name__ == "__main__":
    print(json.dumps(describe()))
