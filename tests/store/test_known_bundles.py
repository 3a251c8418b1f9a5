"""Listings of bundles that other threads and processes change meanwhile: when all is known, and a file is absent."""

from typing import Any

import pytest

from lth_ray.store import Reached, Store, plan_gc, segment_path
from lth_ray.store.known_bundles import KNOWN, Member
from tests.store.trained import TRAINED, alone, bundle, forget, key


def test_a_listing_that_misses_a_bundle_which_takes_anothers_place_is_made_again(filled: Store) -> None:
    """It began before the new bundle was there, and came to the old one when that was gone."""
    bundle(filled)
    raw, missed = type(filled.bundled.files), list[str]()
    entries = raw.entries

    def passed_over(self: Any, folder: str) -> Any:
        if folder == "bundles" and not missed:
            missed.extend(entry.path for entry in entries(self, folder))
            return iter(())
        return entries(self, folder)

    forget(filled)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(raw, "entries", passed_over)
        assert filled.segments() == {key(number) for number in range(TRAINED)}
        assert len(missed) == 1
        missed.clear()
        assert filled.exists(segment_path(key(0)))  # it knows of the bundle by now
        assert len(missed) == 1
        missed.clear()
        reached = Reached(segments=frozenset(map(key, range(TRAINED))))
        removals = plan_gc(filled, reached, now=filled.now() + 7200)
        assert len(missed) == 1
        assert {removal.path for removal in removals} == {path for path in alone(filled) if "000000000040-" in path}


def test_an_older_listing_does_not_undo_a_newer_one() -> None:
    known, held = KNOWN.of("two threads"), {"masks/a": Member("bundles/old", 0, 1, 0.0)}
    older, newer = known.next_turn(), known.next_turn()
    assert not known.take_in(newer, frozenset({"bundles/new"}), {"bundles/new": held})
    assert known.take_in(known.next_turn(), frozenset({"bundles/new"}), {})
    assert known.take_in(older, frozenset({"bundles/old"}), {"bundles/old": held})
    assert known.bundles == {"bundles/new": held}
    assert not known.take_in(known.next_turn(), frozenset({"bundles/new", "bundles/gone"}), {})


def test_two_listings_made_at_the_same_time_are_no_two_that_agree() -> None:
    """Both may have missed a bundle that was removed meanwhile, and the one in its place."""
    known, nothing = KNOWN.of("two threads at once"), frozenset[str]()
    one, another = known.next_turn(), known.next_turn()
    assert not known.take_in(one, nothing, {})
    assert not known.take_in(another, nothing, {})
    assert known.take_in(known.next_turn(), nothing, {})


def test_what_was_forgotten_is_listed_again_before_anything_counts_as_absent() -> None:
    """A listing that began before the last one settles nothing once a bundle was found to be gone."""
    known, held = KNOWN.of("another two threads"), {"masks/a": Member("bundles/old", 0, 1, 0.0)}
    older = known.next_turn()
    known.take_in(known.next_turn(), frozenset({"bundles/old"}), {"bundles/old": held})
    assert known.take_in(known.next_turn(), frozenset({"bundles/old"}), {})
    known.forget({"bundles/old"})
    assert not known.take_in(older, frozenset({"bundles/old"}), {})
