"""The command ``st-mta``: finds the verb, runs it, and turns what a user can mend into one message."""

from __future__ import annotations

import importlib
import logging
import sys

from st_mta import __version__
from st_mta.atomic import is_full_disk
from st_mta.cli.parse import parse
from st_mta.errors import InputError
from st_mta.run.stopping import Stopped, stopping_on_sigterm

# Imported only when asked for, so that --help answers at once.
VERBS = {
    "quickstart": "distil a small retriever on this machine's own Python documentation, in minutes, offline",
    "distill": "distil a teacher and assistants into a student on your collection",
    "evaluate": "measure models on a collection, with run files and a paired test",
    "score": "score query-passage candidates with a model and keep the scores",
    "mine": "mine candidates for every query from several retrievers",
    "teacher": "tune a cross-encoder on your collection, and fuse it with others where that is better",
    "assistants": "make diverse assistants from one pretrained encoder",
    "diagnose": "compare assistants and their fusions with the teacher, before any training",
    "report": "write a finished run's report anew: one HTML page, and Markdown",
    "push": "publish a finished run on the Hub: student, card and evidence",
    "push-scores": "publish stored scores on the Hub as a dataset",
    "cache": "list, clear or shrink stored scores and embeddings",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line; the exit code is 0, 2 where the input was wrong, 130 or 143 where it was stopped."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"st-mta {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        return _failed(f"st-mta: no command {verb!r}; there are {', '.join(VERBS)}.")
    try:
        with stopping_on_sigterm():
            _set_up_messages()
            module = importlib.import_module(f"st_mta.cli.{verb.replace('-', '_')}")
            description, _, example = (module.__doc__ or "").partition("\n\nExample:\n")
            module.run(parse(module.Config, rest, verb, description, example.rstrip()))
    except Stopped as stop:
        return _failed(f"st-mta {verb}: {stop}", code=stop.code)
    except InputError as error:
        return _failed(f"st-mta {verb}: {' '.join(str(error).split())}")
    except Exception as error:
        # Full disks come as errors of many kinds: from the system, from safetensors, from torch.
        if not is_full_disk(error):
            raise
        return _failed(
            f"st-mta {verb}: The disk is full ({' '.join(str(error).split())}). Everything finished before is whole; "
            "free some space (st-mta cache lists and clears stored scores), then run the same command again."
        )
    except KeyboardInterrupt:
        return _failed(f"st-mta {verb}: interrupted; the same command resumes where it stopped.", code=130)
    return 0


def _failed(message: str, code: int = 2) -> int:
    print(message, file=sys.stderr)
    return code


def _set_up_messages() -> None:
    """Progress of the stages on standard error; of the libraries only warnings."""
    import datasets
    import transformers

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("st_mta").setLevel(logging.INFO)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def overview() -> str:
    """The page printed by ``st-mta --help``."""
    width = max(map(len, VERBS))
    return "\n".join(
        (
            "Distils a strong but slow ranker and several retrievers into one small, fast retriever.\n",
            "usage: st-mta COMMAND [options]        st-mta COMMAND --help\n",
            *(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
