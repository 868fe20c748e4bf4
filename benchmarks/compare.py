"""Runs the same work on Atoll and on what people would otherwise pick, in one run, and says how each did.

    scripts/bench compare
    scripts/bench compare --only atoll,process,runc --rounds 100
    scripts/bench compare --install          # first the Debian packages of those that are missing
    python -m benchmarks.compare --render    # measures nothing: writes tables, plot and page of the newest result

The work: start an isolated Python and get the output of a first piece of code that uses pandas; where there is
something that lives on, run a second piece in it; and see what memory the host lacks while a number of them live.
Contenders take turns in an order that is drawn anew for each round, so that whatever else the machine does hits all
alike. Failures are counted; who cannot run here says why. Everything that is started is ended. Needs root and the
default image.

Results: `compare.json`, `compare.md` and `compare.svg`; those in `benchmarks/results` are put into
`docs/reference/comparison.md`, too. With `--only` or `--without` they are called `compare_some`.
"""

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.arguments import arguments
from benchmarks.comparison import CALL, FIRST, MEMORY, OWN, machine_line, put_into, standings, told
from benchmarks.contenders.contender import Contender, ContenderError, Facts, NotHereError, Session
from benchmarks.contenders.driven import Driven
from benchmarks.contenders.field import FIELD, made, packages, pick
from benchmarks.contenders.peers import PeersEnvironment
from benchmarks.contenders.place import prepared
from benchmarks.measure import Figures, Value, figures
from benchmarks.memory import MB, settled_available_bytes
from benchmarks.report import RESULTS, Report
from tests.harness.server import IMAGES_DIR, PROJECT_DIR

SCRIPT = "compare"
SOME = "compare_some"  # the name of what is not the whole field, and does not belong into the docs
PAGE = PROJECT_DIR / "docs/reference/comparison.md"
PEERS_DIR = PROJECT_DIR / "build/venv-peers"

FIRST_CODE, FIRST_OUTPUT = "import pandas as pd; print(int(pd.Series([1, 2]).sum()))", "3\n"
CALL_CODE, CALL_OUTPUT = "print(1+1)", "2\n"
LOOK_CODE = (Path(__file__).parent / "contenders/look_around.py").read_text(encoding="utf-8")

PAUSE_S = 0.2  # what an end leaves to be tidied up has then come to rest
GIVE_UP_AFTER = 3  # failures in a row: one that hangs would take a minute for each


@dataclass(slots=True)
class Tally:
    """What one contender did so far; times in milliseconds, failures in words."""

    first_ms: list[float] = field(default_factory=list)
    first_failures: list[str] = field(default_factory=list)
    call_ms: list[float] = field(default_factory=list)
    call_failures: list[str] = field(default_factory=list)
    failed_in_a_row: int = 0


