"""What every runtime must keep to, as checks that need no test framework.

A check is an async function of a ``Bench``; it returns when the contract holds, raises ``ConformanceError`` when it
does not, and ``DoesNotApplyError`` when the runtime does not claim what the check is about. Run each on a bench of
its own::

    bench = Bench(runtime)
    try:
        await check(bench)
    finally:
        await bench.close()

The checks look at the host's ``/proc``, so run them where the sandboxes' processes can be seen.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from atoll.runtime.conformance import dialling, dying, life, measuring, programs
from atoll.runtime.conformance.bench import SPEC, Bench, ConformanceError, DoesNotApplyError

__all__ = ["CHECKS", "SPEC", "Bench", "Check", "ConformanceError", "DoesNotApplyError"]

Check = Callable[[Bench], Awaitable[None]]

CHECKS: Final[tuple[Check, ...]] = (
    life.a_new_sandbox_runs_and_is_observed,
    life.sandboxes_are_apart,
    life.too_large_a_spec_is_refused,
    life.what_is_not_there_is_not_found,
    life.starting_what_runs_changes_nothing,
    life.a_stopped_sandbox_keeps_its_files_only,
    life.starting_at_the_same_time_starts_once,
    life.a_destroyed_sandbox_is_gone,
    life.stopping_and_destroying_end_a_running_call,
    life.daemons_end_too,
    dialling.many_streams_are_open_at_once,
    dialling.a_closed_stream_is_of_no_use,
    dialling.a_stream_that_ended_is_not_quiet,
    dialling.hanging_up_cancels_the_call,
    dialling.much_data_goes_both_ways,
    dialling.archives_go_both_ways,
    programs.a_program_gets_exactly_what_it_was_given,
    programs.a_program_that_is_not_there_is_refused,
    programs.programs_run_beside_each_other,
    programs.stopping_ends_programs,
    measuring.usage_follows_what_is_used,
    measuring.measurement_follows_what_is_used,
    measuring.usage_starts_anew_after_a_stop,
    measuring.memory_has_a_limit,
    measuring.processes_have_a_limit,
    measuring.the_disk_has_a_limit,
    dying.a_sandbox_whose_agent_died_can_be_started,
    dying.a_dead_agent_can_be_replaced_at_once,
    dying.a_cancelled_create_leaves_nothing_half_made,
    dying.a_cancelled_destroy_can_be_repeated,
    dying.coming_and_going_leaves_nothing,
)
