"""`accelerate launch -m unirex.train --config X.yaml`: trains a model that explains itself, and judges it."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (`unirex.training.run`).

    Help and what is wrong with the settings come before torch is imported, which takes seconds. Everything is imported
    here, so that Ctrl-C is quiet meanwhile.
    """
    try:
        from unirex.config.command_line import fail

        try:
            from unirex.config.files import check_files
            from unirex.config.run import parse

            given = list(sys.argv[1:] if argv is None else argv)
            config = parse(given, prog="unirex.train", description=__doc__ or "")
            check_files(config)
            from unirex.training.run import main as train
        except (ValueError, OSError, ImportError) as error:
            return fail(error)
        return train(config)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
