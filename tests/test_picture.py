"""The picture of the science, by which a refactor shows that it changed nothing."""

from tests.picture import differences, take


def test_two_pictures_of_one_machine_are_equal() -> None:
    first, second = take(["fused and sparse", "averages"]), take(["fused and sparse", "averages"])
    assert len(first["fused and sparse"]) == 2 * 3 + 2 * 2 * 4  # two lineages: their rounds, and four controls a ticket
    assert len(first["averages"]) == 2 * 3
    assert differences(first, second) == []


def test_a_difference_is_named() -> None:
    before = {"eager": {"k0/seed0/0": ["key", "content"], "k0/seed0/1": ["a", "b"]}}
    after = {"eager": {"k0/seed0/0": ["key", "other"]}}
    assert differences(before, after) == ["eager: k0/seed0/0: another content", "eager: k0/seed0/1: only before"]
