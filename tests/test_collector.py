"""The collector: what is imported is not searched, and what a command does afterwards still is."""

import gc
import subprocess
import sys
import weakref
from contextlib import suppress

import pytest

from lth_ray import collector


class Node:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_after_imports_whether_they_succeed_or_not(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with suppress(ImportError), collector.spared():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled() is enabled


def test_what_was_made_is_kept_from_it_and_what_comes_later_is_not() -> None:
    gc.unfreeze()
    with collector.spared():
        kept = weakref.ref(Node())
    later = weakref.ref(Node())
    gc.collect()
    assert kept() is not None
    assert later() is None


def test_a_name_that_is_there_already_keeps_nothing_from_it() -> None:
    """A library that is asked for the same name again and again must not fill its user's memory."""
    code = """
import gc, lth_ray
lth_ray.load_ticket
frozen = gc.get_freeze_count()
kept = [object() for _ in range(100_000)]
lth_ray.load_ticket
print(gc.get_freeze_count() - frozen)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "0\n", run.stderr


def test_a_command_ends_without_a_last_search() -> None:
    """Of a cycle that nothing refers to any more: its finaliser would speak."""
    code = """
from lth_ray import collector
class Node:
    def __init__(self): self.itself = self
    def __del__(self): print("searched", flush=True)
{relax}
Node()
"""
    for relax, said in (("", "searched\n"), ("collector.relax()", "")):
        run = subprocess.run([sys.executable, "-c", code.format(relax=relax)], capture_output=True, text=True)
        assert run.stdout == said, run.stderr


AT_ITS_END = """
import sys
from lth_ray import collector
class Node:
    def __del__(self):
        print("taken down", flush=True)
{loaded}
with collector.spared():
    node = Node()
    node.itself = node
collector.relax()
del node
"""


@pytest.mark.parametrize(("loaded", "said"), [("", ""), ("sys.modules['triton'] = sys", "taken down\n")])
def test_what_triton_would_report_as_leaked_is_taken_down_at_the_end(loaded: str, said: str) -> None:
    code = AT_ITS_END.format(loaded=loaded)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == (said, 0), done.stderr
