"""Pack an overlay as a wheel: https://packaging.python.org/en/latest/specifications/binary-distribution-format/."""

import base64
import hashlib
import re
import zipfile
from pathlib import Path

from headcount import errors
from headcount.builds.overlay import Overlay

_WHEEL = "Wheel-Version: 1.0\nGenerator: headcount\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(overlay: Overlay, folder: Path) -> Path:
    """Write an overlay's package as a wheel with a local version, and return its path.

    Raises:
        SetupError: it cannot be written.
    """
    version = f"{overlay.version}+headcount"
    info = f"torch_pruning-{version}.dist-info"
    (metadata,) = overlay.path.glob("*.dist-info/METADATA")
    stated = re.sub(r"(?m)^Version: .*$", f"Version: {version}", metadata.read_text("utf-8"), count=1)
    files = {f"{info}/METADATA": stated.encode(), f"{info}/WHEEL": _WHEEL.encode()}
    for file in sorted((overlay.path / "torch_pruning").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            files[str(file.relative_to(overlay.path))] = file.read_bytes()
    files[f"{info}/RECORD"] = "".join(map(_record, files.items())).encode() + f"{info}/RECORD,,\n".encode()
    path = folder / f"torch_pruning-{version}-py3-none-any.whl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    except OSError as error:
        raise errors.SetupError(f"cannot write {path}: {error.strerror or error}", "name another folder") from error
    return path


def _record(file: tuple[str, bytes]) -> str:
    name, content = file
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
