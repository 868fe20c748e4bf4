"""Tars as tests want them, the hostile ones too."""

import io
import tarfile
from collections.abc import Iterable
from typing import Any, Literal

Entry = tuple[tarfile.TarInfo, bytes]
Form = Literal[0, 1, 2]


def entry(name: str, content: bytes = b"", **fields: Any) -> Entry:
    """Give a member: a file unless ``type`` says something else."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mtime = 1_600_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str, **fields: Any) -> Entry:
    """Give a folder."""
    return entry(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name: str, target: str) -> Entry:
    """Give a symbolic link."""
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> Entry:
    """Give a hard link."""
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar_of(*entries: Entry, form: Form = tarfile.PAX_FORMAT, end: bool = True) -> bytes:
    """Write a tar, header by header, without a look at what is in it."""
    pieces = []
    for info, content in entries:
        pieces += [info.tobuf(form, "utf-8", "surrogateescape"), content, bytes(-len(content) % tarfile.BLOCKSIZE)]
    return b"".join((*pieces, bytes(tarfile.BLOCKSIZE * 2) if end else b""))


def members_of(data: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """Read a tar whole."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return {info.name: (info, _content(tar, info)) for info in tar}


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info) if info.isreg() else None
    return b"" if file is None else file.read()


def contents_of(data: bytes) -> dict[str, bytes]:
    """Give the files of a tar."""
    return {name: content for name, (info, content) in members_of(data).items() if info.isreg()}


def hostile() -> Iterable[tuple[str, bytes, str]]:
    """Give archives that must not be taken: a name, the tar, and what the refusal says."""
    good = entry("good.txt", b"good")
    yield "absolute", tar_of(good, entry("/etc/passwd", b"x")), "absolute path"
    yield "climbing", tar_of(good, entry("a/../../x", b"x")), "'..'"
    yield "climbing-only", tar_of(good, folder("..")), "'..'"
    yield "link-absolute", tar_of(good, symlink("link", "/etc/passwd")), "lead outside"
    yield "link-climbing", tar_of(good, symlink("a/link", "../../x")), "lead outside"
    yield "link-by-link", tar_of(folder("d"), symlink("d/up", ".."), symlink("out", "d/up/..")), "lead outside"
    yield "link-empty", tar_of(good, symlink("link", "")), "lead outside"
    yield "through-link", tar_of(folder("d"), symlink("link", "d"), entry("link/x", b"x")), "through a link"
    yield "through-file", tar_of(good, entry("good.txt/x", b"x")), "through a link or a file"
    yield "file-on-folder", tar_of(folder("d"), entry("d", b"x")), "folder and as something else"
    yield "folder-on-file", tar_of(good, folder("good.txt")), "through a link or a file"
    yield "folder-on-link", tar_of(folder("d"), symlink("l", "d"), folder("l")), "through a link"
    yield "hard-link-outside", tar_of(good, hard_link("h", "/etc/passwd")), "absolute path"
    yield "hard-link-climbing", tar_of(good, hard_link("h", "../x")), "'..'"
    yield "hard-link-to-nothing", tar_of(good, hard_link("h", "not-there")), "hard link"
    yield "hard-link-to-what-was-there", tar_of(good, hard_link("h", "before.txt")), "hard link"
    yield "hard-link-to-link", tar_of(good, symlink("l", "good.txt"), hard_link("h", "l")), "hard link"
    yield "hard-link-to-folder", tar_of(folder("d"), hard_link("h", "d")), "hard link"
    yield "hard-link-through-link", tar_of(folder("d"), entry("d/f"), symlink("l", "d"), hard_link("h", "l/f")), "link"
    yield "character-device", tar_of(good, entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)), "a device"
    yield "block-device", tar_of(good, entry("disk", type=tarfile.BLKTYPE, devmajor=7, devminor=0)), "a device"
    yield "fifo", tar_of(good, entry("fifo", type=tarfile.FIFOTYPE)), "a FIFO"
    yield "reserved", tar_of(good, entry(".atoll-upload-x", b"x")), "kept for uploads"
    yield "long-name", tar_of(good, entry("x" * 256, b"x")), "too long"
    yield "long-path", tar_of(good, entry("/".join(["d" * 200] * 25), b"x")), "too long"
    yield "deep", tar_of(good, entry("d/" * 33 + "x", b"x")), "nested deeper"
    yield "no-name", tar_of(good, entry("./", b"x", type=tarfile.REGTYPE)), "no name for a file"
    yield "not-utf-8", tar_of(good, entry("a\udcff", b"x"), form=tarfile.GNU_FORMAT), "not UTF-8"
    yield "zero-in-pax-name", tar_of(good, pax(path="a\0b")), "zero byte"
    yield "pax-climbs", tar_of(good, pax(path="../x")), "'..'"
    yield "pax-absolute-link", tar_of(good, pax(tarfile.SYMTYPE, linkpath="/etc")), "lead outside"
    yield "pax-sparse", tar_of(good, sparse()), "sparse"
    yield "pax-bomb", tar_of(good)[:1024] + long_header(b"x", 2 << 20), "too long"
    yield "gnu-long-name-bomb", tar_of(good)[:1024] + long_header(b"L", 2 << 20), "too long"
    yield "pax-chain", tar_of(good)[:1024] + long_header(b"x", 510) * 3000, "broken"
    yield "global-pax-flood", tar_of(good)[:1024] + long_header(b"g", 510) * 3000, "broken"
    yield "size-beyond", tar_of(good)[:1024] + huge_header(), "larger than"
    yield "many", tar_of(*(entry(f"f{number}") for number in range(1001))), "1000 entries"
    yield "no-tar", b"hello" * 1000, "no tar archive"
    yield "gzip", b"\x1f\x8b" + bytes(2000), "gzip"
    yield "cut-in-content", tar_of(good, entry("big", bytes(5000)))[:3000], "cut off"
    yield "cut-in-header", tar_of(good, entry("more", b"x"))[:1300], "cut off"
    yield "without-end", tar_of(good, end=False), "broken"
    yield "garbage-in-the-middle", tar_of(good, end=False) + b"\xff" * 512 + tar_of(good), "cut off, or broken"
    yield "empty", b"", "no tar archive"


def pax(kind: bytes = tarfile.REGTYPE, **headers: str) -> Entry:
    """Give a member whose extended header says something else than its own."""
    return entry("plain", type=kind, linkname="plain", pax_headers=headers)


def sparse() -> Entry:
    """Give a sparse file of a terabyte in one block."""
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "sparse"}
    headers |= {"GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1", "GNU.sparse.map": f"{(1 << 40) - 1},1"}
    return entry("sparse", b"x", pax_headers=headers)


def long_header(kind: bytes, size: int) -> bytes:
    """Give a header of the sort that stands before another one, with ``size`` bytes of it."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    record = b"30 comment=" + b"x" * 18 + b"\n"
    body = (record * (size // len(record) + 1))[:size] if kind != b"L" else b"n" * size
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-size % tarfile.BLOCKSIZE)


def huge_header() -> bytes:
    """Give a file that is said to have more bytes than any disk."""
    info = tarfile.TarInfo("huge")
    info.size = 1 << 62
    return info.tobuf(tarfile.GNU_FORMAT)
