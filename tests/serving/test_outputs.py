"""Outputs that a request names in its custom attributes."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained import train

from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.serving import outputs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artifact.load(train(tmp_path_factory.mktemp("base"), rows=20) / "model")


def split_slowly(text):
    """The rule by one regular expression, whose time is quadratic."""
    return re.split(r"[;&]|[,\s]+(?=[^,;&\s=]+=)", text, flags=re.ASCII)


@given(st.text("a=, ;&\t", max_size=30))
def test_attributes_are_split_as_the_rule_says(text):
    def words(parts):
        return [[word.strip() for word in part.partition("=")] for part in parts]

    found = words(outputs._split_attributes(text))

    # A run of separators at the beginning makes one empty attribute more or less, which names none.
    assert [part for part in found if any(part)] == [
        part for part in words(split_slowly(text)) if any(part)
    ]


@pytest.mark.parametrize("pattern", [",", " ", "a,", "a=", ",a=", ";", "a ", "output=mean,", "= "])
def test_the_time_of_parsing_is_linear(pattern):
    def seconds(size):
        text = pattern * (size // len(pattern))
        best = float("inf")
        for _ in range(5):
            start = time.thread_time()
            list(outputs._split_attributes(text))
            best = min(best, time.thread_time() - start)
        return best

    # 16 times the text: 16 times the time, and 256 times it if it were quadratic.
    assert seconds(160_000) < 80 * seconds(10_000)


@pytest.mark.parametrize(
    ("attributes", "key", "meant"),
    [
        ("ouput=mean,std", "ouput", "output"),
        ("Output=std", "Output", "output"),
        ("outputs=mean, std", "outputs", "output"),
        ("trace=17;OUTPUT=predicted_label", "OUTPUT", "output"),
        ("Interval=0.8", "Interval", "interval"),
        ("output=mean;quantile=0.1,.9", "quantile", "quantiles"),
        ("output:mean,std", "output", "output"),
        ('{"output": "std"}', "output", "output"),
        ('"output=std"', "output", "output"),
    ],
)
def test_a_misspelt_attribute_is_refused_with_the_one_that_is_meant(model, attributes, key, meant):
    with pytest.raises(UserError, match=f'"{key}" is not an attribute; did you mean "{meant}"'):
        outputs.parse_custom_attributes(attributes, model)


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ("mean,std", "mean,std"),
        ("std", "std"),
        ("output=mean;std", "std"),
        ("a=1;labels", "labels"),
    ],
)
def test_outputs_without_an_attribute_are_refused_with_it(model, attributes, names):
    with pytest.raises(
        UserError, match=f'"{names}" has no attribute before it; send output={names}'
    ):
        outputs.parse_custom_attributes(attributes, model)


@pytest.mark.parametrize("key", ["interval", "quantiles"])
def test_levels_that_are_given_twice_are_refused_if_they_differ(model, key):
    with pytest.raises(UserError, match=f"{key} is given twice, and differs; send one"):
        outputs.parse_custom_attributes(f"{key}=0.9;{key}=0.8", model)
    assert outputs.parse_custom_attributes(f"{key}=0.9,{key}=0.9", model)


@pytest.mark.parametrize(
    "attributes",
    [
        "outputs=none",
        "Output=s3://bucket",
        "intervals=60",
        "interval_ms=5",
        "put=mean",
        "mean=std",
        "trace",
    ],
)
def test_an_attribute_that_another_program_may_own_is_ignored(model, attributes):
    assert outputs.parse_custom_attributes(attributes, model) == ()


def test_attributes_beyond_sagemakers_limit_are_refused_with_the_limit(model):
    assert outputs.parse_custom_attributes("output=std;" + "a" * (1024 - 11), model)
    with pytest.raises(UserError, match=r"have 1,025 characters; send 1,024 at most"):
        outputs.parse_custom_attributes("output=std;" + "a" * (1025 - 11), model)
