"""What of ours every sandbox sees."""

from pathlib import Path

import atoll.guest
from atoll.runtime.oci import guest_files


def test_the_agents_package_and_nothing_else(tmp_path: Path) -> None:
    folder = guest_files.install_agent(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["guest"]
    own = Path(atoll.guest.__file__).parent
    copied = {path.relative_to(folder / "guest") for path in folder.rglob("*.py")}
    assert copied == {path.relative_to(own) for path in own.rglob("*.py")}
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_the_same_code_is_installed_once_and_other_code_beside_it(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("one = 1\n")
    first = guest_files.install_agent(tmp_path / "into", package)
    assert guest_files.install_agent(tmp_path / "into", package) == first
    (package / "__init__.py").write_text("one = 2\n")
    second = guest_files.install_agent(tmp_path / "into", package)
    assert second != first
    assert (first / "guest/__init__.py").read_text() == "one = 1\n"


def test_a_copy_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    whole = guest_files.install_agent(tmp_path)
    whole.rename(whole.with_suffix(".unfinished"))
    (whole.with_suffix(".unfinished") / "stray").touch()
    assert guest_files.install_agent(tmp_path) == whole
    assert [path.name for path in whole.iterdir()] == ["guest"]


def test_etc(tmp_path: Path) -> None:
    folder = guest_files.install_etc(tmp_path / "etc")
    assert "localhost" in (folder / "hosts").read_text()
    assert (folder / "hostname").read_text() == "sandbox\n"
    assert "\nnameserver 127.0.0.1\n" in (folder / "resolv.conf").read_text()
