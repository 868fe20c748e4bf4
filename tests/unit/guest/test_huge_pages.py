"""What is in huge pages is as it was, and whoever forks has it, too."""

import json
import platform
import subprocess
import sys
from pathlib import Path

from tests.harness.requirements import unmet

SOURCE = Path(__file__).resolve().parents[3] / "src"
PROGRAM = f"""
import json, mmap, os, sys
sys.path.insert(0, {str(SOURCE)!r})
from atoll.guest import huge_pages

memory = mmap.mmap(-1, 16 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, len(memory), 4096):
    memory[at : at + 8] = at.to_bytes(8, "little")
kept = {{number: str(number) * 9 for number in range(100_000)}}
done = huge_pages.collapse()
pid = os.fork()
if pid == 0:
    memory[4096] = 255
    os._exit(0 if memory[8192:8200] == (8192).to_bytes(8, "little") else 1)
json.dump({{
    "done": done,
    "fork": os.waitpid(pid, 0)[1],
    "same": all(memory[at : at + 8] == at.to_bytes(8, "little") for at in range(0, len(memory), 4096)),
    "kept": all(text == str(number) * 9 for number, text in kept.items()),
    "again": huge_pages.collapse() >= done,
}}, sys.stdout)
"""


def test_all_is_as_it_was() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(done.stdout)
    assert (seen["fork"], seen["same"], seen["kept"], seen["again"]) == (0, True, True, True)
    if tuple(int(part) for part in platform.release().split(".")[:2]) < (6, 1):
        unmet("Linux before 6.1 collapses nothing when asked")
    assert seen["done"] >= 14 << 20
