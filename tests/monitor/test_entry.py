"""Before anything else is imported: whose packages are on the path?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.signals.install import DISTRIBUTION, install_hint
from monitor.entry import HOUSE, PACKAGES, stranger


def test_ours_are_ours() -> None:
    assert stranger() == ""
    assert all((HOUSE / name / "__init__.py").is_file() for name in PACKAGES)


@pytest.mark.parametrize("module", ["models.py", "models/__init__.py", "streams/__init__.py", "ui/__init__.py"])
def test_a_strangers_package_on_the_path_is_one_sentence(tmp_path: Path, module: str) -> None:
    """`vigil` called where another project's package lies: its folder is first on the path."""
    file = tmp_path / module
    file.parent.mkdir(exist_ok=True)
    file.write_text("raise SystemExit('a stranger was run')")
    code = (
        f"import sys; sys.path.insert(0, {str(HOUSE)!r}); import monitor.entry; "
        f"sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['vigil', 'doctor']; monitor.entry.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    name = module.removesuffix(".py").split("/")[0]
    assert line.startswith(f"vigil: Expected Vigil's own package '{name}' in {HOUSE}, found {tmp_path}")


def test_a_namespace_folder_of_the_same_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's folder `models` full of recordings must not stop the program: a regular package goes before it."""
    (tmp_path / "models").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert stranger() == ""


def test_a_missing_package_is_said() -> None:
    assert "found none" in stranger(["no_such_package_of_ours"])


def test_hints_name_no_package_of_the_index() -> None:
    """`pip install vigil-…` would fetch whatever lies there under that name."""
    for extra in ("", "train", "gpu", "rtx"):
        assert DISTRIBUTION not in install_hint(extra) and install_hint(extra).startswith("pip install -e ")
    for path in HOUSE.rglob("*.py"):
        if path.relative_to(HOUSE).parts[0] in ("monitor", "models", "streams", "ui"):
            assert "pip install 'vigil" not in path.read_text(encoding="utf-8"), path
