"""GPUs, by what is set and said of them: torch's own flags are looked at, no GPU is needed."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError
from lth_ray.training import accelerator

GPU = torch.device("cuda", 0)


@pytest.fixture
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flags and variables are put back."""
    for name in accelerator.FIXED:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    was = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = was


@pytest.mark.usefixtures("as_it_was")
def test_a_gpu_adds_up_in_one_order_and_fp32_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    inductor = SimpleNamespace(deterministic=False)
    monkeypatch.setitem(sys.modules, accelerator.INDUCTOR, inductor)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    monkeypatch.setenv("NCCL_ALGO", "Tree")  # a user's own stays
    accelerator.same_bits(GPU)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert inductor.deterministic
    assert {name: os.environ[name] for name in accelerator.FIXED} == {
        "NCCL_ALGO": "Tree", "NCCL_NVLS_ENABLE": "0", "TORCHINDUCTOR_DETERMINISTIC": "1"
    }  # fmt: skip


@pytest.mark.usefixtures("as_it_was")
def test_a_cpu_is_left_alone() -> None:
    torch.backends.cudnn.deterministic = False
    accelerator.same_bits(torch.device("cpu"))
    assert not torch.backends.cudnn.deterministic
    assert not accelerator.FIXED.keys() & os.environ.keys()
    assert accelerator.facts(torch.device("cpu")) == {}


def test_inductor_reads_the_variable_that_is_set() -> None:
    source = Path(torch.__file__).with_name("_inductor") / "config.py"
    assert '"TORCHINDUCTOR_DETERMINISTIC"' in source.read_text()


@pytest.mark.usefixtures("as_it_was")
def test_the_record_says_what_decides_a_gpus_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 27, 5))
    library: Any = SimpleNamespace(nvmlInit=lambda: None, nvmlSystemGetDriverVersion=lambda: "580.95.05")
    monkeypatch.setitem(sys.modules, "pynvml", library)
    accelerator.same_bits(GPU)
    found = accelerator.facts(GPU)
    expected = {
        "compute_capability": "9.0", "cuda": torch.version.cuda, "cudnn_deterministic": True, "tf32": False,
        "nccl": "2.27.5", "driver": "580.95.05", "nccl_algo": "Ring", "nccl_nvls_enable": "0",
        "torchinductor_deterministic": "1",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    monkeypatch.setitem(sys.modules, "pynvml", None)  # it is an extra
    assert "driver" not in accelerator.facts(GPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_torch_does_not_see_is_told() -> None:
    accelerator.check_there(0)
    with pytest.raises(ConfigError, match=r"--gpus-per-worker 1: .*is_available\(\) is False on"):
        accelerator.check_there(1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False), (RuntimeError("CUDA error in words alone"), False),
    ],
)  # fmt: skip
def test_errors_that_leave_a_process_no_gpu(error: BaseException, expected: bool) -> None:
    assert accelerator.is_beyond_use(error) is expected


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize(("set_already", "expected"), [(None, 3), ("7", 7)])
def test_compilation_takes_no_more_processes_than_a_worker_has_cores(
    monkeypatch: pytest.MonkeyPatch, set_already: str | None, expected: int
) -> None:
    inductor = SimpleNamespace(compile_threads=32)
    monkeypatch.setitem(sys.modules, accelerator.INDUCTOR, inductor)
    monkeypatch.setenv(accelerator.COMPILING, set_already or "")
    if set_already is None:
        monkeypatch.delenv(accelerator.COMPILING)
    accelerator.compile_by(3)
    assert inductor.compile_threads == int(os.environ[accelerator.COMPILING]) == expected
    source = Path(torch.__file__).with_name("_inductor") / "config.py"
    assert f'"{accelerator.COMPILING}"' in source.read_text()
