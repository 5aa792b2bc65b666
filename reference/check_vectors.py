"""Compare the golden models with outputs of the real tiny-cuda-nn: ``python -m reference.check_vectors DIR``.

Prints one line a file. Exit status 0: nothing differs beyond what ``reference.vector_cases`` allows, and says why; 1:
something does; 2: the directory or a file cannot be used, said in one sentence.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from arch.errors import InputError
from reference.vector_cases import Comparison, compare_file
from reference.vector_file import read_vector_file, vector_paths

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every file of a directory; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reference.check_vectors", description=__doc__.split("\n", 1)[0])
    parser.add_argument("directory", type=Path, help="folder of .npz files")
    parser.add_argument("--arrays", action="store_true", help="one more line for each compared array")
    options = parser.parse_args(arguments)
    try:
        paths = vector_paths(options.directory)
        width = max(len(path.stem) for path in paths)
        print(f"{'case':{width}}  {'values':>9}  {'mismatches':>10}  {'max diff':>9}  verdict")
        wrong = refused = 0
        for path in paths:
            try:
                comparisons = compare_file(read_vector_file(path))
            except InputError as error:
                # One unusable file must not hide what the others say.
                print(f"{path.stem:{width}}  refused", flush=True)
                print(error, file=sys.stderr)
                refused += 1
                continue
            wrong += any(comparison.beyond for comparison in comparisons)
            print(_line(path.stem, comparisons, width))
            if options.arrays:
                for comparison in comparisons:
                    print(_line(f"  {comparison.array}", [comparison], width))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if wrong:
        print(f"{wrong} of {len(paths)} cases differ from the library")
    if refused:
        return 2
    return 1 if wrong else 0


def _line(name: str, comparisons: Sequence[Comparison], width: int) -> str:
    values = sum(comparison.values for comparison in comparisons)
    mismatches = sum(comparison.mismatches for comparison in comparisons)
    largest = max(comparison.max_difference for comparison in comparisons)
    return f"{name:{width}}  {values:9}  {mismatches:10}  {largest:9.3g}  {_verdict(comparisons)}"


def _verdict(comparisons: Sequence[Comparison]) -> str:
    wrong = [f"{comparison.array} ({comparison.beyond})" for comparison in comparisons if comparison.beyond]
    if wrong:
        return f"DIFFERS in {', '.join(wrong)}"
    causes = dict.fromkeys(comparison.tolerance.source for comparison in comparisons if comparison.mismatches)
    return f"within tolerance: {'; '.join(causes)}" if causes else "equal"


if __name__ == "__main__":
    sys.exit(main())
