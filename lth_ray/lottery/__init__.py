"""Tickets: rounds, retraining methods, branches, and the plan that trains nothing twice."""

from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.branches.lengths import priced
from lth_ray.lottery.cost import Costs
from lth_ray.lottery.execution.dispatch import carry_out, carry_out_all, stored
from lth_ray.lottery.execution.execute import execute
from lth_ray.lottery.execution.progress import Outcome
from lth_ray.lottery.jobs import Job
from lth_ray.lottery.kept.older_meanings import Older, older
from lth_ray.lottery.measurements import early_stop, measurements, metric_of
from lth_ray.lottery.other_studies import check_found
from lth_ray.lottery.pieces import Measurement, Piece, Training
from lth_ray.lottery.plan import Plan, make_plan
from lth_ray.lottery.results import branch_row, branch_rows, ticket_row, ticket_rows
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.stop_rule import StopRule
from lth_ray.lottery.tickets.loading import Ticket, load_ticket
from lth_ray.lottery.trials import Trial, in_lockstep, make_trials, shape_of

__all__ = [
    "BranchResult",
    "Costs",
    "Job",
    "Lineage",
    "Measurement",
    "Older",
    "Outcome",
    "Piece",
    "Plan",
    "StopRule",
    "Ticket",
    "Training",
    "Trial",
    "branch_row",
    "branch_rows",
    "carry_out",
    "carry_out_all",
    "check_found",
    "early_stop",
    "execute",
    "in_lockstep",
    "load_ticket",
    "make_plan",
    "make_trials",
    "measurements",
    "metric_of",
    "older",
    "priced",
    "shape_of",
    "stored",
    "ticket_row",
    "ticket_rows",
]
