"""The commands of `lth-ray` about one ticket: show it, send it elsewhere, bring one in."""

import click
from rich.console import Console

from lth_ray.cli.options import STORAGE


@click.command()
@click.argument("ticket")
@STORAGE
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
def show(ticket: str, storage: str, as_json: bool) -> None:
    """Say what TICKET is: its layers, densities, measurements, and where it comes from, back to the seed.

    TICKET is a key, the beginning of one, or NAME/LINEAGE/rROUND; without NAME of the only study there is.
    """
    import json

    from lth_ray.commands.ticket_page import description, print_ticket
    from lth_ray.commands.tickets import find_ticket, with_study
    from lth_ray.store import Store

    store = Store.open(storage, writable=False)
    ticket, name = with_study(store, ticket)
    page = description(store, find_ticket(store, ticket, name), name)
    if as_json:
        click.echo(json.dumps(page, indent=2))
    else:
        print_ticket(page, Console())


@click.command()
@click.argument("ticket")
@click.option("--to", required=True, help="Write this file.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["state_dict", "prune", "onnx"]),
    default="state_dict",
    show_default=True,
    help="Write safetensors, in the network's own names or torch.nn.utils.prune's, or ONNX.",
)
@click.option(
    "--state",
    type=click.Choice(["trained", "rewind"]),
    default="trained",
    show_default=True,
    help="Write the weights after training, or those that the ticket is rewound to.",
)
@STORAGE
@click.option("--data-root", help="Look for images in this folder, whose normalisation an ONNX file then notes.")
@click.option(
    "--shrink",
    is_flag=True,
    help="Write the smaller network, without what the mask removes whole: safetensors with a JSON history, or ONNX.",
)
def export(ticket: str, to: str, format_: str, state: str, storage: str, data_root: str | None, shrink: bool) -> None:
    """Write the network of TICKET, its pruned weights at zero, to a file that other tools read.

    TICKET is a key, the beginning of one, or NAME/LINEAGE/rROUND; without NAME of the only study there is.
    """
    from lth_ray.commands.tickets import export_ticket
    from lth_ray.lottery import load_ticket
    from lth_ray.lottery.tickets.exporting import kind_of_weights

    key = export_ticket(ticket, to, format=format_, state=state, storage=storage, data_root=data_root, shrink=shrink)
    record = load_ticket(key, storage).record
    click.echo(f"wrote {kind_of_weights(record, state)} of {key} to {to}")


@click.command("import")
@click.argument("file")
@STORAGE
def import_(file: str, storage: str) -> None:
    """Make a ticket of FILE, a network's state dict, and print its key.

    FILE is safetensors, or .pt or .pth of torch.save; the network is dense, or pruned by
    torch.nn.utils.prune. Study(ticket=KEY), load_ticket, `show` and `export` take the key.
    """
    from lth_ray.lottery import load_ticket
    from lth_ray.lottery.tickets.importing import import_ticket

    key = import_ticket(file, storage)
    if not load_ticket(key, storage).mask:
        click.echo("a dense network: no parameter is named as torch.nn.utils.prune names pruned ones", err=True)
    click.echo(key)


COMMANDS = (show, export, import_)
