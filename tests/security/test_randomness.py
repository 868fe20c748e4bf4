"""No two sandboxes, and no two Pythons of one, ever draw the same numbers or share a secret."""

import json
from itertools import combinations

from tests.oci_fixtures import OciMachine
from tests.security.conftest import Cell

DRAW = """
import hashlib, json, multiprocessing, os, random, secrets, ssl, string, tempfile, uuid
import numpy as np
ssl.create_default_context()
print(json.dumps({
    "random": random.random(), "getrandbits": random.getrandbits(64), "shuffle": random.sample(range(10**9), 4),
    "instance": random.Random().random(), "system": random.SystemRandom().random(),
    "numpy": np.random.random(), "numpy legacy": np.random.RandomState().random(), "numpy normal": np.random.randn(),
    "numpy default": np.random.default_rng().random(), "numpy entropy": str(np.random.SeedSequence().entropy),
    "uuid1": str(uuid.uuid1()), "uuid1 tail": str(uuid.uuid1())[19:], "uuid4": str(uuid.uuid4()),
    "secrets": secrets.token_hex(), "urandom": os.urandom(16).hex(), "ssl": ssl.RAND_bytes(16).hex(),
    "tempfile": tempfile.mktemp(), "names": next(tempfile._get_candidate_names()),
    "authkey": bytes(multiprocessing.current_process().authkey).hex(),
}))
"""


def test_every_draw_differs(forking_machine: OciMachine) -> None:
    cells = [Cell(forking_machine) for _ in range(3)]
    try:
        assert {cell.kind for cell in cells} == {"forked"}
        draws = [json.loads(cell.call(DRAW)) for cell in cells]
        for cell in cells:
            cell.restart()
        draws += [json.loads(cell.call(DRAW)) for cell in cells]
        same = {name for one, other in combinations(draws, 2) for name in one if one[name] == other[name]}
        assert not same
    finally:
        for cell in cells:
            cell.close()
