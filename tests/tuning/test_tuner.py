"""Searches whose training jobs are processes of a toy program."""

import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tuning.toys import BOWL, CURVE, FAILING, HANGING, limits, only_q, request, run, search

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import results
from gaussian_processes.tuning.jobfile import Changes

CONFIG = "HyperParameterTuningJobConfig"


def bowl(values):
    """The toy program's loss, by hand."""
    return (
        (math.log10(values["noise"]) + 3) ** 2
        + (math.log10(values["bias"]) - 0.5) ** 2
        + values["q"] / 10
    )


def test_a_search_leaves_a_table_of_what_its_jobs_printed(tmp_path):
    found = run(tmp_path, request(ResourceLimits=limits(6, parallel=3)))

    assert [row.status for row in found.rows] == ["Completed"] * 6
    for row in found.rows:
        assert row.metrics["validation:RMSE"] == pytest.approx(bowl(row.values), rel=1e-12)
        assert row.metrics["validation:NLPD"] == row.values["noise"]
        assert row.seconds > 0
    assert results.read(tmp_path) == found
    assert found.best.metrics["validation:RMSE"] == min(
        row.metrics["validation:RMSE"] for row in found.rows
    )


@pytest.mark.parametrize("strategy", ["Random", "Bayesian", "Genetic", "ParticleSwarm", "PAES"])
def test_a_seed_repeats_a_search_of_one_job_at_a_time(tmp_path, strategy):
    asked = request(Strategy=strategy, ResourceLimits=limits(9))

    first, second = (run(tmp_path / name, asked) for name in ("a", "b"))
    other = run(tmp_path / "c", request(Strategy=strategy, ResourceLimits=limits(3), RandomSeed=8))

    assert [row.values for row in first.rows] == [row.values for row in second.rows]
    assert first.rows[0].values != other.rows[0].values


def test_the_program_gets_what_sagemaker_would_give_it(tmp_path):
    asked = request(ResourceLimits=limits(1))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rows.csv").write_text("1,2\n")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "file://data"}}
    asked["TrainingJobDefinition"]["InputDataConfig"] = [
        {"ChannelName": "train", "DataSource": source, "ContentType": "text/csv"}
    ]
    asked["TrainingJobDefinition"]["Environment"] = {"GREETING": "hello"}
    program = BOWL + (
        "\nprint(given); print((base / 'input/data/train/rows.csv').read_text());"
        " print(os.environ['GREETING']);"
        "print((base / 'input/config/inputdataconfig.json').read_text());"
        "print((base / 'input/config/resourceconfig.json').read_text())"
    )

    row = run(tmp_path, asked, program).rows[0]

    log = (tmp_path / "trials" / row.name / "log").read_text()
    assert "'l': '1'" in log
    assert "'_tuning_objective_metric': 'validation:RMSE'" in log
    assert f"'q': '{row.values['q']}'" in log
    assert "1,2\n" in log
    assert "hello" in log
    assert '"ContentType": "text/csv"' in log
    assert '"current_host": "algo-1"' in log


def test_a_channel_that_is_not_there_is_refused_before_anything_starts(tmp_path):
    asked = request()
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "file://data"}}
    asked["TrainingJobDefinition"]["InputDataConfig"] = [
        {"ChannelName": "train", "DataSource": source}
    ]

    with pytest.raises(UserError, match=r"channel train is file://data, but .* is no folder"):
        run(tmp_path, asked)


def test_a_failed_job_is_a_row_with_its_reason_and_the_search_goes_on(tmp_path):
    asked = request(
        Strategy="Grid",
        ResourceLimits={"MaxParallelTrainingJobs": 1},
        ParameterRanges=only_q("0", "1", "2", "3", "4"),
    )

    found = run(tmp_path, asked, FAILING)

    statuses = {row.values["q"]: (row.status, row.failure) for row in found.rows}
    failed = ("Failed", "q is odd, but it must be even; take another")
    assert statuses == {q: failed if int(q) % 2 else ("Completed", "") for q in "01234"}
    assert found.best.values["q"] == "0"


def test_five_failures_in_a_row_end_the_search_with_the_last_reason(tmp_path):
    with pytest.raises(
        UserError,
        match=r"5 training jobs in a row failed, the last one because: exit code 1: "
        r".*ZeroDivisionError",
    ):
        run(tmp_path, request(ResourceLimits=limits(20)), "1 / 0")

    assert [row.status for row in results.read(tmp_path).rows] == ["Failed"] * 5


def test_a_job_without_its_objective_has_failed_and_says_why(tmp_path):
    found = run(tmp_path, request(ResourceLimits=limits(1)), "print('validation:RMSE: 1')")

    assert found.rows[0].status == "Failed"
    assert "was not found in the log by its Regex" in found.rows[0].failure
    with pytest.raises(UserError, match="no training job of toy has given its objective"):
        _ = found.best


