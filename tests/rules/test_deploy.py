"""The files for those who run Atoll name metrics, labels and directives that exist."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from atoll.api.metrics import Metrics
from atoll.model.egress_decision import EgressCounts
from atoll.model.runtime_metrics import Durations, RuntimeMetrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs/reference/metrics.md").read_text()
ROW = re.compile(r"^\| `((?:atoll|process)_\w+)` \| \w+ \|([^|]*)\|", re.MULTILINE)
PROGRAM = "/opt/atoll/.venv/bin/atoll"

WORDS = {"sum", "min", "rate", "increase", "histogram_quantile", "predict_linear", "by", "on", "and", "unless"}
LABELS_OF_SCRAPES = {"le", "instance", "job"}
TOKEN = re.compile(
    r'(?P<string>"[^"\\]*")|(?P<range>\[(?:[0-9]+[smhd]|\$__rate_interval)\])|(?P<name>[a-zA-Z_]\w*)'
    r"|(?P<number>[0-9][0-9.]*)|(?P<sign>=~|==|<=|>=|[-+*/<>=(){},])|(?P<space>\s+)"
)


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    value = json.loads((DEPLOY / "grafana/atoll.json").read_text())
    assert isinstance(value, dict)
    return value


def expressions() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def told() -> set[str]:
    """Give the names of all series that a server can tell."""
    starts = {"ready": Durations(), "forked": Durations(), "cold": Durations()}
    text = Metrics().render(
        containers_running=0,
        runtime=RuntimeMetrics(starts=starts),  # type: ignore[arg-type]
        egress=EgressCounts(sandboxes=0, connections_open=0, decisions={}, bytes_sent=0, bytes_received=0),
    )
    found = set()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text.decode(), re.MULTILINE):
        found |= {name + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return found


def test_every_expression_is_of_what_there_is() -> None:
    series = told() | {"up"}
    for where, expression in expressions():
        check(where, expression, series)


def check(where: str, expression: str, series: set[str]) -> None:
    labels = {name: set(re.findall(r"`(\w+)`", row)) for name, row in ROW.findall(PAGE)}
    depth, at, names = 0, 0, list[str]()
    while at < len(expression):
        token = TOKEN.match(expression, at)
        assert token is not None, f"{where}: cannot be read from {expression[at:]!r}"
        at = token.end()
        depth += (token[0] in "({") - (token[0] in ")}") if token["sign"] else 0
        assert depth >= 0
        names += [token[0]] if token["name"] else []
    assert depth == 0
    used = {name for name in names if name.startswith(("atoll_", "process_", "up"))}
    assert used
    assert used <= series, f"{where}: {used - series}"
    known = set.union(
        LABELS_OF_SCRAPES, *(labels.get(re.sub("_(bucket|sum|count)$", "", name), set()) for name in used)
    )
    assert set(names) - used - WORDS <= known, where


def test_an_alert_says_what_it_means() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]


def test_the_dashboard_holds_together() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert panel["type"] == "row" or panel["targets"], panel["title"]


def test_prometheus_takes_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool")
    subprocess.run(["promtool", "check", "rules", str(DEPLOY / "prometheus/alerts.yaml")], check=True)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    units = sorted((DEPLOY / "systemd").iterdir())
    for unit in units:
        text = unit.read_text().replace(PROGRAM, sys.executable).replace("/opt/atoll/deploy", str(DEPLOY))
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in units)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_ours = [line for line in done.stderr.splitlines() if "atoll" in line]
    assert done.returncode == 0, done.stderr
    assert not about_ours


def test_the_daily_backup_keeps_the_newest_and_removes_what_is_half_done(tmp_path: Path) -> None:
    """Also while backups fail, as this one does: then all but one of those that it keeps stay, however old."""
    for day in range(1, 5):
        (tmp_path / f"2020-01-0{day}T000000").mkdir()
        (tmp_path / f"2020-01-0{day}T000000/manifest.json").write_text(json.dumps({"images": [f"img_{day}"]}))
        (tmp_path / f"images/img_{day}").mkdir(parents=True)
    (tmp_path / "2020-01-05T000000").mkdir()
    (tmp_path / "by-hand").mkdir()
    done = subprocess.run([str(DEPLOY / "daily-backup"), str(tmp_path), "3", "/bin/false"], check=False)
    assert done.returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        "2020-01-03T000000",
        "2020-01-04T000000",
        "by-hand",
        "images",
    }
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"img_3", "img_4"}
