"""What a job's strings mean, and what is said about them."""

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker import hyperparameters
from gaussian_processes.sagemaker.hyperparameters import (
    HYPERPARAMETERS,
    Hyperparameters,
    format_value,
    parse,
)
from gaussian_processes.training.export import requested

VALUES = {
    "q": st.integers(0, 10).map(lambda value: (value,)),
    "l": st.lists(st.integers(0, 20), min_size=1, unique=True).map(tuple),
    "noise": st.floats(0, allow_nan=False, allow_infinity=False),
    "bias": st.floats(0, allow_nan=False, allow_infinity=False),
    "projection": st.sampled_from(["sphere"]),  # the only one that a bias goes with
    "normalize_y": st.booleans(),
    "leave_one_out": st.booleans(),
    "keep_factor": st.booleans(),
    "ard": st.booleans(),
    "precision": st.sampled_from(["auto", "float64", "mixed"]),
    "seed": st.integers(0),
}
# How clients write a value: SDK 2, SDK 2 with a source directory, SDK 3, a person in the console.
ENCODINGS = [
    str,
    json.dumps,
    lambda value: value if isinstance(value, str) else json.dumps(value),
    lambda value: json.dumps(str(value)),
    lambda value: f"  {value}\n",
]
# How a list is written: as Python does, in JSON, with commas.
LISTS = [lambda values: str(list(values)), json.dumps, lambda values: ",".join(map(str, values))]


@given(st.fixed_dictionaries({}, optional=VALUES), st.data())
def test_a_value_means_the_same_however_it_is_written(values, data):
    strings = {}
    for name, value in values.items():
        written = data.draw(st.sampled_from(LISTS))(value) if isinstance(value, tuple) else value
        strings[name] = data.draw(st.sampled_from(ENCODINGS))(written)

    assert parse(strings) == Hyperparameters(**values)


@pytest.mark.parametrize("nothing", ["None", "null", "", "  ", '""', '"None"', "auto"])
def test_nothing_means_the_default(nothing):
    names = [
        entry.name for entry in HYPERPARAMETERS if nothing != "auto" or entry.default == "auto"
    ]

    assert parse(dict.fromkeys(names, nothing)) == parse({}) == Hyperparameters()


def test_the_defaults_are_those_of_the_manual():
    assert Hyperparameters() == Hyperparameters(
        q=(0, 1, 2, 3),
        l=(0, 1, 2, 3),
        noise=None,
        bias=None,
        projection="sphere",
        normalize_y=None,
        leave_one_out=None,
        keep_factor=None,
        seed=0,
    )


@pytest.mark.parametrize("text", ["5.0", "5", "+5", " 5e0 ", '"5"', "005", '"5.0"'])
def test_whole_numbers_have_many_spellings(text):
    assert parse({"seed": text}).seed == 5
    assert type(parse({"seed": text}).seed) is int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("true", True),
        ("1", True),
        ("False", False),
        ('"false"', False),
        ("0", False),
        ("Auto", None),
    ],
)
def test_yes_and_no_have_many_spellings(text, value):
    assert parse({"keep_factor": text}).keep_factor is value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q", "-1"),
        ("q", "11"),
        ("q", "1.5"),
        ("q", "3-1"),
        ("q", "1-2-3"),
        ("q", "0-11"),
        ("q", "1,"),
        ("q", "[1"),
        ("q", "true"),
        ("l", "21"),
        ("l", "1e400"),
        ("noise", "-0.1"),
        ("noise", "nan"),
        ("noise", "NaN"),
        ("noise", "inf"),
        ("noise", "Infinity"),
        ("noise", "1e999"),
        ("noise", "1_000"),
        ("noise", "0x1p3"),
        ("noise", "٣"),
        ("noise", "0,1"),
        ("noise", "0.1 0.2"),
        ("noise", '"0.1'),
        ("bias", "-1e-9"),
        ("projection", "cube"),
        ("projection", "1"),
        ("keep_factor", "yes"),
        ("keep_factor", "2"),
        ("seed", "-1"),
        ("seed", "9" * 5000),  # more digits than Python reads at once
    ],
)
def test_a_bad_value_is_refused_with_its_name_its_rule_and_a_remedy(name, text):
    rule = next(entry.parameter_type.constraint for entry in HYPERPARAMETERS if entry.name == name)

    with pytest.raises(UserError) as refusal:
        parse({name: text})

    assert re.match(
        rf"hyperparameter {name} is '.+', but it must be {re.escape(rule)}: correct it,",
        str(refusal.value),
    )
    assert len(str(refusal.value)) < 200  # however long the value


