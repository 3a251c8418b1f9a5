"""A study: one question, declared."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from lth_ray.config.base import Config, ConfigError, a, many, mapping, maybe, number, one_of, option, text, whole
from lth_ray.config.branches import Branch
from lth_ray.config.declared import declaration
from lth_ray.config.model import Model
from lth_ray.config.prune import Prune
from lth_ray.config.rewind import Rewind
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.images import is_dataset
from lth_ray.config.train import Train
from lth_ray.config.units import Length

LONGEST = 150  # characters of a name: file systems take 255 for a file's


def _rewind(value: Any) -> Rewind:
    if isinstance(value, Length):
        return Rewind(value)
    if isinstance(value, Rewind):
        return value
    raise ValueError("give rewind points: steps(n), epochs(n) or Rewind(...)")


def _task(value: Any) -> TaskConfig:
    if isinstance(value, TaskConfig):
        return value
    if callable(value) or is_dataset(value):
        raise ValueError("examples of one's own need to be told how they are used: give Examples(..., batch_size=...)")
    raise ValueError("give a Data, or another task such as Table, Text, Examples or Environment")


def _key(value: Any) -> "str | TicketOf":
    if isinstance(value, TicketOf):
        return value
    if isinstance(value, str) and re.fullmatch(r"[\w.-]+-\d+", value, re.ASCII):
        return value
    raise ValueError(
        "give a ticket's whole key, as `lth-ray import` prints it and Results.tickets() has it, or TicketOf(a study)"
    )


def _study(value: Any) -> Any:
    if not isinstance(value, Study):
        raise ValueError("give the study that finds the ticket")
    return value


def slug(value: Any) -> str:
    """Return a value that can become a part of paths and of MLflow's names.

    Raise ValueError for anything else.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        raise ValueError("give a name of letters (without accents), digits, '-', '_' and '.'")
    if len(value) > LONGEST:
        raise ValueError(f"give a name of at most {LONGEST} characters (--name gives another)")
    return value


@dataclass(frozen=True)
class Subseeds(Config):
    """The seeds of one lineage's parts, each of which may be given one of its own.

    init, order, augmentation, dropout: None takes the lineage's seed.
    """

    _: KW_ONLY
    init: int | None = option(None, check=maybe(whole(0)))
    order: int | None = option(None, check=maybe(whole(0)))
    augmentation: int | None = option(None, check=maybe(whole(0)))
    dropout: int | None = option(None, check=maybe(whole(0)))


@dataclass(frozen=True)
class TicketOf(Config):
    """A ticket of another study, by its place there; the study is run before, as `main([study, this_one])` does.

    Arms may have one each, which they give whole; it is not swept.

    study: the one that finds it, of one rewind point and no sweep.
    round, seed, arm: which of its tickets; None for its last round, its first seed and its first arm.
    branch: the name of a branch of it, such as "random_reinit", whose trained network is taken instead; the first of
        several.
    key: the ticket's, as a plan finds it.
    """

    study: Any = option(check=_study)
    _: KW_ONLY
    round: int | None = option(None, check=maybe(whole(0)))
    seed: int | None = option(None, check=maybe(whole(0)))
    arm: str | None = option(None, check=maybe(text("give an arm's name")))
    branch: str | None = option(None, check=maybe(text("give a branch's name")))
    key: str | None = option(None, check=maybe(text("leave it out")))

    @property
    def called(self) -> str:
        """Its name in errors."""
        return f"TicketOf({self.study.name!r})"


