"""Decisions of the scheduler: reports are made by hand, and its clock is an argument."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuning.toys import limits, only_q, request

from gaussian_processes.tuning import jobfile, journal
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED, Report
from gaussian_processes.tuning.ledger import Ledger
from gaussian_processes.tuning.scheduler import Scheduler, Stop

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ledger(study=None, **config) -> Ledger:
    job = jobfile.check(request(**config), Path(), "process")
    return Ledger(job, study or journal.create_study(job))


def advance(scheduler, reports=None, seconds=0.0):
    return scheduler.advance(reports, NOON + timedelta(seconds=seconds), seconds)


def names(actions):
    return [start.name.rsplit("-", 1)[1] for start in actions.starts]


def running(log=""):
    return Report(RUNNING, log, NOON)


def completed(loss, *earlier):
    log = "".join(f"validation:RMSE={value};\n" for value in (*earlier, loss))
    return Report(COMPLETED, log, NOON, NOON + timedelta(seconds=9))


def test_free_slots_are_filled_and_no_more_than_the_jobs_limit_are_started():
    scheduler = Scheduler(ledger(ResourceLimits=limits(3, parallel=2)))

    first = advance(scheduler)
    idle = advance(scheduler, {start.name: running() for start in first.starts})
    ended, other = (start.name for start in first.starts)
    second = advance(scheduler, {ended: completed(1.0), other: running()})
    last = advance(scheduler, {other: completed(2.0), second.starts[0].name: completed(3.0)})

    assert names(first) == ["000", "001"]
    assert not idle.starts
    assert names(second) == ["002"]
    assert not last.starts
    assert scheduler.done
    assert not scheduler.ending


def test_a_job_that_a_busy_backend_did_not_take_is_the_next_to_start():
    scheduler = Scheduler(ledger(ResourceLimits=limits(3, parallel=2)))

    first = advance(scheduler)
    scheduler.postpone(first.starts[1:])

    assert list(scheduler.running) == [first.starts[0].name]
    assert advance(scheduler, {first.starts[0].name: running()}).starts == first.starts[1:]


def test_five_failures_in_a_row_stop_the_rest():
    scheduler = Scheduler(ledger(ResourceLimits=limits(20, parallel=6)))
    *failing, last = (start.name for start in advance(scheduler).starts)

    failed = dict.fromkeys(failing, Report(FAILED, failure="too odd"))
    actions = advance(scheduler, failed | {last: running()})

    assert scheduler.error == "5 training jobs in a row failed, the last one because: too odd"
    assert actions.stops == (Stop((last,), "stopped with the search"),)
    assert not actions.starts
    advance(scheduler, {last: Report(STOPPED)})
    assert scheduler.done


def test_a_failure_counts_only_in_a_row():
    scheduler = Scheduler(ledger(ResourceLimits=limits(20)))

    for number in range(12):
        (start,) = advance(scheduler).starts
        good = number % 5 == 4
        report = completed(1.0) if good else Report(FAILED, failure="too odd")
        scheduler.postpone(advance(scheduler, {start.name: report}).starts)

    assert not scheduler.error


def test_a_job_beyond_its_time_is_asked_to_stop_until_the_backend_takes_it():
    scheduler = Scheduler(ledger(ResourceLimits=limits(1)))  # the toy's jobs may run 600 seconds
    (start,) = advance(scheduler).starts
    reports = {start.name: running()}

    within, beyond, again = (advance(scheduler, reports, at).stops for at in (600, 601, 602))
    scheduler.confirm(again[0])

    assert within == ()
    reason = "it ran longer than MaxRuntimeInSeconds, 600"
    assert beyond == again == (Stop((start.name,), reason),)
    assert advance(scheduler, reports, 603).stops == ()


def test_a_reached_target_stops_what_runs_and_starts_nothing():
    criteria = {"TargetObjectiveMetricValue": 0.5}
    scheduler = Scheduler(
        ledger(TuningJobCompletionCriteria=criteria, ResourceLimits=limits(9, parallel=2))
    )
    good, other = (start.name for start in advance(scheduler).starts)

    actions = advance(scheduler, {good: completed(0.4), other: running()})

    reason = "the search ended: the target 0.5 is reached"
    assert actions.stops == (Stop((other,), reason),)
    assert not actions.starts
    scheduler.confirm(actions.stops[0])
    advance(scheduler, {other: Report(STOPPED, "validation:RMSE=0.9;")})
    assert scheduler.done


def test_a_search_ends_when_its_own_time_is_over():
    config = limits(9, MaxRuntimeInSeconds=120)
    scheduler = Scheduler(ledger(ResourceLimits=config))
    (start,) = advance(scheduler).starts

    assert not advance(scheduler, {start.name: running()}, 120).stops
    assert advance(scheduler, {start.name: running()}, 121).stops
    assert scheduler.ending == "MaxRuntimeInSeconds, 120, is over"


def test_a_job_worse_than_the_median_is_asked_to_stop():
    """Three others have 1, 2 and 3 at their first step: the median of their averages is 2."""
    scheduler = Scheduler(ledger(TrainingJobEarlyStoppingType="Auto", ResourceLimits=limits(9)))
    (start,) = advance(scheduler).starts
    for first in (1.0, 2.0, 3.0):
        (start,) = advance(scheduler, {start.name: completed(0.5, first)}).starts

    better = advance(scheduler, {start.name: running("validation:RMSE=1.9;")})
    (other,) = advance(scheduler, {start.name: completed(0.5, 1.9)}).starts
    worse = advance(scheduler, {other.name: running("validation:RMSE=2.5;")})

    assert better.stops == ()
    reason = "stopped early after 1 values of validation:RMSE"
    assert worse.stops == (Stop((other.name,), reason),)


def test_an_aborted_search_is_taken_up_where_it_was():
    """One job had come to its end meanwhile, one was stopped: only that is attempted again."""
    first = ledger(ResourceLimits=limits(2, parallel=2))
    scheduler = Scheduler(first)
    ended, stopped = (start.name for start in advance(scheduler).starts)
    scheduler.abort("stopped with the search")
    advance(scheduler, {ended: completed(1.0), stopped: Report(STOPPED)})
    assert scheduler.done
    assert [row.status for row in first.results().rows] == [COMPLETED, STOPPED]

    again = Scheduler(ledger(first.study, ResourceLimits=limits(2, parallel=2)))

    actions = advance(again)
    assert [start.name for start in actions.starts] == [f"{stopped}-2"]
    assert not advance(again, {f"{stopped}-2": completed(2.0)}).starts
    assert again.done


def test_what_a_killed_run_left_running_is_adopted_and_tried_again_if_it_is_gone():
    first = ledger(ResourceLimits=limits(2, parallel=2))
    alive, gone = (start.name for start in advance(Scheduler(first)).starts)

    again = Scheduler(ledger(first.study, ResourceLimits=limits(2, parallel=2)))

    assert not advance(again).starts
    actions = advance(again, {alive: completed(1.0)})
    assert [start.name for start in actions.starts] == [f"{gone}-2"]


def test_training_jobs_are_numbered_without_gaps_whatever_is_proposed_twice():
    scheduler = Scheduler(
        ledger(Strategy="Random", ResourceLimits=limits(5), ParameterRanges=only_q())
    )
    started = []

    actions = advance(scheduler)
    while actions.starts:
        (start,) = actions.starts
        started.append(start)
        actions = advance(scheduler, {start.name: completed(1.0)})

    assert [start.name[-3:] for start in started] == ["000", "001", "002", "003", "004"]
    assert sorted(start.hyperparameters["q"] for start in started) == list("01234")
    assert scheduler.done
    assert not scheduler.ending


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_grid_that_is_done_has_not_ended_early(parallel):
    only = only_q("0", "1", "2")
    config = {"MaxParallelTrainingJobs": parallel}
    scheduler = Scheduler(ledger(Strategy="Grid", ResourceLimits=config, ParameterRanges=only))

    actions = advance(scheduler)
    while not scheduler.done:
        actions = advance(scheduler, {name: completed(1.0) for name in scheduler.running})

    assert not actions.starts
    assert not scheduler.ending
