"""What is immortal is not written to; where a Python knows no such thing, nothing happens to it."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "src"
KNOWS_IMMORTALITY = sys.version_info >= (3, 12) and "t" not in sys.abiflags

# In a process of its own: there is no way back.
PROGRAM = """
    import gc, json, sys, weakref
    from atoll.guest import immortal

    class Thing:
        pass

    def work(number):
        return {"a constant of its own": number}

    constant = next(one for one in work.__code__.co_consts if one == "a constant of its own")
    before = len(gc.get_objects())
    made = immortal.make_all()
    counts = [sys.getrefcount(one) for one in (work, constant, Thing, json)]
    held = [(work, constant, Thing, json)] * 5, [work, constant, Thing, json] * 5
    still = [sys.getrefcount(one) for one in (work, constant, Thing, json)]
    thing = Thing()
    gone = weakref.ref(thing)
    del thing
    json.dump({
        "made": made,
        "objects": before,
        "unchanged": counts == still,
        "mortal": gone() is None,
        "works": [work(1), json.loads("[1]"), sorted({"b", "a"})],
        "again": immortal.make_all() > 0,
    }, sys.stdout)
"""


def run(program: str) -> dict[str, object]:
    text = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{textwrap.dedent(program)}"
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_all_that_is_there_is_immortal_and_all_that_comes_is_not() -> None:
    seen = run(PROGRAM)
    assert seen["mortal"] is True
    assert seen["works"] == [{"a constant of its own": 1}, [1], ["a", "b"]]
    if KNOWS_IMMORTALITY:
        assert int(str(seen["made"])) > int(str(seen["objects"]))
    else:
        assert seen["made"] == 0
    assert seen["unchanged"] is KNOWS_IMMORTALITY
    assert seen["again"] is KNOWS_IMMORTALITY


def test_it_can_be_collected_afterwards() -> None:
    seen = run("""
        import gc, json, sys
        from atoll.guest import immortal

        immortal.make_all()
        gc.freeze()
        cycle = []
        cycle.append(cycle)
        del cycle
        found = gc.collect()
        gc.unfreeze()
        gc.collect()
        json.dump({"found": found > 0}, sys.stdout)
    """)
    assert seen == {"found": True}
