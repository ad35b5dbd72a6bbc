"""Walk through SageMaker: data, training, tuning, endpoints, clean-up; also as walk.ipynb."""

# %% [markdown]
# # From a table to endpoints on SageMaker
#
# The GP post's example from its data to the clean-up, with boto3 and the program `tune`: a training
# job, a tuning job with its table and pictures, five ways to predict, and no cost left behind. Run
# it at the top of the repository, as a script or cell by cell. README.md beside it says what has
# to be there before, which permissions it takes, and what it costs.
#
# `walk.ipynb` is made of `walk.py` by `make_notebook.py`.

# %%
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import boto3

from gaussian_processes.tuning.__main__ import main as tune

BUCKET, IMAGE, ROLE = (os.environ[name] for name in ("BUCKET", "IMAGE", "ROLE"))
# All that the walk makes, objects in S3 among it, has names that begin so. Its permissions are
# limited to gp-walk*, and its clean-up to this walk.
NAME = f"gp-walk-{time.strftime('%m%d%H%M%S')}"
JOBS = int(os.environ.get("JOBS", "10"))
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "15"))
S3 = f"s3://{BUCKET}/{NAME}"
s3, sagemaker, runtime = map(boto3.client, ("s3", "sagemaker", "sagemaker-runtime"))


def wait(describe, key, **name):
    """Wait until a job has completed, or an endpoint is in service; return its description."""
    while (found := describe(**name))[key] in {"InProgress", "Creating", "Stopping"}:
        time.sleep(POLL_SECONDS)
    if found[key] not in {"Completed", "InService"}:
        raise SystemExit(f"{name} is {found[key]}: {found.get('FailureReason')}")
    return found


@contextmanager
def endpoint(name, model, settings, **config):
    """Serve one variant of a model while the block runs, however that ends."""
    variant = {"VariantName": "AllTraffic", "ModelName": model, **settings}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], **config
    )
    try:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        try:
            wait(sagemaker.describe_endpoint, "EndpointStatus", EndpointName=name)
            yield
        finally:
            # It costs until it is deleted, which is refused while it is being made.
            while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating":
                time.sleep(POLL_SECONDS)
            sagemaker.delete_endpoint(EndpointName=name)
    finally:
        sagemaker.delete_endpoint_config(EndpointConfigName=name)


def filled(path):
    """Read a request, with this walk's bucket, image and role in the place of the example's."""
    request = json.loads(Path(path).read_text())
    definition = request.get("TrainingJobDefinition", request)
    definition["AlgorithmSpecification"]["TrainingImage"] = IMAGE
    definition["RoleArn"] = ROLE
    definition["OutputDataConfig"]["S3OutputPath"] = f"{S3}/models"
    for channel in definition["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]
        source["S3Uri"] = f"{S3}/data/{channel['ChannelName']}"
    return request


# %% [markdown]
# ## Data to S3
#
# 100 training and 50 validation rows of y = 1.5 x₁ + 5.2 x₂ + N(0, 1), the target first.

# %%
DATA = Path("examples/tuning/data/gp_post")
for channel in ("train", "validation"):
    s3.upload_file(str(DATA / channel / "rows.csv"), BUCKET, f"{NAME}/data/{channel}/rows.csv")

# %% [markdown]
# ## A training job
#
# The post's hyperparameters q=0, l=2, noise=0.1. `features/` has what else a request may ask for:
# network isolation, a VPC, keys of one's own, spot instances, several hosts.

# %%
request = filled("examples/sagemaker/training_job.json") | {"TrainingJobName": NAME}
sagemaker.create_training_job(**request)
training = wait(sagemaker.describe_training_job, "TrainingJobStatus", TrainingJobName=NAME)
model_data = training["ModelArtifacts"]["S3ModelArtifacts"]
print("model:", model_data)

# %% [markdown]
# ## A tuning job, its table and pictures
#
# The post's search: at random over q in 0..4 and l in 1..4, ten jobs, three at a time. The report
# is a page that needs no network.

# %%
request = filled("examples/tuning/gp_post.json") | {"HyperParameterTuningJobName": NAME}
limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
limits["MaxNumberOfTrainingJobs"] = JOBS
limits["MaxParallelTrainingJobs"] = min(JOBS, limits["MaxParallelTrainingJobs"])
sagemaker.create_hyper_parameter_tuning_job(**request)
wait(
    sagemaker.describe_hyper_parameter_tuning_job,
    "HyperParameterTuningJobStatus",
    HyperParameterTuningJobName=NAME,
)
tune(["table", NAME])
tune(["report", NAME])
tune(["best", NAME])

# %% [markdown]
# ## A model, and a real-time endpoint
#
# The mean and the standard deviation of a new observation; the function there is 5.95.

# %%
ROW = b"0.5,1\n"
CSV = {"ContentType": "text/csv", "Accept": "text/csv"}
INSTANCE = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}

