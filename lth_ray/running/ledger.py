"""The ledger of one run: the origin of each step of the study."""

from collections.abc import Mapping
from typing import Any

from lth_ray.lottery import Plan, Training

PARTS = ("trained_steps", "resumed_steps", "others_steps", "reused_steps", "undone_steps")


def opened(plan: Plan) -> dict[str, Any]:
    """Return the counts at the start.

    The PARTS add up to unique_steps and restored_steps, which only make a state of a finished training again.
    """
    new = sum(piece.num_steps for job in plan.jobs for piece in job.pieces if piece.measured)
    return {
        "unique_steps": plan.unique_steps,
        "naive_steps": plan.naive_steps,
        "trained_steps": 0,
        "resumed_steps": 0,
        "others_steps": 0,
        "reused_steps": plan.unique_steps - new,
        "undone_steps": new,
        "restored_steps": 0,
    }


def enter(counts: dict[str, Any], plan: Plan, result: Mapping[str, Any]) -> None:
    """Enter a piece that is done, of which this run has trained result["trained_steps"].

    The others were in a checkpoint or, where it trained none, are another run's.
    """
    trained = result["trained_steps"]
    counts["trained_steps"] += trained
    piece = plan.pieces.get(result["key"])
    if not isinstance(piece, Training):
        counts["restored_steps"] += trained
        return
    end = piece.segment.last if result["diverged_at"] is None else result["diverged_at"]
    earlier = max(0, end - piece.segment.first - trained)
    counts["resumed_steps" if trained else "others_steps"] += earlier
    counts["undone_steps"] -= trained + earlier


def told(counts: Mapping[str, Any]) -> str:
    """Return where the study's steps are from, but for those trained here, in words."""
    words = {
        "reused_steps": "were in the store",
        "resumed_steps": "in checkpoints",
        "others_steps": "by another run",
        "undone_steps": "not done",
    }
    named = [f"{counts[name]:,} {text}" for name, text in words.items() if counts[name] or name == "reused_steps"]
    return ", ".join(named)
