"""What a job file may ask for."""

import json
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator
from tuning.toys import limits, only_q, request

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import jobfile
from gaussian_processes.tuning.jobfile import Changes

EXAMPLES = Path(__file__).parents[2] / "examples/tuning"


def check(asked, runner="process", **changes):
    return jobfile.check(asked, Path(), runner, Changes(**changes))


def changed(path, value):
    """The toy's request with one part replaced, added or (None) removed."""
    asked = request()
    *parts, last = path.split("/")
    inner = asked
    for part in parts:
        inner = inner.setdefault(part, {})
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return asked


def test_the_gp_posts_job_is_what_the_post_says():
    job = jobfile.read(EXAMPLES / "gp_post.json", "process")

    assert {
        entry.name: (entry.min_value, entry.max_value, entry.integer) for entry in job.space
    } == {
        "q": (0, 4, True),
        "l": (1, 4, True),
    }
    assert (job.strategy, job.limits.jobs, job.limits.parallel, job.static) == (
        "Random",
        10,
        3,
        {"noise": "0.1"},
    )
    assert [(one.metric, one.maximize) for one in job.objectives] == [("validation:RMSE", False)]
    assert job.metrics["validation:RMSE"] == "validation:RMSE=(.*?);"


CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
RANGES = f"{CONFIG}/ParameterRanges"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        # What botocore's model says and botocore does not enforce, nor moto.
        ("HyperParameterTuningJobName", "gp_tune", "must match"),
        ("HyperParameterTuningJobName", "a" * 33, "at most 32"),
        (f"{CONFIG}/TrainingJobEarlyStoppingType", "On", "one of Off, Auto"),
        (f"{DEFINITION}/ResourceConfig/InstanceType", "ml.m5.huge", "in all"),
        (f"{CONFIG}/ResourceLimits/MaxRuntimeInSeconds", 10, "at least 120"),
        (f"{DEFINITION}/StoppingCondition", None, "is missing"),
        (f"{DEFINITION}/Surprise", 1, "is unknown"),
        (f"{DEFINITION}/StaticHyperParameters", {"l": 1}, 'write "1"'),
        (
            f"{RANGES}/IntegerParameterRanges",
            [{"Name": "q", "MinValue": 0, "MaxValue": "4"}],
            'write "0"',
        ),
        (
            f"{RANGES}/CategoricalParameterRanges",
            [{"Name": "l", "Values": [str(n) for n in range(31)]}],
            "at most 30",
        ),
        # What SageMaker's tuner alone would say.
        (f"{DEFINITION}/AlgorithmSpecification/MetricDefinitions", [], "a metric is required"),
        (
            f"{CONFIG}/HyperParameterTuningJobObjective/MetricName",
            "validation:F1",
            "not among the MetricDefinitions",
        ),
        (RANGES, only_q(), "there are 5 combinations"),
        (RANGES, {}, "names 0 hyperparameters"),
        (
            f"{RANGES}/IntegerParameterRanges",
            [{"Name": "q", "MinValue": "2", "MaxValue": "2"}],
            "nothing but 2; make it a static",
        ),
        (
            f"{RANGES}/IntegerParameterRanges",
            [{"Name": "q", "MinValue": "4", "MaxValue": "0"}],
            "swap its ends",
        ),
        (
            f"{RANGES}/IntegerParameterRanges",
            [{"Name": "q", "MinValue": "0", "MaxValue": "x"}],
            "must be whole numbers",
        ),
        (
            f"{RANGES}/IntegerParameterRanges",
            [{"Name": "noise", "MinValue": "0", "MaxValue": "1"}],
            "noise has 2 ranges",
        ),
        (
            f"{RANGES}/CategoricalParameterRanges",
            [{"Name": "projection", "Values": ["sphere", "sphere"]}],
            "names a value twice",
        ),
        (f"{DEFINITION}/StaticHyperParameters", {"noise": "1"}, "tuned and static at once"),
        (f"{CONFIG}/Strategy", "Grid", "categorical ranges only"),
        (f"{CONFIG}/Strategy", "Hyperband", "MinResource below MaxResource"),
        (f"{CONFIG}/ResourceLimits", limits(2, parallel=3), "more than the 2 jobs in all"),
        (f"{CONFIG}/ResourceLimits", {"MaxParallelTrainingJobs": 1}, "only Grid knows by itself"),
        (f"{DEFINITION}/EnableManagedSpotTraining", True, "MaxWaitTimeInSeconds"),
        ("Autotune", {"Mode": "Enabled"}, "not supported"),
        (
            "TrainingJobDefinitions",
            [request()["TrainingJobDefinition"]],
            "one algorithm is tuned at a time",
        ),
        # What a Regex has to be.
        (
            f"{DEFINITION}/AlgorithmSpecification/MetricDefinitions",
            [{"Name": "validation:RMSE", "Regex": "RMSE=(.*"}],
            "no regular",
        ),
        (
            f"{DEFINITION}/AlgorithmSpecification/MetricDefinitions",
            [{"Name": "validation:RMSE", "Regex": "RMSE"}],
            "no group",
        ),
        # What the training program would say, in its own words.
        (
            f"{DEFINITION}/StaticHyperParameters",
            {"depth": "1"},
            "hyperparameter 'depth' is unknown",
        ),
        (f"{DEFINITION}/StaticHyperParameters", {"l": "-1"}, "hyperparameter l is '-1'"),
        (
            f"{RANGES}/IntegerParameterRanges",
            [{"Name": "q", "MinValue": "0", "MaxValue": "40"}],
            "hyperparameter q is '40'",
        ),
        (
            f"{RANGES}/CategoricalParameterRanges",
            [{"Name": "precision", "Values": ["mixed", "half"]}],
            "precision is 'half'",
        ),
    ],
)
def test_what_would_be_refused_later_is_refused_at_once(path, value, complaint):
    with pytest.raises(UserError, match=complaint.replace("(", r"\(")):
        check(changed(path, value))


