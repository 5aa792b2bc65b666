"""Writes the hashes of the released builds, ``docs/release_hashes.json``: ``scripts/release_hashes [PRESET ...]``.

A test compares every build with them. Run it after a change of the hardware, and look at what changed before it.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from arch.release import RELEASES
from arch.whole_file import write_whole
from cli.release import release_digest, write_release

__all__ = ["HASHES", "recorded_hashes"]

HASHES = Path(__file__).resolve().parent.parent / "docs" / "release_hashes.json"
"""SHA-256 by preset, over names and contents of all files of the release."""


def recorded_hashes() -> dict[str, str]:
    """The committed hashes."""
    return json.loads(HASHES.read_text(encoding="utf-8"))


def main() -> int:
    """Make the presets named, or all, and record their hashes."""
    parser = argparse.ArgumentParser(description="Record the hashes of the released builds.")
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"default: all of {', '.join(RELEASES)}")
    presets = parser.parse_args().presets or list(RELEASES)
    for name in presets:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            digest = release_digest(Path(folder), write_release(name, Path(folder)))
        hashes = recorded_hashes() if HASHES.exists() else {}
        word = "same" if hashes.get(name) == digest else "new"
        print(f"{name}: {digest} ({word}, {time.perf_counter() - begin:.0f} s)", flush=True)
        hashes[name] = digest
        ordered = {preset: hashes[preset] for preset in RELEASES if preset in hashes}
        write_whole(HASHES, json.dumps(ordered, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
