"""The command of `lth-ray` that writes a study's curves for other trackers."""

import click

from lth_ray.cli.options import STORAGE, STUDY


@click.command()
@click.argument("name", type=STUDY)
@click.option("--to", required=True, help="Write into this folder.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tensorboard", "wandb"]),
    default="tensorboard",
    show_default=True,
    help="Write TensorBoard's event files, or offline runs of Weights & Biases.",
)
@STORAGE
def logs(name: str, to: str, form: str, storage: str) -> None:
    """Write the training curves of study NAME for TensorBoard or Weights & Biases, a run a ticket.

    Nothing is sent anywhere: `tensorboard --logdir TO` shows the former, `wandb sync` sends the latter.
    """
    from lth_ray.record.exports.writing import write_logs
    from lth_ray.running import history
    from lth_ray.store import Store

    store = Store.open(storage, writable=False)
    count = write_logs(history.recorded_plan(store, name), store, form, to)
    click.echo(f"wrote {count} runs of {name} into {to}")


COMMANDS = (logs,)
