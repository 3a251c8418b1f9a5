"""Every fenced block of every document, and what is done with it. A block that is not here fails a test.

A block stands by its first line. Shell blocks of all kinds are also checked for their form: programs, subcommands,
flags and arguments, by the programs' own parsers.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """The kind of a block: what is done with it.

    by: the test function that runs it, somewhere in tests/.
    file: it is saved as this.
    """

    name: str
    by: str = ""
    file: str = ""


RUN = Kind("run")  # in the fast tier
SLOW = Kind("slow")  # in the slow tier, after the document's earlier blocks and in the same folder
FORM = Kind("form")  # needs a cluster, a network, a browser or hours: only its form is checked
SHOWN = Kind("shown")  # a drawing or an excerpt, which nothing runs
PRINTED = Kind("printed")  # what the block before it prints: compared in the slow tier, but for times


def by(test: str) -> Kind:
    return Kind("by", by=test)


def saved(name: str) -> Kind:
    return Kind("saved", file=name)


README = (
    ("make demo", by("test_make_demo")),
    ("pip install lth_ray-0.6.0", FORM),
    ('"""Do winning tickets learn faster than the network they were found in?"""', by("test_the_study_plans")),
    ("from lth_ray import Launch, run", by("test_results_are_at_hand")),
    ("import torch", by("test_ones_own_model_and_folder_plan")),
    ("lth-ray data pack IMAGENET /shared/data/imagenet --short-side 256", FORM),
    ("lth-ray status NAME", by("test_readme_s_looks_at_a_study")),
    ("lth-ray show k0/seed0/r3", by("test_readme_s_tickets_travel")),
)
TABLE: dict[str, tuple[tuple[str, Kind], ...]] = {
    "README.md": README,
    "README.zh.md": README,
    "CONTRIBUTING.md": (
        ("make test", FORM),
        (".venv/bin/python -m pytest tests/pruning -k magnitude", FORM),
        ("cli > commands > running", SHOWN),
        (".venv/bin/python -m tests.picture take", by("test_two_pictures_of_one_machine_are_equal")),
        ("make reference", FORM),
    ),
    "CHANGELOG.md": (),
    "benchmarks/README.md": (),
    "cluster/README.md": (
        ("ray get-auth-token --generate", FORM),
        ("cd cluster/mlflow", FORM),
        ("export MLFLOW_HOST=10.0.0.20", FORM),
        ("ray up cluster/ray-aws.yaml", FORM),
        ("ssh -i ~/.ssh/KEY.pem", FORM),
        ("ray monitor cluster/ray-aws.yaml", FORM),
        ("ray up cluster/ray-onprem.yaml", FORM),
        ("docker build --file cluster/Dockerfile", FORM),
        ("kubectl apply --filename cluster/kuberay/base.yaml", FORM),
        ("LTH_VENV=/shared/venv", by("test_a_study_runs_on_all_nodes_and_its_exit_code_is_the_job_s")),
        ("ray job submit --address http://HEAD:8265 --working-dir . -- python -m lth_ray doctor", FORM),
        ("ray job submit --address http://HEAD:8265 --working-dir . -- python -m lth_ray data pack", FORM),
        ("ray job submit --address http://HEAD:8265 --working-dir . -- python studies/resnet50_rewind.py", FORM),
        ("ray job list --address http://HEAD:8265", FORM),
        ("ray job submit --address http://HEAD:8265 --working-dir . \\", FORM),
    ),
    "cluster/storage.md": (("10.0.0.5:/export/lth", SHOWN), ("aws s3api put-object", FORM)),
    "docs/concepts.md": (("flowchart LR", SHOWN), ("flowchart TB", SHOWN), ("studies/", SHOWN)),
    "docs/data.md": (("lth-ray data pack TEXT TARGET", FORM), ("lth-ray data pack SOURCE TARGET", FORM)),
    "docs/extending.md": tuple(
        (first, by("test_its_study_runs"))
        for first in (
            '"""A network whose first layer looks at patches."""',
            '"""Magnitude that is comparable between layers',
            "+++ lth_ray/pruning/criteria.py",
            '"""A ticket, trained with another order of the data',
            "+++ lth_ray/lottery/branches/__init__.py",
            '"""Does a criterion that weighs layers find tickets',
        )
    ) + tuple(
        (first, by("test_its_task_and_its_metric_judge"))
        for first in (
            '"""Rows of numbers, learned and judged by the absolute error',
            "+++ lth_ray/tasks/__init__.py",
            '"""Images, judged by the Brier score',
            "+++ lth_ray/tasks/__init__.py",
        )
    ),
    "docs/faults.md": (),
    "docs/gallery.md": tuple(
        (f"python studies/{script}.py", by("test_its_smoke_run_learns"))
        for script in (
            "lenet_mnist", "digits", "conv_cifar10", "resnet20_cifar10", "vgg19_cifar10", "linear_tickets",
            "lenet_ablations", "deconstructing", "supermask", "early_phase", "signs", "permuted_masks",
            "initialisations", "linear_mode_connectivity", "round_connectivity", "masks_and_weights", "stability",
            "warmup_rewind_sweep",
        )
    )
    + tuple(
        (f"python studies/{script}.py", by("test_two_workers_take_real_images_through_the_pipeline"))
        for script in ("resnet50_rewind", "imagenet_oneshot")
    )
    + tuple(
        (f"python studies/{script}.py", by(test))
        for script, test in (
            ("retraining", "test_its_smoke_run_learns"),
            ("retraining_imagenet", "test_two_workers_take_real_images_through_the_pipeline"),
            ("translation_wmt", "test_its_smoke_run_learns"),
            ("cheap_tickets", "test_its_smoke_run_learns"),
            ("pruning_at_init", "test_its_smoke_run_learns"),
            ("pai_sanity", "test_its_smoke_run_learns"),
            ("pai_sanity_tiny", "test_its_smoke_run_learns"),
            ("early_bird", "test_its_smoke_run_learns"),
            ("early_bird_imagenet", "test_two_workers_take_real_images_through_the_pipeline"),
            ("warm_start", "test_its_smoke_run_learns"),
            ("transfer_datasets", "test_its_smoke_run_learns"),
            ("transfer_optimizers", "test_its_smoke_run_learns"),
            ("rethinking_structured", "test_its_smoke_run_learns"),
            ("rethinking_unstructured", "test_its_smoke_run_learns"),
            ("rethinking_imagenet", "test_two_workers_take_real_images_through_the_pipeline"),
            ("guided_pruning", "test_its_smoke_run_learns"),
            ("lstm_brown", "test_its_smoke_run_learns"),
            ("lstm_wikitext2", "test_its_smoke_run_learns"),
            ("transformer_language", "test_its_smoke_run_learns"),
            ("bert_tickets", "test_its_smoke_run_learns"),
            ("control_tickets", "test_its_smoke_run_learns"),
            ("atari_tickets", "test_its_smoke_run_learns"),
            ("detection_transfer", "test_its_smoke_run_learns"),
        )
    ),
    "docs/install.md": (
        ("pip install lth_ray-0.6.0", FORM),
        ('eval "$(_LTH_RAY_COMPLETE=bash_source lth-ray)"', by("test_a_shell_completes_names")),
    ),
    "docs/reproductions.md": (("python studies/lenet_mnist.py", FORM),),
    "docs/sizing.md": (("lth-ray run resnet50_rewind --dry-run", by("test_the_dry_run_of_the_documents")),),
    "docs/speed.md": (
        ("python studies/lenet_mnist.py --set train.replicates=8", FORM),
        ("python studies/lstm_brown.py --set train.backend=sparse", FORM),
    ),
    "docs/smaller.md": (
        ("study = Study(", by("test_a_smaller_model_of_ones_own")),
        ("python studies/examples/smaller_model.py", by("test_a_smaller_model_of_ones_own")),
        ("import lth_ray", by("test_a_smaller_model_of_ones_own")),
        ("lth-ray export k0/seed0/r3 --to small.safetensors --shrink", by("test_a_smaller_model_of_ones_own")),
    ),
    "docs/tickets.md": (
        ("lth-ray show ", by("test_the_commands_of_the_documents")),
        ("lth-ray export ", by("test_the_commands_of_the_documents")),
        ("lth_ray.export_ticket(", SHOWN),
        ("lth-ray import ", by("test_the_commands_of_the_documents")),
        ("prune.global_unstructured(", SHOWN),
        ('Study("further", ticket=key', SHOWN),
        ('Study("detector", model=Model("fasterrcnn_resnet34")', SHOWN),
        ("branches = [", SHOWN),
        ('"""How far can these weights be pruned and fine-tuned?"""', by("test_the_example_of_the_documents")),
        ('"""Which weights of a pretrained encoder does a task need?"""', by("test_the_encoder_of_the_documents")),
    ),
    "docs/tutorial.md": (
        ("make demo", by("test_make_demo")),
        ("source .venv/bin/activate", FORM),
        ('"""Do tickets need their initial values, or are their signs enough?"""', saved("signs.py")),
        ("python signs.py --plan", RUN),
        ("plan of signs", PRINTED),
        ("python signs.py", SLOW),
        ("test accuracy, %, and early-stop step", PRINTED),
        ("trained 8,100 steps", PRINTED),
        ("python signs.py", SLOW),
        ("trained 0 steps", PRINTED),
        ("python signs.py --set", SLOW),
        ("lineages             5", PRINTED),
        ("lth-ray status signs", SLOW),
        ("Accuracy against remaining weights: ", PRINTED),
        ("from lth_ray import Launch, load_ticket, run", SLOW),
        ("remaining_weights  test_accuracy", PRINTED),
        ("lth-ray gc", SLOW),
        ("lth-ray verify", SLOW),
        ("python studies/lenet_mnist.py --smoke --data-root data", by("test_its_smoke_run_learns")),
        ("ray job submit --address http://HEAD:8265 --working-dir . -- python signs.py", FORM),
        ("lth-ray data pack /shared/raw/imagenet", FORM),
    ),
}  # fmt: skip
TABLE["docs/concepts.zh.md"] = TABLE["docs/concepts.md"]
TABLE["docs/tutorial.zh.md"] = tuple(
    (first, by("test_a_translation_has_the_same_structure_commands_and_numbers"))
    for first, _ in TABLE["docs/tutorial.md"]
)
