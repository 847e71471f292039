"""``vaewidgets export``: a model as ONNX graphs, or as a page that needs no kernel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def add_arguments(parser) -> None:
    """Add the formats of ``vaewidgets export`` to an argparse parser."""
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    _add_format(
        formats,
        "onnx",
        _export_onnx,
        file="NAME.onnx",
        help="encoder and decoder for ONNX runtimes",
        description="Write the encoder to NAME-encoder.onnx (x to mu and logvar; of an autoencoder to z) and "
        "the decoder to NAME-decoder.onnx (z to the mean image), for any batch size.",
    )
    _add_format(
        formats,
        "html",
        _export_html,
        file="NAME.html",
        help="the explorer as one page that needs no kernel and no network",
        description="Write the explorer of a model and its atlas as one file that browsers open from disk.",
    )


def run(args) -> int:
    """Write the model in the chosen format and print what was written; return the exit status."""
    return args.write(args)


def _add_format(formats, name: str, write, *, file: str, **texts) -> None:
    """Add the parser of one format: it takes a model and a file, and `write` writes it."""
    parser = formats.add_parser(name, **texts)
    parser.add_argument("model", metavar="MODEL", help="mnist-vae-2d, ..., or a .safetensors file")
    parser.add_argument("file", metavar="FILE", help=file)
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument(
        "--label",
        metavar="LABEL",
        help="of a model that is told the label: the one to fix, by number or name (default: none)",
    )
    parser.set_defaults(write=write)


def _explorable(args):
    """Load the model to export, with its label fixed if it takes one."""
    from vaewidgets.io.checkpoints import load_named, stated_classes
    from vaewidgets.models.classifier import Classifier
    from vaewidgets.models.conditional import ConditionalVAE

    model = load_named(args.model)
    if isinstance(model, Classifier):
        raise ValueError(f"{args.model} is a classifier: it decodes nothing. Export a VAE or an autoencoder.")
    if not isinstance(model, ConditionalVAE):
        if args.label is not None:
            raise ValueError(f"--label is for a ConditionalVAE; {args.model} is a {type(model).__name__}.")
        return model
    names = stated_classes(model)
    if args.label in names:
        return model.given(names.index(args.label))
    if args.label is None or not args.label.isascii() or not args.label.isdigit():
        named = f", or one of {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}" if names else ""
        got = "" if args.label is None else f"; got {args.label}"
        raise ValueError(
            f"{args.model} is told the label: fix it with --label, a number from 0 to {model.classes - 1}"
            f"{named}{got}."
        )
    return model.given(int(args.label))


def _export_onnx(args) -> int:
    from vaewidgets.io.onnx import onnx_paths, to_onnx

    onnx_paths(args.file, overwrite=args.overwrite)  # refuse before torch and the model are loaded
    return _report(to_onnx(_explorable(args), args.file, overwrite=args.overwrite))


def _export_html(args) -> int:
    from vaewidgets.widgets.explorer.html_page import html_path, to_html

    html_path(args.file, overwrite=args.overwrite)
    title = f"Latent explorer: {Path(args.model).stem}"
    return _report([to_html(_explorable(args), args.file, title=title, overwrite=args.overwrite)])


def _report(paths: Iterable[Path]) -> int:
    for path in paths:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0
