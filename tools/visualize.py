"""Draw what a model sees: ``tools/visualize.py IMAGE CONFIG CHECKPOINT``.

Activations and effective receptive field of each stage, and Grad-CAM for the
answer of a detector or classifier. Needs ``mmvovnet[analysis]``.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(
        description='Draw what a model sees in an image'
    )
    parser.add_argument('image', help='image file')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path or URL of the checkpoint')
    parser.add_argument('--out', default='explanation.png', help='the picture')
    args = parser.parse_args()
    for path in (args.image, args.config, args.checkpoint):
        if '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    return args


def main() -> None:
    """Draw the picture, and print the model's answer."""
    args = parse_args()
    # Not before: these take seconds to import.
    from matplotlib.figure import Figure

    from mmvovnet.engine.known_warnings import ignore_known_warnings
    from mmvovnet.fileio import keep_apart

    try:
        keep_apart([args.out], [args.image, args.config, args.checkpoint])
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    ignore_known_warnings()

    import mmvovnet.engine  # noqa: F401
    from mmvovnet.analysis.visualize import draw, explain

    explanation = explain(args.image, args.config, args.checkpoint)
    columns = len(explanation.fields) + 1
    figure = Figure(figsize=(3 * columns, 6.5), layout='constrained')
    draw(figure, explanation)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=120)
    print(f'{args.out}: {explanation.label}, score {explanation.score:.2f}')


if __name__ == '__main__':
    main()
