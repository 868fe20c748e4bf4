"""Shell calls: streams, exit codes, time limits, background processes."""

import time
from pathlib import Path

from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent
from tests.unit.guest.conftest import StartAgent


def test_streams_are_apart_and_exit_codes_are_told(shared_agent: Agent) -> None:
    answer = shared_agent.shell("echo out; echo err >&2; exit 3", "true", "kill -9 $$")
    assert (answer.stdout, answer.stderr) == ("out\n", "err\n")
    assert answer.exit_codes == [3, 0, 137]
    assert answer.outcome == "ok"


def test_commands_start_in_the_data_folder_and_share_no_state(shared_agent: Agent) -> None:
    answer = shared_agent.shell("cd /; x=1", "pwd; echo [$x]")
    assert answer.stdout == f"{shared_agent.data_dir}\n[]\n"


def test_a_command_longer_than_an_argument_may_be_runs(shared_agent: Agent) -> None:
    answer = shared_agent.shell(f": {'x' * 500_000}\necho still")
    assert answer.stdout == "still\n"


def test_time_runs_out_for_all_commands_together(shared_agent: Agent) -> None:
    answer = shared_agent.shell("echo first", "echo second; sleep 60", "echo third", timeout_ms=300)
    assert answer.stdout == "first\nsecond\n"
    assert answer.exit_codes == [0, None, None]
    assert answer.outcome == "timeout"


def test_a_command_that_ignores_being_asked_is_killed(shared_agent: Agent) -> None:
    answer = shared_agent.shell("trap '' TERM; echo $$; while :; do sleep 60; done", timeout_ms=1000)
    assert answer.exit_codes == [None]
    pid = answer.stdout.strip()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the command is gone")


def test_a_background_process_does_not_hold_the_end_and_lives_on(shared_agent: Agent) -> None:
    started = time.monotonic()
    answer = shared_agent.shell("(while echo tick; do sleep 0.01; done; echo broken > pipe-broke) & echo $!")
    assert time.monotonic() - started < 20
    assert answer.exit_codes == [0]
    pid = int(answer.stdout.split()[0] if answer.stdout.split()[0].isdigit() else answer.stdout.split()[-1])
    shared_agent.shell("sleep 0.2")
    assert Path(f"/proc/{pid}").exists()
    assert "pipe-broke" not in shared_agent.files()
    shared_agent.shell(f"kill {pid}")


def test_output_is_bounded_in_characters_over_both_streams(shared_agent: Agent) -> None:
    answer = shared_agent.shell("printf 'é%.0s' {1..500}; printf 'x%.0s' {1..500} >&2", output_chars_max=100)
    kept = [character for character in answer.stdout + answer.stderr if character in "éx"]
    assert 100 <= len(kept) <= 102  # the lines about what is missing have an x in them
    assert "[atoll]" in answer.stdout + answer.stderr


def test_a_flood_ends_in_good_time(shared_agent: Agent) -> None:
    answer = shared_agent.shell("yes | head -c 50000000", output_chars_max=1000)
    assert "bytes of output are left out here" in answer.stdout
    assert answer.exit_codes == [0]


def test_an_endless_flood_is_stopped_in_time(shared_agent: Agent) -> None:
    started = time.monotonic()
    assert shared_agent.shell("yes", timeout_ms=300, output_chars_max=1000).outcome == "timeout"
    assert time.monotonic() - started < 20


def test_interrupt_and_hang_up(shared_agent: Agent) -> None:
    call = shared_agent.begin_shell("echo ready; sleep 60", "echo never")
    call.read_until("ready")
    assert shared_agent.call(op="interrupt").answer().result == {"interrupted": True}
    answer = call.answer()
    assert answer.exit_codes == [None, None]
    assert answer.outcome == "interrupted"
    call = shared_agent.begin_shell("echo $$; sleep 60")
    pid = call.read_until("\n").strip()
    call.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the command is gone")


def test_files_of_a_shell_call_are_named(agent: Agent) -> None:
    answer = agent.shell("echo x > a.txt; ln -s a.txt link; mkfifo pipe; mkdir d; echo y > d/b.txt")
    assert answer.file_names == {"a.txt", "d/b.txt"}


def test_looking_for_the_network_gets_an_explanation(shared_agent: Agent) -> None:
    answer = shared_agent.shell("echo 'curl: (6) Could not resolve host: example.org' >&2; exit 6", "echo fine")
    assert answer.stderr.endswith('its network_policy is "disabled".\n')
    assert answer.stdout == "fine\n"


def test_restart_ends_everything_people_started(agent: Agent) -> None:
    pid = int(agent.python("import os; os.getpid()").stdout)
    agent.shell("setsid sleep 61 & echo started")
    call = agent.begin_shell("echo ready; sleep 62")
    call.read_until("ready")
    assert agent.call(op="restart").answer().result == {}
    assert call.answer().outcome == "interrupted"
    assert not Path(f"/proc/{pid}").exists()
    wait_until(
        lambda: agent.shell(f"pgrep -x sleep -P {agent.process.pid} || echo none").stdout == "none\n", what="no sleep"
    )
    assert agent.python("'fresh'").stdout == "'fresh'\n"


def test_ending_the_agent_ends_what_it_started(start_agent: StartAgent) -> None:
    agent = start_agent()
    pid = int(agent.python("import os; os.getpid()").stdout)
    agent.process.terminate()
    agent.process.wait(10)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="Python is gone")


def test_orphans_are_reaped(agent: Agent) -> None:
    agent.shell("(sleep 0.01 &) ; (setsid true &)")
    children = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children")
    wait_until(lambda: not children.read_text().split(), what="no zombie is left")
