"""The command ``st-mta``: finds the verb, runs it, and turns what a user can mend into one message."""

from __future__ import annotations

import difflib
import importlib
import io
import logging
import os
import signal
import sys

from st_mta import __version__
from st_mta.cli.parse import parse
from st_mta.errors import InputError
from st_mta.os_errors import explained
from st_mta.run.stopping import Stopped, stopping_on_sigterm
from st_mta.visible import visible

# Imported only when asked for, so that --help answers at once.
VERBS = {
    "quickstart": "distil a small retriever on this machine's own Python documentation, in minutes, offline",
    "distill": "distil a teacher and assistants into a student on your collection",
    "evaluate": "measure models on a collection, with run files and a paired test",
    "score": "score query-passage candidates with a model and keep the scores",
    "encode": "encode a collection with a bi-encoder and keep the embeddings",
    "mine": "mine candidates for every query from several retrievers",
    "import": "turn scores that others have published into a collection and a teacher",
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
    if arguments is None:
        arguments = sys.argv[1:]
        _open_streams()
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the output has seen enough; without this the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"st-mta {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb.lower().replace("_", "-"), VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(VERBS)}."
        return _failed(f"st-mta: no command {verb!r}; {hint}")
    try:
        with stopping_on_sigterm():
            _set_up_messages()
            module = importlib.import_module(f"st_mta.cli.{verb.replace('-', '_')}")
            description, _, example = (module.__doc__ or "").partition("\n\nExample:\n")
            module.run(parse(module.Config, rest, verb, description, example.rstrip()))
    except Stopped as stop:
        return _failed(f"st-mta {verb}: {stop}", code=stop.code)
    except InputError as error:
        return _failed(f"st-mta {verb}: {error}")
    except BrokenPipeError:
        raise
    except Exception as error:
        if (mendable := explained(error)) is None:
            raise
        return _failed(f"st-mta {verb}: {mendable}")
    except KeyboardInterrupt:
        return _failed(f"st-mta {verb}: interrupted; the same command resumes where it stopped.", code=130)
    return 0


def _failed(message: str, code: int = 2) -> int:
    """Prints one line, in which control characters are shown and not obeyed."""
    print(visible(" ".join(message.split())), file=sys.stderr)
    return code


def _open_streams() -> None:
    """Opens closed streams, whose numbers the next files would get; signs that one cannot show are spelt."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Visible(logging.Formatter):
    """Messages in which names are shown as they are, control characters spelt."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _set_up_messages() -> None:
    """Progress of the stages on standard error; of the libraries only warnings."""
    import datasets
    import transformers

    handler = logging.StreamHandler()
    handler.setFormatter(_Visible("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
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