sagemaker.create_model(
    ModelName=NAME,
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": model_data},
)
with endpoint(NAME, NAME, INSTANCE):
    answer = runtime.invoke_endpoint(
        EndpointName=NAME, Body=ROW, CustomAttributes="output=mean,std", **CSV
    )
    print("real time:", answer["Body"].read().decode().strip())

# %% [markdown]
# ## A serverless endpoint
#
# Paid by the millisecond of use; the image starts within its limit of memory.

# %%
SERVERLESS = f"{NAME}-serverless"
LIMITS = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
with endpoint(SERVERLESS, NAME, LIMITS):
    answer = runtime.invoke_endpoint(EndpointName=SERVERLESS, Body=ROW, **CSV)
    print("serverless:", answer["Body"].read().decode().strip())

# %% [markdown]
# ## An asynchronous endpoint
#
# Requests and answers are objects in S3.

# %%
ASYNC = f"{NAME}-async"
s3.put_object(Bucket=BUCKET, Key=f"{NAME}/requests/rows.csv", Body=ROW * 3)
answers = {"OutputConfig": {"S3OutputPath": f"{S3}/answers"}}
with endpoint(ASYNC, NAME, INSTANCE, AsyncInferenceConfig=answers):
    location = runtime.invoke_endpoint_async(
        EndpointName=ASYNC, InputLocation=f"{S3}/requests/rows.csv", **CSV
    )["OutputLocation"]
    key = location.removeprefix(f"s3://{BUCKET}/")
    s3.get_waiter("object_exists").wait(Bucket=BUCKET, Key=key)
answer = s3.get_object(Bucket=BUCKET, Key=key)
print("asynchronous:", answer["Body"].read().decode().split())

# %% [markdown]
# ## Batch transform
#
# A prediction for every line of the input, in its order.

# %%
sagemaker.create_transform_job(
    TransformJobName=NAME,
    ModelName=NAME,
    BatchStrategy="MultiRecord",
    TransformInput={
        "DataSource": {
            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{S3}/requests/rows.csv"}
        },
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    TransformOutput={
        "S3OutputPath": f"{S3}/transformed",
        "Accept": "text/csv",
        "AssembleWith": "Line",
    },
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
)
wait(sagemaker.describe_transform_job, "TransformJobStatus", TransformJobName=NAME)
answer = s3.get_object(Bucket=BUCKET, Key=f"{NAME}/transformed/rows.csv.out")
print("batch transform:", answer["Body"].read().decode().split())

# %% [markdown]
# ## A multi-model endpoint
#
# Any number of archives under one prefix, loaded when they are asked for.

# %%
MULTI = f"{NAME}-multi"
source = {"Bucket": BUCKET, "Key": model_data.removeprefix(f"s3://{BUCKET}/")}
for name in ("first", "second"):
    s3.copy_object(Bucket=BUCKET, Key=f"{NAME}/multi/{name}.tar.gz", CopySource=source)
sagemaker.create_model(
    ModelName=MULTI,
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": f"{S3}/multi/"},
)
with endpoint(MULTI, MULTI, INSTANCE):
    for name in ("first", "second"):
        answer = runtime.invoke_endpoint(
            EndpointName=MULTI, TargetModel=f"{name}.tar.gz", Body=ROW, **CSV
        )
        print(f"multi-model, {name}:", answer["Body"].read().decode().strip())

# %% [markdown]
# ## Clean-up
#
# The endpoints are gone already; models cost nothing, objects in S3 do.

# %%
for name in (NAME, MULTI):
    sagemaker.delete_model(ModelName=name)
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{NAME}/"):
    for entry in page.get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
print("nothing is left that costs")
