"""Beam search: the likeliest sentences that a network can say, by length and coverage (Wu et al. 2016, section 7)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lth_ray.config.tasks.translation import BEGIN, END, PAD

State = dict[str, Tensor]
Step = Callable[[Tensor, State], tuple[Tensor, Tensor | None, State]]


def beam_search(
    step: Step,
    state: Mapping[str, Tensor],
    longest: Tensor,
    *,
    width: int = 1,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    present: Tensor | None = None,
) -> Tensor:
    """Return the best sentence of each row, int64 [B, tokens]: END behind its last token, PAD behind that.

    The `width` likeliest beginnings go on together. Those that end are ranked by log P / lp + cp, with
    lp = ((5 + tokens) / 6) ** length_penalty, the end counted among the tokens, and
    cp = coverage_penalty * sum over the source's tokens of log(min(1, all attention it had)). A row is done when
    `width` sentences have ended. Width 1 takes the likeliest token each time.

    step: gives of the last tokens int64 [rows] and a state logits [rows, V], the attention to the source [rows, S] or
        None, and the next state: tensors whose first axis are the rows.
    longest: int64 [B], tokens of each row, the end counted, behind which a sentence is made to end.
    present: bool [B, S], the source's tokens that coverage counts.
    """
    rows, device = len(longest), longest.device
    first = torch.arange(rows, device=device)[:, None] * width
    going = {name: tensor.repeat_interleave(width, 0) for name, tensor in state.items()}
    tokens = torch.full((rows, width), BEGIN, device=device)
    scores = torch.full((rows, width), -torch.inf, device=device)
    scores[:, 0] = 0.0
    said = torch.full((rows, width, int(longest.max())), PAD, device=device)
    best, best_score = said[:, 0].clone(), scores[:, 1:].new_full((rows,), -torch.inf)
    ended = torch.zeros(rows, dtype=torch.int64, device=device)
    covered: Tensor | None = None
    for number in range(1, said.shape[2] + 1):
        logits, attention, going = step(tokens.flatten(), going)
        likely = logits.float().log_softmax(-1).view(rows, width, -1)
        likely[..., [BEGIN, PAD]] = -torch.inf
        must_end = (number >= longest)[:, None, None]
        others = torch.arange(likely.shape[2], device=device) != END
        totals = scores[..., None] + likely.masked_fill(must_end & others, -torch.inf)
        # twice as many as go on: at most one of each beginning ends
        found, at = totals.flatten(1).topk(min(2 * width, totals[0].numel()))
        origin, token = at // likely.shape[2], at % likely.shape[2]
        ends = token == END
        if attention is not None and coverage_penalty:
            seen = attention.float().view(rows, width, -1)
            covered = seen if covered is None else covered + seen

        over = ends[:, :width] & found[:, :width].isfinite() & (ended < width)[:, None]
        ranked = found[:, :width] / ((5 + number) / 6) ** length_penalty
        if covered is not None and present is not None:
            least = torch.finfo(covered.dtype).tiny  # of a token without any: sentences are still to be ranked
            lacking = covered.clamp(least, 1).log().masked_fill(~present[:, None], 0.0).sum(-1)
            ranked = ranked + coverage_penalty * lacking.gather(1, origin[:, :width])
        ranked, which = ranked.masked_fill(~over, -torch.inf).max(1)
        sentence = _of(said, origin.gather(1, which[:, None]))[:, 0]
        sentence[:, number - 1] = END
        better = ranked > best_score
        best = torch.where(better[:, None], sentence, best)
        best_score = torch.where(better, ranked, best_score)
        ended += over.sum(1)
        if bool((ended >= width).all()):
            break

        scores, kept = found.masked_fill(ends, -torch.inf).topk(width)
        origin, tokens = origin.gather(1, kept), token.gather(1, kept)
        said = _of(said, origin)
        said[:, :, number - 1] = tokens
        covered = None if covered is None else _of(covered, origin)
        going = {name: tensor.index_select(0, (first + origin).flatten()) for name, tensor in going.items()}
    return best


def _of(each: Tensor, origin: Tensor) -> Tensor:
    """Return [B, k, n] of [B, width, n]: those that `origin` [B, k] numbers."""
    return each.gather(1, origin[..., None].expand(-1, -1, each.shape[2]))
