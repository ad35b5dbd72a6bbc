"""A training program that takes a moment, and job files for it."""

import copy
import json
import sys
from pathlib import Path

from gaussian_processes.tuning import jobfile
from gaussian_processes.tuning.backends.local import LocalProcesses
from gaussian_processes.tuning.results import Results
from gaussian_processes.tuning.tuner import Tuner

# The console script of this Python's environment.
TUNE = str(Path(sys.executable).with_name("tune"))

# Reads what SageMaker would give it, and prints what `train` would: a bowl over log10(noise) and
# log10(bias).
PROGRAM = """
import json, math, os, pathlib, sys, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
given = json.loads((base / "input/config/hyperparameters.json").read_text())
noise, bias = float(given.get("noise", "0.001")), float(given.get("bias", "1"))
loss = (math.log10(noise) + 3) ** 2 + (math.log10(bias) - 0.5) ** 2 + float(given["q"]) / 10
"""
BOWL = PROGRAM + 'print(f"validation:RMSE={loss!r};"); print(f"validation:NLPD={noise!r};")'
CURVE = (
    PROGRAM
    + """
for step in range(1, 10):
    print(f'validation:RMSE={loss + 0.1 / step!r};', flush=True)
    time.sleep(0.05)
"""
)
FAILING = (
    PROGRAM
    + """
if int(given["q"]) % 2:
    (base / "output/failure").write_text("q is odd, but it must be even; take another")
    sys.exit(1)
print(f"validation:RMSE={loss!r};")
"""
)
HANGING = PROGRAM + "print(f'validation:RMSE={loss!r};', flush=True); time.sleep(60)"


RANGES = {
    "IntegerParameterRanges": [{"Name": "q", "MinValue": "0", "MaxValue": "4"}],
    "ContinuousParameterRanges": [
        {"Name": "bias", "MinValue": "0.01", "MaxValue": "100"},
        {"Name": "noise", "MinValue": "1e-8", "MaxValue": "1", "ScalingType": "Logarithmic"},
    ],
}


def request(**config) -> dict:
    """A job file; `config` goes into its HyperParameterTuningJobConfig."""
    return {
        "HyperParameterTuningJobName": "toy",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {
                "Type": "Minimize",
                "MetricName": "validation:RMSE",
            },
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": copy.deepcopy(RANGES),
            "RandomSeed": 7,
            **config,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"l": "1"},
            "AlgorithmSpecification": {
                "TrainingImage": "gaussian-processes:tests",
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": f"{name}=(.*?);"}
                    for name in ("validation:RMSE", "validation:NLPD")
                ],
            },
            "RoleArn": "arn:aws:iam::123456789012:role/SageMaker",
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/output"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def only_q(*words: str) -> dict:
    """Ranges of nothing but q; of `words`, if there are any."""
    if words:
        return {"CategoricalParameterRanges": [{"Name": "q", "Values": list(words)}]}
    return {"IntegerParameterRanges": [{"Name": "q", "MinValue": "0", "MaxValue": "4"}]}


def limits(jobs: int, parallel: int = 1, **more: int) -> dict:
    return {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel, **more}


def search(
    folder: Path,
    asked: dict,
    program: str = BOWL,
    parents=None,
    changes=jobfile.NO_CHANGES,
    extend=False,
) -> Tuner:
    """A search over runs of a program."""
    job = jobfile.check(json.loads(json.dumps(asked)), folder, "process", changes)
    command = (sys.executable, "-S", "-c", program)
    return Tuner(
        job,
        lambda: LocalProcesses(job, folder / "trials", command=command),
        folder,
        parents or _none,
        extend,
    )


def run(folder: Path, asked: dict, program: str = BOWL, **more) -> Results:
    return search(folder, asked, program, **more).run()


def _none(name: str) -> Results:
    raise AssertionError(name)