def main() -> None:
    """Read the command line, measure, and write; exit code 1 when anything failed."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="each contender starts once in each (default: 15)")
    parser.add_argument("--calls", type=int, default=5, help="further calls after each start (default: 5)")
    parser.add_argument("--alive", type=int, default=8, help="how many live at once for memory (default: 8)")
    parser.add_argument("--only", type=words, default=[], metavar="NAME,…", help=f"of {', '.join(FIELD)}")
    parser.add_argument("--without", type=words, default=[], metavar="NAME,…")
    parser.add_argument("--install", action="store_true", help="install the Debian packages that they need")
    parser.add_argument(
        "--peers-dir",
        type=Path,
        default=PEERS_DIR,
        metavar="FOLDER",
        help="for the PyPI packages of those that need any; not below /tmp (default: %(default)s)",
    )
    parser.add_argument("--render", action="store_true", help="measure nothing; write the newest result again")
    options = parser.parse_args()
    if options.render:
        render(options.results, SCRIPT)
        return
    try:
        kinds = pick(options.only, options.without)
    except ValueError as error:
        parser.error(str(error))
    if options.install:
        install(packages(kinds))
    script = SCRIPT if len(kinds) == len(FIELD) else SOME
    report = Report(script, folder=options.results)
    report.tell("work", {"rounds": options.rounds, "calls": options.calls, "alive": options.alive})
    try:
        with prepared(IMAGES_DIR, PeersEnvironment(options.peers_dir)) as place:
            if any(issubclass(kind, Driven) for kind in kinds):
                with contextlib.suppress(NotHereError):  # each of them says so in its own place
                    place.peers.make()  # now: it takes a minute, and nobody should wait for it once servers run
            compare(report, made(kinds, place), rounds=options.rounds, calls=options.calls, alive=options.alive)
    except NotHereError as error:
        sys.exit(str(error))
    failed = report.write()
    render(options.results, script)
    sys.exit(failed)


def words(text: str) -> list[str]:
    """Split what is separated by commas."""
    return [word for word in text.split(",") if word]


def install(names: Sequence[str]) -> None:
    """Install Debian packages."""
    subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", *names], check=True)


def compare(report: Report, contenders: Sequence[Contender], *, rounds: int, calls: int, alive: int) -> None:
    """Have all that can run here do the work, and report."""
    with ExitStack() as ends:
        here: list[Contender] = []
        entries: dict[str, dict[str, Any]] = {}
        for contender in contenders:
            before = settled_available_bytes() if contender.serves else 0
            entry = entries.setdefault(contender.name, {"name": contender.name})
            try:
                ends.enter_context(opened(contender))
                entry |= {"version": contender.version(), "again": contender.again, "inside": look_around(contender)}
            except NotHereError as error:
                entry["why_not"] = str(error)
                print(f"{contender.name}: not here: {error}", flush=True)
                continue
            here.append(contender)
            if contender.serves:
                report.add(_megabytes(f"{contender.name}: {OWN}", before - settled_available_bytes()))
        report.tell("contenders", list(entries.values()))
        tallies = take_turns(here, rounds=rounds, calls=calls, order=random.Random(rounds))  # noqa: S311 - no secret
        rows: dict[str, Figures] = {}
        for contender in here:
            tally = tallies[contender.name]
            rows[contender.name] = _times(f"{contender.name}: {FIRST}", tally.first_ms, tally.first_failures)
            report.add(rows[contender.name])
            if contender.again is not None:
                report.add(_times(f"{contender.name}: {CALL}", tally.call_ms, tally.call_failures))
        for contender in here:
            add_memory(report, contender, alive, entries[contender.name])
        for above, below in (("fresh process", "Atoll, pool warm"), ("fresh process", "Atoll, pool empty")):
            if above in rows and below in rows:
                report.ratio(f"{above} / {below}", rows[above], rows[below])


@contextmanager
def opened(contender: Contender) -> Iterator[None]:
    """Open a contender, and close it whatever happens. Raises ``NotHereError``."""
    why_not = contender.why_not()
    if why_not is not None:
        raise NotHereError(why_not)
    try:
        contender.open()
        yield
    finally:
        contender.close()


def look_around(contender: Contender) -> dict[str, Any]:
    """Warm caches by a first run, then let code say what it sees inside. Raises ``NotHereError``."""
    try:
        contender.start(FIRST_CODE).session.end()
        started = contender.start(LOOK_CODE)
        started.session.end()
        inside = json.loads(started.output)
    except (ContenderError, ValueError) as error:
        raise NotHereError(f"a first start failed: {error}") from error
    assert isinstance(inside, dict)
    return inside


def take_turns(
    contenders: Sequence[Contender], *, rounds: int, calls: int, order: random.Random, pause_s: float = PAUSE_S
) -> dict[str, Tally]:
    """Let each one start once in each round, in another order every time."""
    tallies = {contender.name: Tally() for contender in contenders}
    for number in range(rounds):
        turns = [one for one in contenders if tallies[one.name].failed_in_a_row < GIVE_UP_AFTER]
        order.shuffle(turns)
        for contender in turns:
            for other in contenders:
                other.settle()
            time.sleep(pause_s)
            one_turn(contender, tallies[contender.name], calls)
        if sys.stdout.isatty():
            print(f"round {number + 1} of {rounds}", end="\r", flush=True)
    return tallies


def one_turn(contender: Contender, tally: Tally, calls: int) -> None:
    """Start one, call it, end it; whatever goes wrong is counted."""
    try:
        began = time.perf_counter()
        started = contender.start(FIRST_CODE)
        first_ms = (time.perf_counter() - began) * 1000
    except ContenderError as error:
        tally.first_failures.append(str(error))
        tally.failed_in_a_row += 1
        return
    wrong = _wrong(started.output, FIRST_OUTPUT)
    if contender.again is not None and not wrong:
        for _ in range(calls):
            one_call(started.session, tally)
    try:
        started.session.end()
    except ContenderError as error:
        wrong = wrong or f"its end: {error}"
    if wrong:
        tally.first_failures.append(wrong)
        tally.failed_in_a_row += 1
    else:
        tally.first_ms.append(first_ms)
        tally.failed_in_a_row = 0


def one_call(session: Session, tally: Tally) -> None:
    """Run a second piece of code in what lives."""
    try:
        began = time.perf_counter()
        output = session.run(CALL_CODE)
        call_ms = (time.perf_counter() - began) * 1000
    except ContenderError as error:
        tally.call_failures.append(str(error))
        return
    wrong = _wrong(output, CALL_OUTPUT)
    if wrong:
        tally.call_failures.append(wrong)
    else:
        tally.call_ms.append(call_ms)


def add_memory(report: Report, contender: Contender, alive: int, entry: dict[str, Any]) -> None:
    """Report what each one takes, and in its entry how sure that is."""
    name = f"{contender.name}: {MEMORY}"
    try:
        memory = memory_for_each(contender, alive)
    except ContenderError as error:
        print(f"  failed: {name}: {error}", flush=True)
        report.add(Value(name, 0.0, "MB", alive, failures=1))
        return
    report.add(_megabytes(name, memory.bytes_each, runs=alive))
    entry["memory_unsure_mb"] = round(memory.unsure_bytes / MB, 1)


class Memory(NamedTuple):
    """``unsure_bytes`` is how far the figure would be off had all that others did been done before, or after."""

    bytes_each: float
    unsure_bytes: float


def memory_for_each(contender: Contender, alive: int, look: Callable[[], int] = settled_available_bytes) -> Memory:
    """Give what the host lacks for each of ``alive`` that have all run pandas code and live at once.

    It is held against the mean of before and after. Raises ``ContenderError``.
    """
    sessions: list[Session] = []
    contender.settle()
    before = look()
    try:
        for _ in range(alive):
            contender.settle()
            started = contender.hold(FIRST_CODE)
            sessions.append(started.session)
            if wrong := _wrong(started.output, FIRST_OUTPUT):
                raise ContenderError(wrong)
        contender.settle()
        during = look()
    finally:
        for session in sessions:
            with contextlib.suppress(ContenderError):
                session.end()
    contender.settle()
    after = look()
    return Memory(((before + after) / 2 - during) / alive, abs(after - before) / 2 / alive)


def render(results: Path, script: str) -> None:
    """Write the tables and the plot of the newest result, and put it into the docs when that is where it belongs."""
    from benchmarks.plot import draw  # noqa: PLC0415 - matplotlib is not needed for measuring

    result = json.loads((results / f"{script}.json").read_text(encoding="utf-8"))
    text = told(result, facts_of(result))
    (results / f"{script}.md").write_text(f"{text}\n", encoding="utf-8")
    draw(standings(result), machine_line(result), results / f"{script}.svg")
    print(f"written: {results / script}.md, .svg")
    if script == SCRIPT and results.resolve() == RESULTS.resolve():
        PAGE.write_text(put_into(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
        print(f"written: {PAGE}")


def facts_of(result: Mapping[str, Any]) -> dict[str, Facts]:
    """Give the facts about those that were to be compared, here or not."""
    known = {kind.name: kind.facts for kind in FIELD.values()}
    return {entry["name"]: known[entry["name"]] for entry in result["contenders"]}


def _wrong(output: str, expected: str) -> str | None:
    return None if output == expected else f"expected {expected!r}, got {output[:300]!r}"


def _times(name: str, times_ms: list[float], failures: list[str]) -> Figures:
    return figures(name, times_ms, failures, took_s=sum(times_ms) / 1000 or 1.0)


def _megabytes(name: str, value: float, *, runs: int = 1) -> Value:
    return Value(name, round(value / MB, 1), "MB", runs)


if __name__ == "__main__":
    main()
