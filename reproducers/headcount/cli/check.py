"""`headcount check`: which releases prune a user's own network right, with the user's own call."""

from pathlib import Path

from headcount import builds, check, environment, errors, examine, explore, oracle, results
from headcount.cli import shared
from headcount.report import check as report
from headcount.report import console, own

#: What `--new` writes: it runs as it stands.
EXAMPLE = '''"""What Headcount checks: a network, its example inputs, and how the pruner is called."""

import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification


def check(layers=2):
    sizes = dict(hidden_size=48, num_hidden_layers=layers, num_attention_heads=6, intermediate_size=96, image_size=32)
    net = ViTForImageClassification(ViTConfig(**sizes)).eval()
    projections = ("query", "key", "value", "q_proj", "k_proj", "v_proj")  # in either transformers
    return net, torch.randn(1, 3, 32, 32), dict(
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[net.classifier],
        num_heads={layer: 6 for name, layer in net.named_modules() if name.endswith(projections)},
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=1 / 3,
    )


# Where the usual attributes are not enough, this sets what the pruned network needs before it is called again:
# def update(net, pruner): ...
# Where the criterion needs gradients, this makes them before each step:
# def before_step(net, pruner): ...
'''

_INDENTED = "\n".join(f"    {line}".rstrip() for line in EXAMPLE.partition("\n\n\n# Where")[0].splitlines()[2:])

add = shared.command(
    "check",
    "which releases prune your own network right, with your own call",
    shared.option("file", metavar="FILE.py[:NAME]", help="defines check() or NAME(), or is a script that prunes"),
    shared.option(
        "--new", action="store_true", help="write FILE.py: an example to start from, which runs as it stands"
    ),
    shared.either(
        shared.option(
            "--build", action="append", default=[], metavar="SPEC", help="a release, a checkout, CLONE@REF; several"
        ),
        shared.option("--releases", action="store_true", help="every release (the default)"),
    ),
    shared.option(
        "--timeout",
        type=shared.seconds,
        default=check.TIMEOUT,
        metavar="S",
        help=f"seconds on one build before that is a failure (default: {check.TIMEOUT:g})",
    ),
    shared.SET,
    shared.WITH,
    shared.option(
        "--results", type=Path, metavar="DIR", help="keep what was judged in a file there, for headcount report"
    ),
    shared.JSON,
    more=f"""
The file is as a script of yours that prunes, but returns the network, its inputs and the pruner's arguments:

{_INDENTED}

An unmodified script works too, if it defines no check(): it is run to its end, and what its pruners did is
judged. The weights are replaced, so that each that is left says where it comes from. What belongs together is
found in the dense network, and never asked of the pruner. The network's own code runs in an isolated process.

--with puts packages beside the base environment, whose torch stays unless another is named. timm needs torchvision,
and that a torch that it has a build for: --with timm==1.0.31 --with torchvision==0.29.1 --with torch==2.14.1.""",
    examples=(
        "--new mine.py",
        "mine.py",
        "mine.py --build ../Torch-Pruning --set iterative_steps=2",
    ),
    exit_codes="""exit codes: 0 the newest of the builds prunes it right, 1 it breaks a promise, 2 the file or
the call is at fault, 3 not judged, 4 the set-up failed, 130 interrupted.""",
)


def run(options: shared.Options) -> int:
    if options.new:
        path = Path(options.file)
        shared.check_new(path)
        shared.write_new(path, EXAMPLE)
        shared.out(f"{path} is written: change it to your network, then: headcount check {path}")
        return errors.ExitCode.CLEAN
    file = shared.file_changed(options.file, options.set)
    named = (builds.prepare(builds.parse(spec), say=console.say) for spec in options.build)
    prepared = [*(named if options.build else (overlay for _, overlay in shared.releases()))]
    found: list[check.Checked] = []
    with console.progress(len(prepared)) as steps:
        for each in check.check_all(prepared, file, options.timeout):
            steps.done(f"{each.build.label} {each.judgement.verdict.kind}")
            found.append(each)
    _refuse_unknown(file, found)
    last = report.newest(found)
    cured = _cured(file, last)
    text = "\n\n".join(filter(None, (report.text(file, found), "\n".join(own.causes(cured)))))
    shared.answer(
        options.json,
        text,
        lambda: report.to_json(file, found) | {"explained_by": sorted(cured.cured or ()) if cured else []},
    )
    if options.results:
        _keep(options.results, file, found)
    return _exit_code(last)


def _cured(file: check.File, last: check.Checked) -> explore.OwnCall | None:
    """Return the newest build's failure with the known defects whose remedies make it right; None if it does not fail.

    If the pruning never ends, only the remedies for that are tried: any other try would not end either.
    """
    if not last.judgement.verdict.is_failure:
        return None
    console.say(f"looking for the known defect that {last.build.label} fails by")
    with examine.Pool(also=check.PRELOADED) as pool:
        (call,) = explore.own_cured(pool, last.build, [explore.OwnCall(file, last)])
    return call


def _refuse_unknown(file: check.File, found: list[check.Checked]) -> None:
    """Refuse a call that no build can take.

    Raises:
        UsageError: it has a parameter that none has.
    """
    if all(each.judgement.verdict.kind is oracle.Kind.NOT_APPLICABLE for each in found):
        detail = found[-1].sight.observation.detail
        raise errors.UsageError(f"{file.name}: {detail}", "change the pruner's arguments")


def _keep(folder: Path, file: check.File, found: list[check.Checked]) -> None:
    """Write what was judged, a row a build, and say where.

    Raises:
        SetupError: it cannot be written.
    """
    transformers = environment.environment()["transformers"]
    path = folder / f"check-{transformers}-{file.path.stem}-{results.stamp()}.jsonl"
    with (
        shared.writes(path, "--results DIR names another"),
        results.Writer(path, [each.build for each in found]) as writer,
    ):
        for each in found:
            writer.write(results.Network.of(file, each))
    console.say(f"results: {path}")


def _exit_code(newest: check.Checked) -> int:
    if newest.judgement.verdict.is_failure:
        return errors.ExitCode.REGRESSION
    return errors.ExitCode.CLEAN if newest.judgement.is_right else errors.ExitCode.INDETERMINATE
