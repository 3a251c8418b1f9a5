"""The curvature of the loss where a training ended."""

from lth_ray import analysis
from lth_ray.lottery.execution.bench import Bench, Measured
from lth_ray.lottery.execution.networks import build
from lth_ray.pruning import dense_mask
from lth_ray.training.averages import averaged


def curvature(bench: Bench) -> Measured:
    """Measure the largest eigenvalues and the trace of the Hessian of the training loss, in the weights that are kept.

    The examples are those that pruning criteria look at, without augmentation, and numbers have 32 bits, whatever
    training computes with.
    """
    options, recipe = bench.table.options or {}, bench.table.recipe
    model = build(recipe)
    model.load_state_dict(bench.state(0))
    model.to(bench.device)
    mask = bench.mask()
    mask = dense_mask(model, bench.covered(None)) if mask is None else mask
    batches = [recipe.task.evidence(bench.dataset, options["order"], number) for number in range(options["batches"])]
    with averaged(model):
        hessian = analysis.Hessian(model, mask, batches, recipe.task.step(recipe.train))
        found = analysis.largest_eigenvalues(
            hessian, options["eigenvalues"], options["iterations"], options["tolerance"], options["seed"]
        )
        values: dict[str, float | None] = {
            "hessian_top": found.values[0],
            "hessian_top_residual": found.residuals[0],
            "hessian_iterations": float(found.iterations),
        }
        if options["vectors"]:
            trace = analysis.trace(hessian, options["vectors"], options["seed"])
            values |= {"hessian_trace": trace.value, "hessian_trace_error": trace.error}
    values["hessian_weights"] = float(hessian.size)
    numbers = list(range(1, len(found.values) + 1))
    return Measured(values, {"number": numbers, "eigenvalue": list(found.values), "residual": list(found.residuals)})
