"""The benchmark of a GPU runs every entry on a CPU, tiny."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


def test_a_smoke_run_takes_every_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--smoke", "--json", str(tmp_path / "figures.json")])
    document = json.loads((tmp_path / "figures.json").read_text())
    names = [figure["name"] for figure in document["figures"]]
    assert names == [line[:60].strip() for line in capsys.readouterr().out.splitlines()[1:]]
    for expected in (
        "product",
        "copy",
        "lenet_8_8 captured",
        "2 x lenet_8_8",
        "cifar_resnet8_4",
        "resnet18 with masks",
    ):
        assert any(name.startswith(expected) for name in names), expected
    assert all(figure["value"] > 0 and figure["n"] == 2 for figure in document["figures"])
    assert document["smoke"]
    assert {"device", "packages"} <= set(document["environment"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "give --smoke" in capsys.readouterr().err


def test_rates_are_work_over_time() -> None:
    figure = gpu.rates("steps", "steps/s", 200, (1.0, 2.0, 4.0), target=100)
    assert (figure.value, figure.n, figure.met) == (100, 3, True)
