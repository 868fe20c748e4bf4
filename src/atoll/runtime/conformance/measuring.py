"""Checks of what ``usage`` tells, and of the limits where the runtime claims them."""

from atoll.model.ids import SandboxId
from atoll.runtime.conformance.bench import Bench, DoesNotApplyError, eventually, require

_MEBIBYTE = 1 << 20


async def usage_follows_what_is_used(bench: Bench) -> None:
    """Memory and processes show while they are there."""
    sandbox = await bench.create()
    await bench.python(sandbox.id, "1")
    idle = await bench.runtime.usage(sandbox.id)
    require(idle.memory_bytes > 0 and idle.pids > 0, "an idle sandbox uses something")
    require(idle.memory_kills == 0, "nothing was killed yet")
    await bench.python(sandbox.id, f"block = bytearray(b'x') * {64 * _MEBIBYTE}")
    await bench.shell(sandbox.id, "for _ in 1 2 3 4 5; do sleep 1000 </dev/null >/dev/null 2>&1 & done")
    busy = await bench.runtime.usage(sandbox.id)
    require(busy.memory_bytes - idle.memory_bytes > 50 * _MEBIBYTE, "64 MiB more are seen")
    require(busy.pids >= idle.pids + 5, "five processes more are seen")
    require(busy.memory_kills == 0, "nothing was killed")


async def measurement_follows_what_is_used(bench: Bench) -> None:
    """CPU, memory, processes and disk show, with the limits that there are; looking takes nothing from ``usage``."""
    sandbox = await bench.create()
    await bench.python(sandbox.id, "1")
    before = await bench.runtime.measurement(sandbox.id)
    spent = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    await bench.python(sandbox.id, f"{spent}\nopen('big', 'wb').write(b'x' * {16 * _MEBIBYTE})")
    await bench.shell(sandbox.id, "sync")
    after = await bench.runtime.measurement(sandbox.id)
    require(after.cpu_s - before.cpu_s >= 0.25, f"0.3 s of CPU are seen: {after.cpu_s - before.cpu_s}")
    require(after.memory_bytes > 0 and after.pids > 0, "memory and processes are seen")
    spec, limits = bench.spec, bench.runtime.capabilities.limits
    wanted = (spec.memory_bytes, spec.cpus, spec.pids_max, spec.disk_bytes) if limits else (None,) * 4
    told = (after.memory_bytes_max, after.cpus, after.pids_max, after.disk_bytes_max)
    require(told == wanted, f"the limits are told: {told}")
    if before.disk_bytes is not None and after.disk_bytes is not None:
        grown = after.disk_bytes - before.disk_bytes
        require(grown >= 15 * _MEBIBYTE, f"16 MiB more are written: {grown}")
    require(limits == (after.disk_bytes is not None), "what is bounded is measured")


async def usage_starts_anew_after_a_stop(bench: Bench) -> None:
    """``usage`` works on a sandbox that was brought back."""
    sandbox = await bench.create()
    await bench.runtime.stop(sandbox.id)
    await bench.runtime.start(sandbox.id)
    usage = await bench.runtime.usage(sandbox.id)
    require(usage.memory_bytes > 0 and usage.pids > 0, "it is measured as before")
    require(usage.memory_kills == 0, "kills count since the start")


async def memory_has_a_limit(bench: Bench) -> None:
    """Code that takes more than its sandbox has is killed and counted; the sandbox goes on."""
    sandbox = await _limited(bench)
    await bench.python(sandbox, f"block = bytearray(b'x') * {2 * bench.spec.memory_bytes}")
    usage = await bench.runtime.usage(sandbox)
    require(usage.memory_kills > 0, "the kill is counted")
    require(usage.memory_bytes <= bench.spec.memory_bytes, "never more than the limit")
    require(await bench.python(sandbox, "print('on')") == "on\n", "the next call works")


async def processes_have_a_limit(bench: Bench) -> None:
    """A fork bomb stops at ``pids_max``; the sandbox goes on."""
    sandbox = await _limited(bench)
    count = bench.spec.pids_max + 20
    fork = f"for _ in $(seq {count}); do sleep 1000 </dev/null >/dev/null & done"
    _, output = await bench.shell(sandbox, f"sh -c '{fork}'")  # bash would try again, seconds later
    usage = await bench.runtime.usage(sandbox)
    require(usage.pids <= bench.spec.pids_max, f"never more than the limit ({usage.pids}): {output[:200]!r}")
    require(usage.pids_max == bench.spec.pids_max, "the limit is told")
    require(usage.pids_refused > 0, "what could not be started is counted")
    await bench.agent(sandbox).restart()

    async def ended() -> bool:
        return (await bench.runtime.usage(sandbox)).pids < bench.spec.pids_max // 2

    await eventually(ended, "a restart ends the processes")
    require(await bench.python(sandbox, "print('on')") == "on\n", "the next call works")


async def the_disk_has_a_limit(bench: Bench) -> None:
    """A file that does not fit fails in the sandbox; the sandbox goes on, and room comes back."""
    sandbox = await _limited(bench)
    size_mebibytes = 2 * bench.spec.disk_bytes // _MEBIBYTE
    exit_code, _ = await bench.shell(sandbox, f"dd if=/dev/zero of=full bs=1M count={size_mebibytes}")
    require(exit_code not in {0, None}, "the disk does not take more than its limit")
    require((await bench.shell(sandbox, "rm full && echo kept > small"))[0] == 0, "there is room again")
    require(await bench.python(sandbox, "print('on')") == "on\n", "the next call works")


async def _limited(bench: Bench) -> SandboxId:
    if not bench.runtime.capabilities.limits:
        raise DoesNotApplyError("this runtime enforces no limits")
    return (await bench.create()).id