@dataclass(frozen=True)
class Study(Config):
    """One question: what is trained, pruned and rewound, from which seeds, and what is asked of the tickets.

    name: also that of its folder in the storage and of its MLflow experiment.
    model, data, train, prune: the network, what it learns (a Data, or another task), the recipe of a round
        and the pruning rule.
    rewind, seeds: a lineage for each pair.
    subseeds: for what the lineage's seed is not to set.
    arms: {name: {dotted_field: value}}: fields set jointly, a set of lineages for each arm; a whole part
        (such as "prune") may be replaced.
    sweep: {dotted_field: [values]}: crossed with arms, rewind and seeds.
    branches: experiments hung on every lineage's tickets.
    ticket: key of a ticket in the storage (an imported one, or another study's), or TicketOf(another study): round 0
        trains it, from the weights it has, instead of a newly drawn dense network, and later rounds prune it
        further. None draws new weights, or takes those of Model.weights.
    ticket_part: the ticket is a part of this network, whose tensors have the ticket's names behind these characters:
        "backbone.body." where a detector takes over a classifier's convolutions. What the ticket has and the network
        has not (an output layer) is left out, and the rest is newly drawn and dense. "" for the whole network.
    keep: "rewind" keeps masks and rewind states; "tickets" trained states too; "all" the state at every
        evaluation.
    stop_below: a lineage ends after the first pruned round whose metric (validation, else test) is worse than
        this: an accuracy under it, an error above it.
    smoke: {dotted_field: value}: what --smoke shortens.
    smoke_shows: "learning"; or "pipeline" where so few steps teach a network nothing, and --smoke prints no
        accuracy.
    may_fail: arms that need not learn for --smoke to succeed.
    margin: a ticket matches its dense network where its metric on the test set, an accuracy such as .97, is
        shown to be less than this worse; None takes the metric's own, .002 of an accuracy. Where that is less
        than one image of the test set, one image is taken, and reports say so.
    otherwise: what the study still does differently from the paper, in words. Reports say so, and show that
        paper's numbers as not comparable.
    against: the group of the papers' targets that reports compare it with ("": the one of the study's own
        name).
    """

    name: str = option(check=slug)
    _: KW_ONLY
    model: Model = option(check=a(Model, "give a Model"))
    data: TaskConfig = option(check=_task)
    train: Train = option(check=a(Train, "give a Train"))
    prune: Prune = option(check=a(Prune, "give a Prune"))
    rewind: Sequence[Any] = option(check=many(_rewind, "give a list of rewind points", at_least=1, distinct=True))
    seeds: Sequence[int] = option(check=many(whole(0), "give a list of seeds", at_least=1, distinct=True))
    subseeds: Subseeds = option(Subseeds(), check=a(Subseeds, "give a Subseeds"))
    arms: Mapping[str, Mapping[str, Any]] = option({}, check=mapping(mapping()))
    sweep: Mapping[str, Sequence[Any]] = option({}, check=mapping(many(None, "give a list of values", at_least=1)))
    branches: Sequence[Branch] = option((), check=many(a(Branch, "give branches, such as RandomReinit()")))
    ticket: str | TicketOf | None = option(None, check=maybe(_key), absent_means=None)
    ticket_part: str = option("", check=text("give how its tensors' names begin"), absent_means="")
    keep: str = option("tickets", check=one_of("rewind", "tickets", "all"))
    stop_below: float | None = option(None, check=maybe(number()))
    smoke: Mapping[str, Any] = option({}, check=mapping())
    smoke_shows: str = option("learning", check=one_of("learning", "pipeline"), means=False)
    may_fail: Sequence[str] = option((), check=many(text("give arm names")))
    margin: float | None = option(None, check=maybe(number()), means=False)
    otherwise: Sequence[str] = option((), check=many(text("give sentences")), means=False)
    against: str = option("", check=text("give the name of a group of targets"), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        declaration(self.smoke)  # what cannot be recorded is refused here
        for name in self.arms:
            _check_arm(name)
        for name in self.may_fail:
            if name not in self.arms:
                raise ConfigError(
                    f"Study.may_fail = {name!r}: no such arm; the arms are {', '.join(self.arms) or 'none'}"
                )
        self._check_varied_tickets()
        if self.ticket is not None and self.model.weights is not None:
            given = self.ticket.called if isinstance(self.ticket, TicketOf) else repr(self.ticket)
            raise ConfigError(
                f"Study.ticket = {given} and Model.weights = {str(self.model.file)!r} both give the weights "
                "that a lineage begins with; leave one of them out"
            )
        if self.ticket_part and self.ticket is None and not any("ticket" in fields for fields in self._varied):
            raise ConfigError(
                f"Study.ticket_part = {self.ticket_part!r}: there is no ticket; give one, or leave it out"
            )
        metric = self.data.metric
        if self.stop_below is not None and not metric.lowest <= self.stop_below <= metric.highest:
            raise ConfigError(
                f"Study.stop_below = {self.stop_below}: {metric.called} lies between {metric.lowest:g} "
                f"and {metric.highest:g}; give a value between them"
            )
        widest = metric.highest - metric.lowest
        if self.margin is not None and not 0 < self.margin < widest:
            raise ConfigError(f"Study.margin = {self.margin}: give a number in (0, {widest:g})")
        if self.margin is None and metric.margin <= 0:
            raise ConfigError(f"Study.margin = None: {metric.called} has no margin of its own; give one")

    @property
    def _varied(self) -> list[Mapping[str, Any]]:
        """The tables that vary fields: the sweep, and each arm."""
        return [self.sweep, *self.arms.values()]

    def _check_varied_tickets(self) -> None:
        """Raise ConfigError for tickets of other studies whose keys no plan would look for."""
        remedy = "give arms with whole tickets, {name: {'ticket': TicketOf(a study, ...)}}"
        for path in (path for fields in self._varied for path in fields):
            if path.startswith("ticket."):
                raise ConfigError(f"{path!r}: a part of a ticket of another study is not varied; {remedy}")
        if any(isinstance(value, TicketOf) for value in self.sweep.get("ticket", ())):
            raise ConfigError(f"Study.sweep['ticket']: tickets of other studies are not swept; {remedy}")

    @property
    def ticket_key(self) -> str | None:
        """The key of the ticket that it starts from; None for none, and for one that no plan has found yet."""
        return self.ticket.key if isinstance(self.ticket, TicketOf) else self.ticket

    @property
    def matching_margin(self) -> float:
        """The margin of a matching verdict, in the metric's own values."""
        return self.data.metric.margin if self.margin is None else self.margin


def given_tickets(study: Study) -> list[TicketOf]:
    """Return the tickets of other studies that a study and its arms start from."""
    named = [study.ticket, *(fields.get("ticket") for fields in study.arms.values())]
    return [one for one in named if isinstance(one, TicketOf)]


def with_given_tickets(study: Study, change: Callable[[TicketOf], TicketOf]) -> Study:
    """Return a study with each of `given_tickets` changed."""
    if not given_tickets(study):
        return study

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, TicketOf) else value

    arms = {
        name: {field: changed(value) if field == "ticket" else value for field, value in fields.items()}
        for name, fields in study.arms.items()
    }
    return replace(study, ticket=changed(study.ticket), arms=arms)


def _check_arm(name: str) -> None:
    try:
        slug(name)
    except ValueError as error:
        raise ConfigError(f"Study.arms = {name!r}: {error}") from None