def test_what_is_known_is_not_trained_again(tmp_path):
    """Five combinations, and a strategy that repeats itself: five jobs, and an end."""
    asked = request(Strategy="Random", ResourceLimits=limits(5), ParameterRanges=only_q())

    found = run(tmp_path, asked)

    assert sorted(row.values["q"] for row in found.rows) == [0, 1, 2, 3, 4]
    study = search(tmp_path, asked).study
    assert len(study.trials) > 5  # the repetitions, answered from what is known
    assert all(trial.value == trial.params["q"] / 10 + 0.25 for trial in study.trials)


def test_a_search_that_is_started_again_goes_on(tmp_path):
    asked = request(Strategy="Bayesian", ResourceLimits=limits(8))
    whole = run(tmp_path / "whole", asked)

    run(tmp_path / "parts", asked, changes=Changes(jobs=3))
    parts = run(tmp_path / "parts", asked, extend=True)

    assert [row.values for row in parts.rows] == [row.values for row in whole.rows]
    assert run(tmp_path / "parts", asked) == parts  # and once more does nothing


def test_a_folder_of_another_search_is_refused(tmp_path):
    run(tmp_path, request(ResourceLimits=limits(1)))

    with pytest.raises(UserError, match="holds a search with another ParameterRanges"):
        run(tmp_path, request(ResourceLimits=limits(1), ParameterRanges=only_q()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Strategy": "Genetic"}, "another Strategy, Random and not Genetic; give another folder"),
        ({"RandomSeed": 8}, "another RandomSeed, 7 and not 8; give another folder"),
        (
            {"ResourceLimits": limits(2)},
            "another MaxNumberOfTrainingJobs, 1 and not 2; go on under the new limits with"
            " --extend, or give another folder",
        ),
        (
            {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 1.0}},
            "another TuningJobCompletionCriteria; go on under the new limits with --extend",
        ),
    ],
)
def test_a_search_that_would_be_mixed_with_another_is_refused(tmp_path, changes, sentence):
    run(tmp_path, request(ResourceLimits=limits(1)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    with pytest.raises(UserError, match=re.escape(sentence)):
        search(tmp_path, request(**{"ResourceLimits": limits(1), **changes}))

    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_search_on_other_data_is_refused_and_on_the_same_goes_on(tmp_path):
    asked = request(ResourceLimits=limits(1))
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    source = {"S3DataType": "S3Prefix", "S3Uri": "file://here"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    asked["TrainingJobDefinition"]["InputDataConfig"] = [channel]
    found = run(tmp_path, asked)

    assert run(tmp_path, asked) == found
    source["S3Uri"] = "file://elsewhere"
    with pytest.raises(UserError, match="another InputDataConfig; give another folder"):
        search(tmp_path, asked, extend=True)


def test_only_the_limits_can_be_extended(tmp_path):
    run(tmp_path, request(ResourceLimits=limits(1)))

    with pytest.raises(UserError, match="another RandomSeed"):
        search(tmp_path, request(ResourceLimits=limits(2), RandomSeed=8), extend=True)
    assert len(run(tmp_path, request(ResourceLimits=limits(2)), extend=True).rows) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"Strategy": "Simplex"},
        {"Strategy": "nowhere:Class"},
        {"Strategy": "inspyred.ec:GA(pop_size=-3)"},
        # Fails when it proposes, not when it is made.
        {"Strategy": "optuna.samplers:TPESampler(n_startup_trials='x')"},
        {"Parent": "nowhere"},
    ],
)
def test_a_refused_search_leaves_no_files(tmp_path, changes):
    def parents(name):
        raise UserError(f"there is no search {name}")

    asked = request()
    if "Parent" in changes:
        asked["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": changes["Parent"]}],
            "WarmStartType": "IdenticalDataAndAlgorithm",
        }
    else:
        asked[CONFIG].update(changes)

    with pytest.raises(UserError):
        search(tmp_path / "out", asked, parents=parents)

    assert not (tmp_path / "out").exists()


def test_a_sampler_of_a_grid_ends_the_search_when_it_is_through(tmp_path):
    grid = "optuna.samplers:GridSampler(search_space={'q': [0, 2]})"
    asked = request(Strategy=grid, ResourceLimits=limits(5), ParameterRanges=only_q())

    found = run(tmp_path, asked)

    assert sorted(row.values["q"] for row in found.rows) == [0, 2]


