"""A shop on four processes: three nodes with carts, accounts and loyalty points, and one in front that starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    subprocess.run([sys.executable, "-m", "examples.shop.front"], cwd=ROOT, check=True)
