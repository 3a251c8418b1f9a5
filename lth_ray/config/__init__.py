"""Frozen dataclasses of a study, its units, its fan-out and its keys."""

from lth_ray.config.base import Config, ConfigError, field_table, no_field
from lth_ray.config.branches import (
    Barrier,
    Branch,
    Connectivity,
    CrossedMask,
    Curvature,
    Cyclic,
    Guided,
    MaskOverlap,
    PermutedMask,
    Perturb,
    Pretrain,
    RandomMask,
    RandomReinit,
    Rescored,
    Scratch,
    ShuffledMask,
    SignFlips,
    Stability,
    Supermask,
    Transfer,
    Weights,
)
from lth_ray.config.declared import declaration, differences, restore
from lth_ray.config.dynamic import Dynamic, EarlyBird
from lth_ray.config.functions import OwnFunction, called, functions_of, settled, short_name
from lth_ray.config.keys import (
    RAISED,
    RELEASES,
    REVISIONS,
    as_of,
    digest,
    in_few_words,
    meaning,
    revised,
    revision,
    subseed,
    told,
)
from lth_ray.config.launch import Launch, check_no_password
from lth_ray.config.model import Folder, Model, WeightsFile, weights_file
from lth_ray.config.precision import bits, block_bits
from lth_ray.config.prune import Prune, Scoring
from lth_ray.config.rewind import Perturbation, Pretraining, Rewind
from lth_ray.config.study import Study, Subseeds, TicketOf, given_tickets, with_given_tickets
from lth_ray.config.suggesting import nearest
from lth_ray.config.supermask import SupermaskRule
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.boxes import Boxes
from lth_ray.config.tasks.environment import Environment
from lth_ray.config.tasks.images import Data, Examples
from lth_ray.config.tasks.metric import ACCURACY, Metric, is_there
from lth_ray.config.tasks.sentences import Sentences
from lth_ray.config.tasks.table import Table
from lth_ray.config.tasks.text import Text
from lth_ray.config.tasks.translation import Translation
from lth_ray.config.train import Train
from lth_ray.config.units import Length, epochs, steps
from lth_ray.config.variants import Variant, launched, parse, set_field, set_fields, variants

__all__ = [
    "ACCURACY",
    "RAISED",
    "RELEASES",
    "REVISIONS",
    "Barrier",
    "Boxes",
    "Branch",
    "Config",
    "ConfigError",
    "Connectivity",
    "CrossedMask",
    "Curvature",
    "Cyclic",
    "Data",
    "Dynamic",
    "EarlyBird",
    "Environment",
    "Examples",
    "Folder",
    "Guided",
    "Launch",
    "Length",
    "MaskOverlap",
    "Metric",
    "Model",
    "OwnFunction",
    "PermutedMask",
    "Perturb",
    "Perturbation",
    "Pretrain",
    "Pretraining",
    "Prune",
    "RandomMask",
    "RandomReinit",
    "Rescored",
    "Rewind",
    "Scoring",
    "Scratch",
    "Sentences",
    "ShuffledMask",
    "SignFlips",
    "Stability",
    "Study",
    "Subseeds",
    "Supermask",
    "SupermaskRule",
    "Table",
    "TaskConfig",
    "Text",
    "TicketOf",
    "Train",
    "Transfer",
    "Translation",
    "Variant",
    "Weights",
    "WeightsFile",
    "as_of",
    "bits",
    "block_bits",
    "called",
    "check_no_password",
    "declaration",
    "differences",
    "digest",
    "epochs",
    "field_table",
    "functions_of",
    "given_tickets",
    "in_few_words",
    "is_there",
    "launched",
    "meaning",
    "nearest",
    "no_field",
    "parse",
    "restore",
    "revised",
    "revision",
    "set_field",
    "set_fields",
    "settled",
    "short_name",
    "steps",
    "subseed",
    "told",
    "variants",
    "weights_file",
    "with_given_tickets",
]
