"""Processes that decode: forked from a server that has imported what they need, and without the main module.

Python has each new process import the main module again, for what may be defined there. In a worker of Ray's that is
the whole of Ray, in a study its imports, for each loader of every evaluation; and nothing of it is needed here.
"""

import sys
from multiprocessing import popen_forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import ModuleType
from typing import Any


class _Popen(popen_forkserver.Popen):
    def _launch(self, process_obj: Any) -> None:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # which has no file to import
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        finally:
            sys.modules["__main__"] = main


class _Process(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802
        return _Popen(process_obj)


class WithoutMain(ForkServerContext):
    """A context whose processes know modules alone. preloaded: the module that the server imports before it forks.

    Forking a process with threads, as Ray's workers have, may hang; a server imports torch once.
    """

    Process = _Process

    def __init__(self, preloaded: str) -> None:
        super().__init__()
        self.set_forkserver_preload([preloaded])