@given(st.sampled_from(HYPERPARAMETERS), st.text())
def test_no_text_is_a_surprise(entry, text):
    with suppress(UserError):
        assert isinstance(parse({entry.name: text}), Hyperparameters)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nois", "noise"),
        ("Q", "q"),
        (" l", "l"),
        ("normalise_y", "normalize_y"),
        ("leave-one-out", "leave_one_out"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(UserError, match=f"is unknown: correct it to {nearest}, or remove it$"):
        parse({name: "1"})


def test_a_name_that_resembles_none_is_refused_with_all():
    with pytest.raises(
        UserError, match="'gamma' is unknown: remove it, or use one of q, l, kernel, criterion, "
    ):
        parse({"gamma": "1"})


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        ("relevance", "ard", "auto, true or false"),
        ("weights", "sample_weight", "the name or 0-based position of a column"),
        ("unknown_category", "handle_unknown", "ignore or error"),
        ("standardize_targets", "normalize_y", "auto, true or false"),
        ("select", "criterion", "loo, evidence or validation"),
        ("variance", "keep_factor", "auto, true or false"),
        ("inputs", "projection", "sphere, normalize or unit"),
    ],
)
def test_a_former_name_is_refused_with_the_one_that_replaced_it(old, new, values):
    with pytest.raises(
        UserError,
        match=f"^hyperparameter {old} is now called {new}: rename it, its values are {values}$",
    ):
        parse({old: "auto"})


@pytest.mark.parametrize(
    "name", ["_tuning_objective_metric", "sagemaker_program", "sagemaker_region"]
)
def test_what_the_platform_adds_is_ignored(name):
    assert parse({name: "validation:RMSE", "q": "3"}) == Hyperparameters(q=(3,))


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(UserError) as refusal:
        parse({"q": "11", "nois": "0.1", "seed": "x", "l": "2"})

    assert [
        re.search("hyperparameter '?(\\w+)", part)[1] for part in str(refusal.value).split("; ")
    ] == ["q", "nois", "seed"]


@pytest.mark.parametrize("projection", ["normalize", "unit"])
def test_a_bias_is_refused_where_there_is_none(projection):
    with pytest.raises(
        UserError,
        match=f"bias is 2.5 and projection is {projection}, but only projection=sphere has a bias:"
        " leave bias out",
    ):
        parse({"bias": "2.5", "projection": projection})

    assert parse({"bias": "auto", "projection": projection}).bias == 0


@pytest.mark.parametrize(
    ("projection", "standardized"), [("sphere", True), ("normalize", False), ("unit", True)]
)
def test_targets_are_standardised_except_to_the_letter(projection, standardized):
    assert parse({"projection": projection}).normalizes_y is standardized
    assert parse({"projection": projection, "normalize_y": "false"}).normalizes_y is False


def test_a_bias_of_zero_is_none_at_all_and_allowed():
    assert parse({"bias": "0"}).bias == 0


def test_the_post_s_hyperparameters_are_understood():
    assert parse({"q": "0", "l": "2", "noise": "0.1"}) == Hyperparameters(q=(0,), l=(2,), noise=0.1)


@pytest.mark.parametrize("entry", HYPERPARAMETERS, ids=lambda entry: entry.name)
def test_what_tuning_tries_is_accepted(entry):
    assert parse({entry.name: entry.default}) == Hyperparameters()
    if entry.tuning_range:
        assert entry.tuning_range.scaling_type in ("Linear", "Logarithmic", "ReverseLogarithmic")
        assert (
            entry.tuning_range.scaling_type == "Linear" or entry.tuning_range.min_value > 0
        )  # SageMaker refuses a logarithm of 0
        for value in (entry.tuning_range.min_value, entry.tuning_range.max_value):
            assert getattr(parse({entry.name: str(value)}), entry.name) in (value, (value,))


