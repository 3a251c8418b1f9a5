"""The ledger of one run: the origin of each step of the study."""

from collections.abc import Mapping
from typing import Any

from lth_ray.lottery import Plan, Training

PARTS = ("trained_steps", "resumed_steps", "others_steps", "reused_steps", "spared_steps", "undone_steps")


def opened(plan: Plan) -> dict[str, Any]:
    """Return the counts at the start.

    The PARTS add up to unique_steps and restored_steps, which only make a state of a finished training again.
    scoring_flops: of the scores by which this run has found the masks of what it trained.
    """
    new = sum(piece.num_steps for job in plan.jobs for piece in job.pieces if piece.measured)
    return {
        "unique_steps": plan.unique_steps,
        "naive_steps": plan.naive_steps,
        "trained_steps": 0,
        "resumed_steps": 0,
        "others_steps": 0,
        "reused_steps": plan.unique_steps - new,
        "spared_steps": 0,
        "undone_steps": new,
        "restored_steps": 0,
        "scoring_flops": 0,
    }


def enter(counts: dict[str, Any], plan: Plan, result: Mapping[str, Any]) -> None:
    """Enter a piece that is done, of which this run has trained result["trained_steps"].

    The others were in a checkpoint or, where it trained none, are another run's.
    """
    trained = result["trained_steps"]
    counts["trained_steps"] += trained
    counts["scoring_flops"] += int(result.get("scoring_flops") or 0) if trained else 0
    piece = plan.pieces.get(result["key"])
    if not isinstance(piece, Training):
        counts["restored_steps"] += trained
        return
    whole = result.get("whole_steps")  # fewer than were planned where masks have agreed before
    if whole is None or result["diverged_at"] is not None:
        end = piece.segment.last if result["diverged_at"] is None else result["diverged_at"]
        whole = end - piece.segment.first
    taken_up = min(result.get("taken_up", 0), whole)
    earlier = max(0, whole - trained - taken_up)
    spared = piece.num_steps - whole if result["diverged_at"] is None else 0
    counts["resumed_steps" if trained else "others_steps"] += earlier
    counts["reused_steps"] += taken_up
    counts["spared_steps"] += spared
    counts["undone_steps"] -= trained + earlier + taken_up + spared


def in_words(counts: Mapping[str, Any]) -> str:
    """Return where the study's steps are from, but for those trained here, in words."""
    words = {
        "reused_steps": "were in the store",
        "resumed_steps": "in checkpoints",
        "others_steps": "by another run",
        "spared_steps": "fewer than planned, by what masks were found",
        "undone_steps": "not done",
    }
    named = [f"{counts[name]:,} {text}" for name, text in words.items() if counts[name] or name == "reused_steps"]
    return ", ".join(named)
