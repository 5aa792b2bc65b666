"""What every ``--vectors`` does: files of the real tiny-cuda-nn's outputs one by one, their arrays checked."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from arch.errors import InputError
from cli.output import progress

__all__ = ["run_files", "vector_array"]


def run_files(
    folder: Path,
    types: Collection[str],
    run: Callable[[object, list[dict]], list[dict]],
    *,
    wanted: str,
    sums: Sequence[str],
) -> dict:
    """Run each file of a folder of reference vectors whose type is among ``types``.

    Parameters
    ----------
    folder : files of vectors
    types : types of case; files of others are passed over
    run : the cases of a file; takes the list of refusals too, for a file of which a part is refused
    wanted : what a file must hold to be run, for the message
    sums : keys of a case that are added up

    Returns
    -------
    the sums, ``cases``, and ``refused`` with the reason for each

    Raises
    ------
    InputError
        If the folder holds no vectors, a file is damaged, or no case can run.
    """
    from reference.vector_file import read_vector_file, vector_paths

    cases, refused = [], []
    paths = vector_paths(folder)
    with progress(f"simulating {len(paths)} files") as update:
        for number, path in enumerate(paths):
            file = read_vector_file(path)
            if file.config.get("type") in types:
                try:
                    cases += run(file, refused)
                except InputError as error:
                    refused.append({"case": file.name, "reason": str(error)})
            update(number + 1, len(paths))
    if not cases:
        reason = f"; {refused[0]['case']}: {refused[0]['reason']}" if refused else ""
        raise InputError(f"the vectors must hold {wanted}, not none{reason}")
    return {key: sum(case[key] for case in cases) for key in sums} | {"cases": cases, "refused": refused}


def vector_array(file: object, name: str, shape: tuple[int | None, ...], dtype: type | None = None) -> np.ndarray:
    """An array of a file of vectors, in one piece.

    Parameters
    ----------
    shape : sizes it must have; None: any
    dtype : type it must have, with any values; None: any type, but finite values

    Raises
    ------
    InputError
        If the array is not there or is none of these.
    """
    array = file.array(name)
    wanted = " x ".join("any" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if dtype is None and not (fits and np.isfinite(array).all()):
        raise InputError(f"{name} of {file.name} must be {wanted} finite numbers, not of shape {array.shape} or NaN")
    if dtype is not None and not (fits and array.dtype == dtype):
        raise InputError(
            f"{name} of {file.name} must be {wanted} numbers of {np.dtype(dtype)}, "
            f"not of shape {array.shape} and {array.dtype}"
        )
    return np.ascontiguousarray(array)