@pytest.mark.parametrize(
    "strings",
    [
        {},
        {"q": "0-2", "l": "3", "noise": "0.1", "strict": "true", "ard": "false", "seed": "7"},
        {"delimiter": ";", "decimal": ",", "header": "false", "normalize_y": "true"},
        {"target": '["a,b", "c"]', "ignore": "d", "missing_values": "NA,-9999"},
        {"members": "gp,boosting", "keep_factor": "false", "k_fold": "5"},
    ],
)
def test_a_value_is_written_as_a_job_takes_it(strings):
    asked = parse(strings)
    recorded = json.loads(json.dumps(requested(asked)))

    written = {name: format_value(name, value) for name, value in recorded.items()}

    assert parse(written) == asked
    assert not any(re.search("True|False|None|\\(", text) for text in written.values())


def test_the_table_has_a_row_of_five_cells_for_each():
    head, line, *rows = hyperparameters.table().splitlines()

    assert head == "| name | values | default | tuned over | meaning |"
    assert line.count("|") == 6
    assert [row.split("|")[1].strip() for row in rows] == [
        f"`{entry.name}`" for entry in HYPERPARAMETERS
    ]
    assert all(row.count("|") == 6 for row in rows)


def test_the_help_fits_a_terminal_and_names_each():
    lines = hyperparameters.usage().splitlines()

    assert max(map(len, lines)) <= 80
    assert [line.split(":")[0].strip() for line in lines if not line.startswith("      ")] == [
        e.name for e in HYPERPARAMETERS
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0,1,2", (0, 1, 2)),
        ("[0, 1, 2]", (0, 1, 2)),
        ('["0", "1"]', (0, 1)),
        ("0-3", (0, 1, 2, 3)),
        ("2, 0-1, 2", (2, 0, 1)),
        ("auto", (0, 1, 2, 3)),
        ('"1,2"', (1, 2)),
        ("2.0", (2,)),
    ],
)
def test_several_numbers_are_lists_or_ranges(text, numbers):
    assert parse({"q": text}).q == numbers


@pytest.mark.parametrize("text", ["a,b", '["a", "b"]', " a , b ", '"a,b"'])
def test_columns_are_lists_of_names(text):
    assert parse({"target": text}).target == ("a", "b")


@pytest.mark.parametrize(
    ("strings", "sentence"),
    [
        ({"scaling": "overall", "projection": "unit"}, "only projection=sphere has a scaling"),
        ({"kernel": "matern52", "projection": "unit"}, "projection is unit, but only projection="),
        ({"kernel": "matern52", "q": "1"}, "q is 1 and kernel is matern52, which has no q: leave"),
        ({"kernel": "matern52", "l": "0-1"}, "l is 0,1 and kernel is matern52, which has no l"),
        ({"target": "a", "label_size": "2"}, "both say what to predict: leave one out"),
        ({"k_fold": "1"}, "a fold is predicted from the others: set it to 2 or more, or to 0"),
        ({"sample_weight": "a,b"}, "it must be the name or 0-based position of a column"),
    ],
)
def test_what_contradicts_itself_is_refused(strings, sentence):
    with pytest.raises(UserError, match=sentence):
        parse(strings)


def test_contradictions_are_refused_however_the_values_are_given():
    with pytest.raises(UserError, match="only projection=sphere has a bias"):
        Hyperparameters(projection="unit", bias=2.0)

    assert Hyperparameters(projection="unit").bias == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"keep_factor": "true"}, "keep_factor is true and solver is cg, which makes no factor"),
        ({"leave_one_out": "true"}, "leave_one_out is true and solver is cg"),
        ({"precision": "mixed"}, "precision is mixed and solver is cg"),
        ({"members": "gp,boosting"}, "members is gp,boosting and solver is cg"),
        ({"noise": "0"}, "noise is 0 and solver is cg, which needs some"),
    ],
)
def test_what_needs_a_factor_is_refused_without_one(given, sentence):
    with pytest.raises(UserError, match=sentence):
        parse({**given, "solver": "cg"})


@pytest.mark.parametrize(
    ("given", "may"),
    [({}, True), ({"solver": "cholesky"}, False), ({"keep_factor": "true"}, False)],
)
def test_who_asks_for_the_factor_is_given_no_model_without_it(given, may):
    assert parse(given).may_iterate == may
