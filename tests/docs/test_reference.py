"""docs/reference.md is what the docstrings say now, and says something of everything that is public."""

import dataclasses
from typing import Any

import pytest

import lth_ray
from lth_ray import config
from tests.docs.blocks import GENERATED, loaded, read


@pytest.fixture(scope="module")
def reference() -> Any:
    return loaded("reference")


def test_the_page_is_up_to_date(reference: Any) -> None:
    assert reference.page() == read(GENERATED), "docs/reference.md is not what the docstrings say: run `make reference`"


def test_every_public_name_is_there(reference: Any) -> None:
    shown = {name for _, _, _, names in reference.SECTIONS for name in names}
    modules = {"analysis", "data", "figures", "models", "pruning"}
    assert set(lth_ray.__all__) - shown - modules == set()
    for name in modules:
        assert set(getattr(lth_ray, name).__all__) <= shown


CONFIGS = [
    value for value in vars(config).values()
    if isinstance(value, type) and issubclass(value, config.Config) and value is not config.Config
]  # fmt: skip


@pytest.mark.parametrize("cls", CONFIGS, ids=lambda cls: cls.__name__)
def test_every_field_says_what_it_means(reference: Any, cls: type) -> None:
    words = reference.field_words(cls)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    assert {name for name in names if not words.get(name)} == set()


def test_words_of_fields_are_read_from_a_docstring(reference: Any) -> None:
    @dataclasses.dataclass
    class Some:
        """The thing itself.

        first, second: alike,
            on two lines. third: of its own. The rest, such as first(s), is no field.
        A sentence between them.
        """

        first: int
        second: int
        third: int

    prose, words = reference.described(Some)
    assert prose == "The thing itself.\n\nA sentence between them."
    assert words == {
        "first": "alike, on two lines.", "second": "alike, on two lines.",
        "third": "of its own. The rest, such as first(s), is no field.",
    }  # fmt: skip