@pytest.mark.parametrize(
    ("scaling", "least", "greatest", "complaint"),
    [("Logarithmic", "0", "1", "above 0"), ("ReverseLogarithmic", "0", "1", "below 1")],
)
def test_a_scale_that_a_range_can_not_have_is_refused(scaling, least, greatest, complaint):
    entry = {"Name": "noise", "MinValue": least, "MaxValue": greatest, "ScalingType": scaling}

    with pytest.raises(UserError, match=complaint):
        check(changed(f"{RANGES}/ContinuousParameterRanges", [entry]))


def test_all_mistakes_are_named_at_once():
    asked = request(Strategy="Random", TrainingJobEarlyStoppingType="On")
    asked["HyperParameterTuningJobName"] = "gp_tune"

    with pytest.raises(
        UserError, match=r"HyperParameterTuningJobName.*; .*TrainingJobEarlyStoppingType"
    ):
        check(asked)


def test_mistakes_of_meaning_are_named_at_once_too():
    asked = request(
        ResourceLimits=limits(2, parallel=3),
        HyperParameterTuningJobObjective={"Type": "Minimize", "MetricName": "r"},
    )
    asked["TrainingJobDefinition"]["StaticHyperParameters"] = {"noize": "1", "bias": "1", "q": "1"}
    asked[CONFIG]["ParameterRanges"]["IntegerParameterRanges"][0]["MaxValue"] = "40"

    with pytest.raises(UserError) as refusal:
        check(asked)

    for complaint in (
        "bias is tuned and static at once",
        "q is tuned and static at once",
        "the objective r is not among the MetricDefinitions",
        "hyperparameter 'noize' is unknown",
        "hyperparameter q is '40'",
        "more than the 2 jobs in all",
    ):
        assert str(refusal.value).count(complaint) == 1


def test_what_only_runs_here_is_refused_for_sagemakers_tuner():
    asked = request(Strategy="Genetic")
    several = request(
        HyperParameterTuningJobObjective=[{"Type": "Minimize", "MetricName": "validation:RMSE"}]
    )
    channel = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "file://data"}}
    local = changed(
        f"{DEFINITION}/InputDataConfig", [{"ChannelName": "train", "DataSource": channel}]
    )

    for asked_here, complaint in (
        (asked, "one of Bayesian"),
        (several, "an object"),
        (local, "upload the files"),
    ):
        assert check(asked_here)
        with pytest.raises(UserError, match=complaint):
            check(asked_here, "amt")
    assert check(asked, "sagemaker")
    with pytest.raises(UserError, match="upload the files"):
        check(local, "sagemaker")


def test_the_command_lines_changes_are_checked_too():
    assert check(request(), jobs=3, parallel=2, strategy="Genetic").limits.jobs == 3
    with pytest.raises(UserError, match="more than the 6 jobs"):
        check(request(), parallel=7)


def test_fewer_jobs_than_run_in_parallel_lower_that_too_and_say_so(capsys):
    asked = request(ResourceLimits=limits(10, parallel=3))

    limited = check(asked, jobs=2).limits

    assert (limited.jobs, limited.parallel) == (2, 2)
    assert capsys.readouterr().err == (
        "MaxParallelTrainingJobs is lowered from 3 to 2, the number of training jobs in all\n"
    )


@pytest.mark.parametrize("strategy", ["Hyperband", "hyperband"])
def test_hyperbands_resource_is_what_a_training_job_prints(strategy):
    asked = request(
        StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 4}}
    )
    static = asked["TrainingJobDefinition"]["StaticHyperParameters"]

    for stages in ({}, {"stages": "3"}):
        static.update(stages)
        with pytest.raises(UserError, match=r"MaxResource is 4, but stages is [13], .* make"):
            check(asked, strategy=strategy)
    static["stages"] = "4"
    assert check(asked, strategy=strategy).strategy == "Hyperband"


def test_grid_is_checked_however_it_is_written():
    with pytest.raises(UserError, match="Grid takes categorical ranges only"):
        check(request(), strategy="grid")


def test_a_scale_of_auto_is_the_declared_one():
    scales = {entry.name: entry.scaling for entry in check(request()).space}

    assert scales == {"q": "Linear", "bias": "Logarithmic", "noise": "Logarithmic"}


@pytest.mark.parametrize(
    ("text", "complaint"), [("{", "is not JSON"), ("[]", "JSON object"), ("{}", "is missing")]
)
def test_a_file_that_is_no_request_is_refused(tmp_path, text, complaint):
    (tmp_path / "job.json").write_text(text)

    with pytest.raises(UserError, match=complaint):
        jobfile.read(tmp_path / "job.json", "process")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        jobfile.read(tmp_path / "job.json", "process")


def test_botocore_takes_what_is_taken_here():
    """The oracle is botocore's own validator, for all that it does check."""
    shape = (
        botocore.session.Session()
        .get_service_model("sagemaker")
        .operation_model("CreateHyperParameterTuningJob")
        .input_shape
    )
    for path in sorted(EXAMPLES.glob("*.json")):
        assert not ParamValidator().validate(json.loads(path.read_text()), shape).has_errors(), path
