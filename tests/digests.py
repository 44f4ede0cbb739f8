"""Run some topologies under each Python that is named, in an environment of its own, and compare the digests.

Usage: python tests/digests.py python3.11 python3.12 python3.13
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = """
import json, sys, cosim
points = [(name, seed, executor) for name in sys.argv[1:] for seed in (1, 2) for executor in ("agenda", "plain")]
found = {f"{name} seed {seed}": cosim.run(name, seed=seed, set={"run.executor": executor}).digest
         for name, seed, executor in points}
print(json.dumps(found))
"""
TOPOLOGIES = ["quickstart", "two_iommus", "concurrent_attach"]


def digests(python: str, folder: Path) -> dict[str, str] | None:
    """The digest of each point under `python`; None if that one cannot be had."""
    try:
        version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        print(f"{python}: not here")
        return None
    environment = folder / version.replace(" ", "-")
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    own = environment / "bin" / "python"
    subprocess.run([own, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    output = subprocess.run([own, "-c", CODE, *TOPOLOGIES], capture_output=True, text=True, check=True, cwd=folder)
    found: dict[str, str] = json.loads(output.stdout)
    for point, digest in found.items():
        print(f"{version}: {point}: {digest}")
    return found


def main(pythons: list[str]) -> int:
    """Exit code 1 if two Pythons differ, 2 if there were not two to compare."""
    with tempfile.TemporaryDirectory() as folder:
        found = [each for python in pythons if (each := digests(python, Path(folder))) is not None]
    if len(found) < 2:
        print("there were no two Pythons to compare")
        return 2
    same = all(each == found[0] for each in found)
    print(f"{len(found)} Pythons: {'the same digests' if same else 'DIFFERENT DIGESTS'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
