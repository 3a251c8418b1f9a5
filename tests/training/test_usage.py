import time

import psutil
import pytest

from lth_ray.training import Usage
from lth_ray.training import machine as module


def test_the_shortest_training_is_sampled_once() -> None:
    with Usage("cpu") as usage:
        assert usage.columns == {}
    columns = usage.columns
    assert set(map(len, columns.values())) == {1}
    assert {
        "moment", "system/cpu_utilization_percentage", "system/system_memory_usage_megabytes",
        "system/process_cpu_utilization_percentage", "system/process_memory_usage_megabytes",
    } < columns.keys()  # fmt: skip
    assert not [name for name in columns if "gpu" in name]
    own = psutil.Process().memory_info().rss / 1e6
    assert columns["system/process_memory_usage_megabytes"][0] == pytest.approx(own, rel=0.2)
    assert abs(columns["moment"][0] / 1000 - time.time()) < 10


def test_a_long_training_is_sampled_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.002)
    monkeypatch.setattr(module, "MOST", 8)
    with Usage("cpu") as usage:
        time.sleep(0.5)
    moments = usage.columns["moment"]
    assert 3 <= len(moments) <= 9
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] > 200  # milliseconds: it is not the beginning alone that is kept


def test_no_training_is_lost_for_want_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where NVIDIA's library cannot say what is asked of a part of a GPU, and where a device has failed."""

    def refused(_: object) -> dict[str, float]:
        raise RuntimeError("Not Supported")

    monkeypatch.setattr(Usage, "_gpu", refused)
    with Usage("cpu") as usage:
        trained = True
    assert trained
    assert usage.columns == {}
    with pytest.raises(KeyError, match="the cause"), Usage("cpu"):
        raise KeyError("the cause")


def test_what_some_samples_lack_is_left_out() -> None:
    usage = Usage("cpu")
    usage._rows = [{"moment": 1.0}, {"moment": 2.0, "system/gpu_0_utilization_percentage": 3.0}]
    assert usage.columns == {"moment": [1.0, 2.0]}


def test_what_a_process_does_is_seen() -> None:
    with Usage("cpu") as usage:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
    assert usage.columns["system/process_cpu_utilization_percentage"][-1] > 5