def test_ctrl_c_stops_the_jobs_keeps_the_table_and_lets_the_search_go_on(tmp_path):
    """The runner is a process of its own, which gets the signal that a terminal sends."""
    asked = request(ResourceLimits=limits(3, parallel=2))
    runner = _runner(tmp_path, asked)

    runner.send_signal(signal.SIGINT)
    said = runner.communicate(timeout=30)[1]

    assert "InterruptedSearchError: stopped; the same command goes on" in said
    assert not _running(tmp_path)
    before = results.read(tmp_path).rows
    assert [row.status for row in before] == ["Stopped", "Stopped"]
    found = run(tmp_path, asked)
    assert [row.status for row in found.rows] == ["Completed"] * 3
    assert [row.values for row in found.rows[:2]] == [row.values for row in before]
    assert [row.values for row in found.rows] == [
        row.values for row in run(tmp_path / "whole", asked).rows
    ]


def _runner(folder, asked):
    """A runner that is a process of its own, once it has two jobs that hang."""
    program = (
        "import json, sys, pathlib; sys.path.insert(0, sys.argv[1]); from tuning.toys import *\n"
        "run(pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]), HANGING)"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(Path(__file__).parents[1]),
        str(folder),
        json.dumps(asked),
    ]
    runner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _wait_for(
        lambda: (
            len(list(folder.glob("trials/*/log"))) == 2
            and all(map(Path.read_text, folder.glob("trials/*/log")))
        )
    )
    return runner


def _running(folder):
    """Processes whose base folder lies there."""
    needle = f"SAGEMAKER_BASE_DIR={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += (
                [path]
                if needle in path.read_bytes() and b"\0" in path.with_name("cmdline").read_bytes()
                else []
            )
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


def _wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_runs_do_not_share_a_folder(tmp_path):
    first = search(tmp_path, request(ResourceLimits=limits(1)))
    refused = []

    def watch(*_):
        with pytest.raises(UserError, match="another run is using"):
            search(tmp_path, request(ResourceLimits=limits(1))).run()
        refused.append(True)

    first.run(watch)

    assert refused


def test_what_a_stopped_job_has_printed_is_not_the_best(tmp_path):
    """It may be of a part of the rows, and there is no model that goes with it."""
    asked = request(
        Strategy="Grid",
        ResourceLimits={"MaxParallelTrainingJobs": 1},
        ParameterRanges=only_q("0", "3"),
    )
    asked["TrainingJobDefinition"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}

    found = run(
        tmp_path, asked, HANGING.replace("time.sleep(60)", "time.sleep(60 * (given['q'] == '0'))")
    )

    assert {row.values["q"]: row.status for row in found.rows} == {"0": "Stopped", "3": "Completed"}
    losses = {row.values["q"]: row.metrics["validation:RMSE"] for row in found.rows}
    assert losses["0"] < losses["3"]
    assert found.best.values["q"] == "3"


def test_a_job_that_is_worse_than_the_median_is_stopped_early(tmp_path):
    asked = request(
        Strategy="Grid",
        TrainingJobEarlyStoppingType="Auto",
        ResourceLimits={"MaxParallelTrainingJobs": 1},
    )
    asked[CONFIG]["ParameterRanges"] = only_q("0", "1", "2", "4", "3")
    asked["TrainingJobDefinition"]["StaticHyperParameters"] = {"noise": "0.001", "bias": "1"}

    found = run(tmp_path, asked, CURVE)

    # Losses rise with q: three train to their end, and the others are above their median from the
    # first step.
    assert [row.status for row in found.rows] == ["Completed"] * 3 + ["Stopped"] * 2
    assert "stopped early after" in found.rows[3].failure
    assert found.best.values["q"] == "0"


def test_jobs_that_print_their_objective_once_are_never_stopped_early(tmp_path):
    found = run(tmp_path, request(TrainingJobEarlyStoppingType="Auto", ResourceLimits=limits(10)))

    assert {row.status for row in found.rows} == {"Completed"}


def test_hyperband_gives_most_jobs_few_resources(tmp_path):
    bands = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}
    asked = request(
        Strategy="Hyperband", StrategyConfig=bands, ResourceLimits=limits(14, parallel=2)
    )
    asked["TrainingJobDefinition"]["StaticHyperParameters"]["stages"] = "9"

    found = run(tmp_path, asked, CURVE)

    steps = []
    for row in found.rows:
        log = (tmp_path / "trials" / row.name / "log").read_text()
        steps.append(len(re.findall("validation:RMSE=(.*?);", log)))
        assert (row.status == "Completed") == (steps[-1] == 9)
    assert sum(steps) < 0.8 * 9 * 14
    assert found.best.status == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("criteria", "jobs"),
    [
        ({"TargetObjectiveMetricValue": 1e6}, 1),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}, None),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}, None),
    ],
)
def test_a_search_ends_by_its_completion_criteria(tmp_path, criteria, jobs):
    asked = request(
        Strategy="Bayesian", TuningJobCompletionCriteria=criteria, ResourceLimits=limits(60)
    )
    asked[CONFIG]["ParameterRanges"]["ContinuousParameterRanges"] = asked[CONFIG][
        "ParameterRanges"
    ]["ContinuousParameterRanges"][1:]

    one = search(tmp_path, asked)
    found = one.run()

    assert one.ending
    assert len(found.rows) == jobs if jobs else 4 <= len(found.rows) < 60
    if "BestObjectiveNotImproving" in criteria:
        losses = [row.metrics["validation:RMSE"] for row in found.rows]
        assert min(losses[-3:]) >= min(losses[:-3])


