"""Put VoVNet in a config: ``mmvovnet swap CONFIG --arch V-39-eSE``.

It writes a small config that inherits from CONFIG and changes what the
backbone changes, and says what that is.
"""

import argparse
import shlex
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write a config that has VoVNet in place of its backbone'
    )
    parser.add_argument(
        'config', help='a path, or a name such as mmdet::dino/dino-4scale_...'
    )
    parser.add_argument(
        '--arch', default='V-39-eSE', help='which VoVNet (V-39-eSE)'
    )
    parser.add_argument(
        '--weights',
        help="a name of docs/checkpoints.md, a file, a URL, or 'none'; by "
        'default those that our configs start from',
    )
    parser.add_argument(
        '-o', '--out', type=Path, help='the file (default: CONFIG_ARCH.py)'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace the file'
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='take a step of training on two toy images, and count',
    )
    args = parser.parse_args()
    if args.out and args.out.suffix != '.py':
        parser.error(f"--out is a .py file, not '{args.out}'")
    return args


def main() -> None:
    """Swap, write and report."""
    args = parse_args()
    source, name = args.config, Path(args.config).stem
    arch = args.arch.lower().replace('-', '', 1).replace('v', 'vovnet', 1)
    target = args.out or Path(f'{name}_{arch}.py')
    if target.exists() and not args.force:
        raise SystemExit(f"error: '{target}' exists; --force replaces it")
    # Not before: these take seconds to import.
    from mmengine.config import Config

    from mmvovnet.engine.known_warnings import ignore_known_warnings
    from mmvovnet.fileio import keep_apart
    from mmvovnet.swap import SwapError, plan_swap
    from mmvovnet.swap.costs import counts
    from mmvovnet.swap.write import base_of, config_text, write_config

    ignore_known_warnings()
    try:
        keep_apart([target], [source])
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    try:
        if '::' not in source and not Path(source).is_file():
            raise SwapError(f"there is no file '{source}'")
        lazy = '::' not in source and Config._is_lazy_import(source)
        base = base_of(source, target, lazy)
        if '::' in source:
            cfg = Config.fromstring(f'_base_ = {base!r}', '.py')
        else:
            cfg = Config.fromfile(source)
        swap = plan_swap(cfg, args.arch, args.weights, with_step=args.check)
        command = ['mmvovnet', 'swap', source, '--arch', args.arch]
        command += ['--weights', args.weights] if args.weights else []
        text = config_text(swap, base, shlex.join(command), lazy)
        write_config(swap, text, target)
    except SwapError as error:
        raise SystemExit(f'error: {source}: {error}') from None
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise SystemExit(
            f'error: {source}: {type(error).__name__}: {error}'
        ) from None
    print(text)
    for line in swap.left:
        print(f'left alone: {line}')
    if args.check:
        print(counts(swap, cfg))
    print(target)


if __name__ == '__main__':
    sys.exit(main())
