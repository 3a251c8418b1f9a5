"""Single studies' plans: their papers' arms, rounds, lengths, controls and rates."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray import epochs, pruning
from lth_ray.config.prune import CRITERIA
from lth_ray.lottery import make_plan
from lth_ray.lottery.execution.networks import build, eligible
from lth_ray.lottery.rounds import Lineage
from lth_ray.pruning import Mask
from tests.repository import ROOT
from tests.studies.plans import declared, planned

NOT_OF_BOTH_ENDS = ("bn_scale", "grasp", "grasp_abs", "synflow")  # criteria that Zhou et al. do not have


@pytest.mark.parametrize(
    ("script", "name"), [("deconstructing", "deconstructing-mnist"), ("supermask", "supermask-conv4")]
)
def test_every_criterion_is_an_arm_with_random_ties(script: str, name: str, shared_data: Path) -> None:
    lineages = planned(script, name, shared_data, seeds=1).lineages
    assert {lineage.prune.criterion for lineage in lineages} == {*CRITERIA} - {"magnitude", *NOT_OF_BOTH_ENDS}
    assert {(lineage.prune.ties, lineage.prune.scope) for lineage in lineages} == {("random", "layer")}


def test_what_zhou_et_al_do_with_weights_they_do_in_every_round(shared_data: Path) -> None:
    plan = planned("deconstructing", "deconstructing-mnist", shared_data, seeds=1)
    rules = {lineage.variant.arm: lineage.rewind.perturbation for lineage in plan.lineages}
    assert len({rule for rule in rules.values() if rule}) == 11
    assert all(len(lineage.rounds) == 25 for lineage in plan.lineages)
    assert {result.lineage.variant.arm for result in plan.branches} == {"large_final"}


def test_masks_on_untrained_weights_cost_no_training(shared_data: Path) -> None:
    plan = planned("supermask", "supermask-lenet", shared_data, seeds=1)
    tickets = [r.segment for lineage in plan.lineages for r in lineage.rounds[1:]]
    assert len(tickets) == 27 * 24
    assert sum(segment.num_steps for segment in tickets) == 0
    untrained = [result.segment for result in plan.branches if result.path == "perturb"]
    assert len(untrained) == 2 * len(tickets)
    assert sum(segment.num_steps for segment in untrained) == 0
    learned = [result for result in plan.branches if result.path == "supermask"]
    assert len(learned) == 4 + 6


def test_the_early_phase_is_perturbed_and_pretrained(shared_data: Path) -> None:
    plan = planned("early_phase", "early-phase", shared_data, seeds=1)
    assert sorted({lineage.rewind_step for lineage in plan.lineages}) == [0, 500, 2000]
    assert len(plan.branches) == 13 * 6 * 2
    pretrained = planned("early_phase", "early-phase-pretraining", shared_data, seeds=1).branches
    assert len(pretrained) == 4 * 5 * 6
    lengths = {result.trainings[0][1].recipe.train.length for result in pretrained}
    assert lengths == {epochs(n) for n in (2, 5, 10, 20, 40)}


def test_the_ablations_share_the_paper_s_own_lenet(shared_data: Path) -> None:
    studies = declared(ROOT / "studies" / "lenet_ablations.py")
    keys = [make_plan(replace(study, seeds=[0], branches=[]), str(shared_data)).keys for study in studies]
    ours = make_plan(replace(declared(ROOT / "studies" / "lenet_mnist.py")[0], seeds=[0], arms={}), str(shared_data))
    assert len(frozenset.intersection(*keys) & ours.keys) == 25  # dense, and a ticket from each round


def test_copies_part_at_every_k_from_dense_networks_tickets_and_random_masks(shared_data: Path) -> None:
    plan = planned("linear_mode_connectivity", "lmc-resnet20", shared_data)
    assert {lineage.recipe.total_steps for lineage in plan.lineages} == {63_000}
    barriers = [result for result in plan.branches if result.path.endswith("barrier")]
    assert {result.table.options["points"] for result in barriers if result.table} == {30}
    of_one = [result for result in barriers if result.lineage.id == "standard/k2000/seed0"]
    assert {result.parameters["spawn_step"] for result in of_one} == {2000}
    hosts = Counter((result.path, result.round) for result in of_one)
    assert hosts == {
        **{("barrier", number): 3 for number in (0, 3, 5, 8, 12)},  # pairs of three data orders
        **{("random_mask-0/barrier", number): 3 for number in (3, 5, 8, 12)},
    }


@pytest.mark.parametrize("name", ["stability-lenet", "stability-resnet20", "stability-vgg19"])
def test_stability_has_3_samples_to_pruning_and_18_to_data_order(name: str, shared_data: Path) -> None:
    plan = planned("stability", name, shared_data)
    results = [
        result for result in plan.branches if result.path.endswith("stability") and result.lineage.rewind_step == 0
    ]
    samples = Counter((r.lineage.variant.arm, r.path, r.round, r.parameters["compared"]) for r in results)
    assert all(number == {"pruning": 3, "order": 18}[compared] for (*_, compared), number in samples.items())


def test_every_retraining_method_is_given_every_retraining_time(shared_data: Path) -> None:
    plan = planned("retraining", "retraining-resnet56", shared_data)
    assert {lineage.recipe.total_steps for lineage in plan.lineages} == {71_108}
    times = {}
    for lineage in plan.lineages:
        epoch = 71_108 / 182
        last = lineage.rounds[1].segment
        times.setdefault((lineage.variant.arm, lineage.rewind.method), set()).add(round(last.num_steps / epoch))
    assert len(times) == 2 * 5
    assert all(found == {*range(10, 180, 20), 182} for found in times.values())


def test_translators_are_retrained_by_each_method_for_each_time(shared_data: Path) -> None:
    plan = planned("translation_wmt", "retraining-gnmt", shared_data, seeds=1)
    times: dict[tuple[str, str], set[int]] = {}
    for lineage in plan.lineages:
        of = lineage.variant.arm, lineage.rewind.method
        times.setdefault(of, set()).add(lineage.rounds[1].segment.num_steps)
    assert len(times) == 2 * 3
    assert all(found == {863 * t for t in range(1, 11)} for found in times.values())
    recipe = plan.lineages[0].recipe
    assert [recipe.lr(step) for step in (100, 200, 6471, 6472, 7910, 8629)] == [1e-3, 2e-3, 2e-3, 1e-3, 2.5e-4, 2.5e-4]
    fine_tuned = next(one for one in plan.lineages if one.rewind.method == "fine_tune")
    assert fine_tuned.rounds[1].segment.recipe.lr(8000) == 2.5e-4


def test_random_tickets_of_translators_have_as_many_weights_and_steps(shared_data: Path) -> None:
    plan = planned("translation_wmt", "language-transformer-base", shared_data, seeds=1)
    assert [lineage.rewind_step for lineage in plan.lineages] == [1000]
    branches = {result.path for result in plan.branches}
    assert branches == {"random_mask", "random_reinit"}
    assert {result.segment.num_steps for result in plan.branches if result.segment} == {49_000}
    recipe = plan.lineages[0].recipe
    assert recipe.lr(1000) == pytest.approx(512**-0.5 * 1000 * 4000**-1.5, rel=0.01)
    assert recipe.lr(40_000) == pytest.approx(512**-0.5 * 40_000**-0.5, rel=0.01)


def test_warm_starts_begin_where_training_on_half_of_the_data_ended(shared_data: Path) -> None:
    plan = planned("warm_start", "warm-start", shared_data)
    moved = [result for result in plan.branches if result.path.endswith("transfer")]
    assert {lineage.recipe.identity.n_train for lineage in plan.lineages} == {22_500}
    assert {result.segment.recipe.identity.n_train for result in moved} == {45_000}
    dense = {(result.parameters["start"], result.segment.start.step) for result in moved if result.round == 0}
    assert dense == {("rewound", 0), ("trained", plan.lineages[0].recipe.total_steps)}
    assert {result.path for result in moved} == {"transfer", "random_mask-0/transfer", "random_reinit-0/transfer"}


@pytest.mark.parametrize("network", ["vgg19", "resnet50"])
def test_every_set_is_a_source_and_a_target_and_its_own_tickets_are_not_trained_again(
    network: str, shared_data: Path
) -> None:
    plan = planned("transfer_datasets", f"transfer-datasets-{network}", shared_data, seeds=1)
    kinds = Counter((result.parameters["start"], result.segment.num_steps) for result in plan.branches)
    sources = {lineage.variant.arm: lineage for lineage in plan.lineages}
    assert len(sources) == 8
    assert sum(count for (start, _), count in kinds.items() if start == "random") == 8 * 8 * 6
    tickets = {r.segment.key for lineage in plan.lineages for r in lineage.rounds}
    own = [result for result in plan.branches if result.segment.key in tickets]
    assert len(own) == 8 * 6
    assert all(result.segment.recipe == result.lineage.recipe for result in own)
    epoch = 50_000 // 512
    assert sources["cifar10"].rewind_step == epoch
    assert sources["cifar10a"].recipe.identity.n_train == 25_000
    onto = {result.segment.first for result in plan.branches if result.segment.recipe.data.called == "svhn"}
    assert onto == {73_257 // 512}  # the target's own epoch 1


def test_tickets_of_two_optimizers_are_trained_by_both_at_three_rates(shared_data: Path) -> None:
    plan = planned("transfer_optimizers", "transfer-optimizers", shared_data, seeds=1)
    trained = {(one.segment.recipe.train.optimizer, one.segment.recipe.train.lr) for one in plan.branches}
    assert trained == {*(("sgd", lr) for lr in (0.03, 0.1, 0.3)), *(("adam", lr) for lr in (1e-4, 3e-4, 1e-3))}
    tickets = {r.segment.key for lineage in plan.lineages for r in lineage.rounds}
    assert sum(result.segment.key in tickets for result in plan.branches) == 2 * 6


def test_rewinding_resnet50_is_planned_from_shared_dense_runs(tmp_path: Path) -> None:
    plan = planned("resnet50_rewind", "resnet50-rewind", tmp_path)
    epoch = 1_281_167 // 1024
    assert sorted({lineage.rewind_step for lineage in plan.lineages}) == [0, epoch, 5 * epoch, 6 * epoch, 18 * epoch]
    assert plan.lineages[0].recipe.total_steps == 90 * epoch
    assert len({lineage.dense.key for lineage in plan.lineages}) == len(plan.study.seeds)
    assert all(plan.lineages[0].recipe.admits(workers) for workers in (1, 2, 4, 8))


def test_images_are_pruned_at_once_to_the_paper_s_densities(tmp_path: Path) -> None:
    names = ("resnet50", "inception-v3", "squeezenet")
    plans = [planned("imagenet_oneshot", f"imagenet-oneshot-{name}", tmp_path) for name in names]
    assert [plan.study.prune.fraction for plan in plans] == [0.7, 0.7, 0.5]
    assert [plan.lineages[0].recipe.total_steps // (1_281_167 // 1024) for plan in plans] == [90, 171, 150]
    last = plans[1].lineages[0].recipe
    assert (last.lr(0), last.lr(last.total_steps)) == (0.03, pytest.approx(0.005))


@pytest.mark.parametrize("name", ["warmup-rewind-resnet20", "warmup-rewind-vgg19"])
def test_each_warm_up_has_a_dense_run_that_its_rewind_points_share(name: str, shared_data: Path) -> None:
    plan = planned("warmup_rewind_sweep", name, shared_data, seeds=1)
    pairs = {(lineage.recipe.warmup_steps, lineage.rewind_step) for lineage in plan.lineages}
    assert len(pairs) == 4 * 5
    assert len({lineage.dense.key for lineage in plan.lineages}) == 4 * max(1, len(plan.study.arms))


def test_every_way_of_finding_a_ticket_has_its_cost_and_its_density(shared_data: Path) -> None:
    plan = planned("cheap_tickets", "cheap-tickets", shared_data, seeds=1)
    lineages = {lineage.variant.arm: lineage for lineage in plan.lineages}
    assert {lineages[arm].prune.search_precision for arm in lineages} == {None, "bf16", "bfp8"}
    assert len({lineage.dense.key for lineage in lineages.values()}) == 1
    assert len({lineage.trunk.key for lineage in lineages.values()}) == 3 + 3  # in each precision, and up to each draw
    early = {arm for arm, lineage in lineages.items() if lineage.pruned_step == 0}
    assert early == {"snip", "grasp", "synflow", "rigl", "set"}
    ladders = {lineage.prune.remaining for arm, lineage in lineages.items() if not arm.startswith(("early", "iter"))}
    assert ladders == {tuple(0.8**n for n in (3, 7, 10, 14))}
    assert all(r.segment.recipe.train.precision == "fp32" for one in lineages.values() for r in one.rounds)


def test_games_are_learned_with_controls_and_pruned_with_their_biases(tmp_path: Path) -> None:
    plan = planned("control_tickets", "control-cartpole", tmp_path, seeds=1)
    assert sorted({lineage.rewind_step for lineage in plan.lineages}) == [0, 250]
    assert all(lineage.recipe.data.longest == 200 for lineage in plan.lineages)
    hung = Counter(result.path for result in plan.branches)
    controls = ("random_reinit", "random_mask", "random_mask-0/random_reinit")
    assert {hung[name] for name in controls} == {2 * 6}
    assert hung["barrier"] == 2 * 3
    (first, *_) = plan.lineages
    mask = eligible(build(first.recipe), first.rule)
    assert {name for name in mask if name.startswith("policy")} == {"policy.weight", "policy.bias"}
    assert pytest.approx(1 - pruned_after(first, 20, mask), abs=1e-3) == 0.8**20


def pruned_after(lineage: Lineage, rounds: int, mask: Mask) -> float:
    """The share that so many rounds prune."""
    counts = pruning.counts_of(lineage.rule, mask, rounds, lineage.prune.density(rounds))
    assert isinstance(counts, int)
    return counts / pruning.kept(mask)


def test_nine_games_of_atari_are_each_an_arm(tmp_path: Path) -> None:
    plan = planned("atari_tickets", "atari-tickets", tmp_path, seeds=1)
    assert len({lineage.recipe.data.name for lineage in plan.lineages}) == 9
    assert {lineage.recipe.identity.input_shape for lineage in plan.lineages} == {(4, 84, 84)}
    actions = {lineage.variant.arm: lineage.recipe.identity.num_classes - 1 for lineage in plan.lineages}
    assert (actions["breakout"], actions["seaquest"], actions["spaceinvaders"]) == (4, 18, 6)


def test_detectors_begin_with_what_the_classifiers_study_leaves(shared_data: Path) -> None:
    given = planned("detection_transfer", "detection-transfer-classifier", shared_data)
    plan = planned("detection_transfer", "detection-transfer", shared_data, seeds=1)
    (classifier,), lineages = given.lineages, {lineage.variant.arm: lineage for lineage in plan.lineages}
    tickets = {arm: lineage.variant.study.ticket_key for arm, lineage in lineages.items()}
    dense, pruned = (classifier.rounds[number].segment.key for number in (0, 1))
    assert tickets == {
        "dense": dense, "prune_c": pruned, "prune_d": dense, "scratch_e": given.branches[0].segment.key,
        "scratch_b": given.branches[1].segment.key, "new": None,
        "imp": dense,
    }  # fmt: skip
    assert len({lineages[arm].dense.key for arm in ("dense", "prune_d", "imp")}) == 1
    assert {arm: lineage.prune.num_rounds for arm, lineage in lineages.items() if lineage.prune.num_rounds} == {
        "prune_d": 1,
        "imp": 4,
    }
