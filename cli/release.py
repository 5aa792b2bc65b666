"""Writes a released build: Verilog, its documents, its smoke test; ``ngpc verilog --preset`` calls it."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from arch.errors import InputError
from arch.presets import preset
from arch.release import RELEASES, ReleaseConfig
from arch.whole_file import make_directory

__all__ = ["release_digest", "write_build", "write_release"]

_UNFINISHED = ".ngpc-"
"""How the name of a folder begins in which files are made; one that was killed leaves it behind."""

_HEADER = "// {top}: preset {name} of Open NGPC. Generated; Apache-2.0.\n"


def write_release(name: str, out: Path, update: Callable[[int, int], None] | None = None) -> list[Path]:
    """Write the release preset ``name`` into ``out``: :func:`write_build`; raises InputError if there is none."""
    return write_build(preset("release", RELEASES, name), out, update)


def write_build(release: ReleaseConfig, out: Path, update: Callable[[int, int], None] | None = None) -> list[Path]:
    """Write a build into ``out``; returns the files, sorted.

    The same sources and tools give the same bytes. All files are made elsewhere and moved into place at the end; an
    earlier release's files are replaced and others stay.

    Raises
    ------
    InputError
        If Yosys cannot run, the directory cannot be written, or it holds what is no release.
    """
    make_directory(out)
    _check_ours(out)
    with tempfile.TemporaryDirectory(dir=out, prefix=_UNFINISHED) as folder:
        parts = (_verilog_and_texts, _smoke_test, _register_documents)
        for done, part in enumerate(parts):
            if update is not None:
                update(done, len(parts))
            part(release, Path(folder))
        made = sorted(path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
        try:
            for path in made:
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).replace(out / path)
        except OSError as error:
            raise InputError(f"the output directory must be writable, not {str(out)!r} ({error.strerror})") from error
    return [out / path for path in made]


def _check_ours(out: Path) -> None:
    """Refuse to write among the files of something else, whose README.md and config.json would be replaced."""
    try:
        ours = "config_hash" in json.loads((out / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        ours = False
    foreign = next((path.name for path in sorted(out.iterdir()) if not path.name.startswith(_UNFINISHED)), None)
    if foreign is not None and not ours:
        raise InputError(
            f"the output directory must be empty or hold an earlier release, not {foreign!r} as {str(out)!r} does; "
            "name another"
        )


def release_digest(out: Path, files: list[Path]) -> str:
    """SHA-256 over names and contents of a release's files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(out).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _verilog_and_texts(release: ReleaseConfig, folder: Path) -> None:
    from report.release_texts import release_texts
    from rtl.modular import modular_size, modular_verilog
    from rtl.nfp_top import NfpTop

    verilog = modular_verilog(NfpTop(release.cluster), release.top)
    header = _HEADER.format(top=release.top, name=release.name)
    (folder / f"{release.top}.v").write_text(header + verilog.read_text())
    device = None if release.device is None else asdict(release.device)
    resources = {"netlist": asdict(modular_size(verilog)), "device": device}
    for name, text in release_texts(release, resources).items():
        (folder / name).write_text(text, encoding="utf-8")


def _smoke_test(release: ReleaseConfig, folder: Path) -> None:
    from cli.smoke_case import smoke_case
    from report.smoke_bench import smoke_bench_files

    case = smoke_case(release)
    (folder / "smoke").mkdir()
    for name, text in smoke_bench_files(
        release,
        load=case.load,
        points=case.points,
        last=case.points_last,
        results=case.results,
        timed_first=case.timed_first,
        timed_clocks=case.timed_clocks,
    ).items():
        (folder / "smoke" / name).write_text(text, encoding="utf-8")


def _register_documents(release: ReleaseConfig, folder: Path) -> None:
    from report.driver_header import write_driver_headers
    from report.register_documents import write_register_documents

    write_register_documents(release.cluster, folder / "registers")
    write_driver_headers(release.cluster, folder / "driver")
