"""Operations of a step, counted: on a GPU each is at least one launch."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = ("view", "detach", "as_strided", "expand", "::t", "split", "select", "slice", "alias", "empty", "squeeze")
WAITS = ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero")
COPIES = ("aten::copy_", "aten::_to_copy", "aten::clone")


class Counted(TorchDispatchMode):
    """Counts operations by name: those that compute something, that copy, and that wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.found[function.name()] += 1
        return function(*args, **(kwargs or {}))

    @property
    def computed(self) -> int:
        return sum(n for name, n in self.found.items() if not any(word in name for word in VIEWS))

    @property
    def copied(self) -> int:
        return sum(self.found[name] for name in COPIES)

    @property
    def waited(self) -> int:
        return sum(self.found[name] for name in WAITS)
