from dataclasses import replace

import numpy as np
import pytest
from fitted import fitted

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.model import artifact
from gaussian_processes.report import main as describe


def described(model, folder, capsys, **record):
    artifact.save(model, folder, record)
    assert describe.main([str(folder)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_model_is_described_by_its_columns_kernel_and_scores(tmp_path, capsys):
    lines = described(
        fitted(),
        tmp_path,
        capsys,
        scores={"validation:RMSE": 1.25, "members": [], "novelty": [0.75, 0.25] + [0.0] * 8},
        hyperparameters={"noise": 0.1, "bias": "auto", "ignore": [], "q": [0, 1], "strict": False},
    )

    assert lines[0].startswith("a Gaussian process of 40 training rows (gaussian-processes ")
    assert lines[1:6] == [
        "target: y",
        "features: 3 columns, in this order in a request",
        "  column 1 (a): numbers",
        "  column 2 (b): numbers",
        "  column 3 (c): numbers",
    ]
    assert "kernel: arc_cosine q=1, l=1" in lines
    assert "  projection=sphere, bias=2, noise=0.1" in lines
    assert lines[-4:] == [
        "standard deviations: yes",
        "validation:RMSE: 1.25",
        "novelty of training rows, each left out: 75% to 0.1, 25% to 0.2",
        "hyperparameters: noise=0.1, q=0,1, strict=false",
    ]


def test_a_column_without_a_name_is_described_by_its_position_in_training(tmp_path, capsys):
    target, *features = (Column(str(position), position) for position in (3, 0, 1, 4))
    schema = Schema(False, 5, tuple(features), (target,), ignored=("2",))

    lines = described(replace(fitted(), schema=schema), tmp_path, capsys)

    assert lines[1:7] == [
        "target: column 4 (position 3)",
        "features: 3 columns, in this order in a request",
        "  column 1: numbers; position 0 in training",
        "  column 2: numbers; position 1 in training",
        "  column 3: numbers; position 4 in training",
        "ignored: position 2",
    ]


def test_deviations_of_noise_and_function_are_in_every_target_s_units(tmp_path, capsys):
    model = fitted(outputs=2)
    member = model.members[0]

    lines = described(model, tmp_path, capsys)

    signal = np.sqrt(member.process.signal_variance) * member.preprocessor.target_scale
    for name, deviation in zip(["y", "y1"], signal, strict=True):
        expected = (
            f"  {name}: standard deviation of the noise {deviation * np.sqrt(0.1):.6g},"
            f" of the function {deviation:.6g}"
        )
        assert expected in lines


def test_classes_are_described_with_their_softmax_and_no_deviations(tmp_path, capsys):
    lines = described(fitted(classes=("no", "yes")), tmp_path, capsys)

    assert (
        "classes: no, yes; probabilities: softmax of 3 times the means, and an offset for each"
        in lines
    )
    assert not any("standard deviation of" in line for line in lines)


def test_members_are_described_with_their_weights(tmp_path, capsys):
    model = fitted(kernels=[ArcCosine(0, 0), ArcCosine(2, 1)], weights=[0.25, 0.75])

    lines = described(model.without_factors(), tmp_path, capsys)

    assert "kernel: arc_cosine q=0, l=0, 25.0% of the model" in lines
    assert "kernel: arc_cosine q=2, l=1, 75.0% of the model" in lines
    assert "standard deviations: no, it was saved without its factor" in lines


def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path, capsys):
    assert describe.main([str(tmp_path)]) == 1

    assert capsys.readouterr().err == (
        f"{tmp_path}/model.json is missing; {tmp_path} must hold what `train` has written there\n"
    )


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        describe.main(["--version"])

    assert capsys.readouterr().out.startswith("describe ")