def test_a_job_that_runs_too_long_is_stopped(tmp_path):
    asked = request(ResourceLimits=limits(1))
    asked["TrainingJobDefinition"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}

    row = run(tmp_path, asked, HANGING).rows[0]

    assert row.status == "Stopped"
    assert "ran longer than MaxRuntimeInSeconds, 1" in row.failure
    assert "validation:RMSE" in row.metrics  # what it had printed counts


def test_a_warm_start_takes_what_is_known(tmp_path):
    parent = run(tmp_path / "parent", request(ResourceLimits=limits(10)))
    asked = request(Strategy="Bayesian", ResourceLimits=limits(3))
    asked["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }

    one = search(tmp_path / "child", asked, parents={"parent": parent}.__getitem__)
    found = one.run()

    assert len(found.rows) == 3
    assert len(one.study.trials) == 13
    assert (
        one.study.trials[10].system_attrs["strategy"]["expected_improvement"] > 0
    )  # it has learned before its first job


def test_a_warm_start_from_other_data_begins_with_its_best(tmp_path):
    parent = run(tmp_path / "parent", request(ResourceLimits=limits(10)))
    asked = request(ResourceLimits=limits(3, parallel=2))
    asked["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "TransferLearning",
    }

    found = run(tmp_path / "child", asked, parents={"parent": parent}.__getitem__)

    best = sorted(parent.rows, key=lambda row: row.metrics["validation:RMSE"])
    assert [row.values for row in found.rows[:2]] == [row.values for row in best[:2]]


def test_several_objectives_have_a_front(tmp_path):
    several = [
        {"Type": "Minimize", "MetricName": "validation:RMSE"},
        {"Type": "Maximize", "MetricName": "validation:NLPD"},
    ]

    found = run(
        tmp_path,
        request(
            Strategy="PAES", HyperParameterTuningJobObjective=several, ResourceLimits=limits(15)
        ),
    )

    points = [
        (row.metrics["validation:RMSE"], -row.metrics["validation:NLPD"]) for row in found.rows
    ]
    by_hand = {
        a for a in points if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in points)
    }
    assert {
        (row.metrics["validation:RMSE"], -row.metrics["validation:NLPD"])
        for row in found.pareto_front
    } == by_hand


@pytest.mark.parametrize(
    "strategy",
    [
        "optuna.samplers:TPESampler(n_startup_trials=2)",
        "inspyred.ec:DEA(pop_size=2)",
        "own_strategy:Corner",
    ],
)
def test_a_strategy_of_ones_own_runs_by_its_name(tmp_path, strategy):
    (tmp_path / "own_strategy.py").write_text(
        "from optuna.samplers import RandomSampler\n"
        "class Corner(RandomSampler):\n"
        "    def __init__(self, space):\n        super().__init__(seed=0); self.space = space\n"
        "    def sample_independent(self, study, trial, param_name, param_distribution):\n"
        "        found = super().sample_independent(study, trial, param_name, param_distribution)\n"
        "        return 4 if param_name == 'q' else found\n"
    )

    found = run(tmp_path, request(Strategy=strategy, ResourceLimits=limits(4)))

    assert len(found.rows) == 4
    if "own" in strategy:
        assert {row.values["q"] for row in found.rows} == {4}


@pytest.mark.parametrize(
    ("strategy", "complaint"),
    [
        ("Simplex", "strategy Simplex is unknown"),
        ("nowhere:Class", "can't be imported"),
        ("json:JSONDecoder", "is no optuna"),
    ],
)
def test_a_strategy_that_is_none_is_refused(tmp_path, strategy, complaint):
    with pytest.raises(UserError, match=complaint):
        run(tmp_path, request(Strategy=strategy))


def test_a_killed_runner_takes_its_jobs_along_and_the_search_goes_on(tmp_path):
    """SIGKILL leaves no time to tidy up: what was running ends by itself, and is started again."""
    asked = request(ResourceLimits=limits(3, parallel=2))
    runner = _runner(tmp_path, asked)
    assert _running(tmp_path)

    runner.kill()
    runner.communicate()

    _wait_for(lambda: not _running(tmp_path))
    found = run(tmp_path, asked)
    assert [row.status for row in found.rows] == ["Completed"] * 3
    assert [row.name.split("-", 2)[2] for row in found.rows] == ["000-2", "001-2", "002"]
    _wait_for(lambda: not _running(tmp_path))  # nor do those stay that watch over the jobs
