"""The command ``st-mta``: finds the verb, runs it, and turns what a user can mend into one message."""

from __future__ import annotations

import difflib
import importlib
import io
import logging
import os
import signal
import sys
from functools import partial

from st_mta import __version__
from st_mta.cli.launched import (
    ALONE,
    HOW,
    TRAINS,
    Launch,
    as_lost,
    asks_for_help,
    be_silent,
    forget,
    join,
    leave,
    on_rank_0,
    said_elsewhere,
    wait_for_the_end,
)
from st_mta.cli.parse import parse
from st_mta.errors import InputError
from st_mta.os_errors import explained
from st_mta.run.stopping import Stopped, stopping_on_sigterm
from st_mta.visible import visible

# Imported only when asked for, so that --help answers at once.
VERBS = {
    "quickstart": "distil a small retriever on this machine's own Python documentation, in minutes, offline",
    "distill": "distil a teacher and assistants into a student on your collection",
    "cycle": "have a bi-encoder and a cross-encoder teach each other, without judgements",
    "recipes": "list published methods as options for distill, or show one of them",
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
        if not Launch.of(os.environ).leads:
            # Threads of the connection may still run, which abort the process where it takes its time to end.
            os._exit(_run(arguments))
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
    launch = Launch.of(os.environ)
    if not launch.alone(arguments):
        return _with_others(arguments[0], arguments[1:], launch)
    if not launch.leads:
        return 0
    if launch.size > 1:
        forget(os.environ)
        if HOW.get("".join(arguments[:1])) == ALONE and not asks_for_help(arguments):
            _failed(f"st-mta {arguments[0]} runs in one process; the other {launch.size - 1} have ended.")
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
    return _command(verb, rest, Launch())


def _with_others(verb: str, rest: list[str], launch: Launch) -> int:
    """The exit code of a command that several processes run, the same on each of them."""
    if not launch.leads:
        be_silent()
    join(launch)
    from st_mta.processes import processes

    codes: list[int] = []

    def work() -> int:
        codes.append(_command(verb, rest, launch))
        if codes[0] > 128:  # a signal may have come in the middle of a message: the others see that this one ends
            raise SystemExit(codes[0])
        return codes[0]

    try:
        code = work() if HOW[verb] == TRAINS else processes().lead(work)
    except Exception as error:  # on rank 0 that the others have ended, which changes nothing any more
        code = codes[0] if codes else _ended_by(error, verb, launch)
    if code == 0:
        leave()
    return code if codes else _ended(code, launch)


def _command(verb: str, rest: list[str], launch: Launch) -> int:
    """Runs a verb; the exit code, after what is to be said."""
    try:
        with stopping_on_sigterm():
            _set_up_messages(logging.INFO if launch.leads else logging.WARNING)
            module = importlib.import_module(f"st_mta.cli.{verb.replace('-', '_')}")
            description, _, example = (module.__doc__ or "").partition("\n\nExample:\n")
            config = on_rank_0(launch, partial(parse, module.Config, rest, verb, description, example.rstrip()))
            if isinstance(config, int):
                return _ended(config, launch)
            module.run(config)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt, Stopped) as error:
        return _ended_by(error, verb, launch)
    return 0


def _ended(code: int, launch: Launch) -> int:
    """The code of a command that ended; of one that failed elsewhere once that was said."""
    if code and not launch.leads:
        wait_for_the_end()
    return code


def _ended_by(error: BaseException, verb: str, launch: Launch) -> int:
    """The exit code after an error, which is said once: by rank 0, or by the rank that it came from.

    Raises:
        Exception: The error itself, where no user can mend it.
    """
    name = f"st-mta {verb}" if launch.leads else f"st-mta {verb}, rank {launch.rank}"
    if isinstance(error, Stopped):
        return _failed(f"{name}: {error}", error.code) if launch.leads else error.code
    if isinstance(error, KeyboardInterrupt):
        said = f"{name}: interrupted; the same command resumes where it stopped."
        return _failed(said, code=130) if launch.leads else 130
    mendable = error if isinstance(error, InputError) else explained(error) or as_lost(error, launch)
    if said_elsewhere(error):
        return _ended(1 if mendable is None else 2, launch)
    if mendable is None:
        raise error
    return _failed(f"{name}: {mendable}")


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


def _set_up_messages(level: int) -> None:
    """Messages on standard error, from this level on; of the libraries only warnings."""
    import datasets
    import transformers

    handler = logging.StreamHandler()
    handler.setFormatter(_Visible("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("st_mta").setLevel(level)
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
