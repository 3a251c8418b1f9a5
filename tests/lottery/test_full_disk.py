"""A disk that fills while checkpoints are written in the background: training ends, and goes on once there is room."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lth_ray import data
from lth_ray.config import steps
from lth_ray.lottery import execute, make_plan
from lth_ray.store import StorageError
from lth_ray.training import Clock


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_checkpoint_that_cannot_be_written_loses_nothing(
    lab: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    study = lab.study({"train.length": steps(20)})
    store = lab.store()
    (job, *_) = make_plan(study, None, store).jobs
    written, replace = [], os.replace

    def full(source: str, target: Path) -> None:
        if target.parts[-3] == "checkpoints":
            written.append(target)
            if len(written) > 1:
                raise OSError(code, os.strerror(code))
        replace(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", full)
        with pytest.raises(StorageError, match=r"choose another --storage"):
            execute(job.pieces[0], store, data.load(study.data), "cpu", Clock(0))
    assert len(written) == 2
    assert store.segments() == set()
    assert store.list(".tmp") == {}
    lab.loop.take()
    lab.log.write_text("")
    assert lab.run(study).contents == lab.whole(study).contents
