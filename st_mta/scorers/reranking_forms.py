"""Language models as rerankers: the prompts and answer tokens of the published families, and those of a user."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from string import Formatter
from typing import Any

from st_mta.errors import InputError

FIELDS = ("query", "document", "instruction", "bos")
"""What stands in braces in a prompt; bos is the token that the tokenizer begins texts with."""
RELEVANCE_EXPERT = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
    "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment "
    "(0 for not relevant, 1 for relevant).\nRelevance:"
)


@dataclass(frozen=True)
class RerankingForm:
    """How a language model is asked whether a passage is relevant, and how its answer is read.

    Attributes:
        prompt: What it reads: text with ``{query}`` and ``{document}``, and ``{instruction}`` and ``{bos}`` where the
            model expects them.
        true_token: The answer "relevant", as one token. The score is the raw logit of this token after the prompt,
        false_token: minus that of this one, the answer "not relevant", if it is given.
        instruction: What stands for ``{instruction}`` unless the user gives another one.

    Raises:
        InputError: If query or document do not occur in the prompt exactly once, anything else stands in braces, or
            both answers are the same.
    """

    prompt: str
    true_token: str
    false_token: str | None = None
    instruction: str = ""

    def __post_init__(self) -> None:
        self._check_tokens()
        fields = [field for _, field in self.parts if field is not None]
        once = all(fields.count(role) == 1 for role in ("query", "document"))
        if not once or not set(fields) <= set(FIELDS):
            raise InputError(
                expected="a prompt with {query} and {document}, each once, and no other words in braces than "
                + " and ".join(f"{{{field}}}" for field in FIELDS[2:]),
                got=repr(self.prompt),
                remedy="write what the model was trained to read; braces that it reads are doubled: {{ and }}",
            )

    @property
    def parts(self) -> list[tuple[str, str | None]]:
        """Literal texts of the prompt, each with what stands in braces after it."""
        try:
            found = list(Formatter().parse(self.prompt))
        except ValueError:  # braces that do not match
            return []
        # With a conversion or a format it is no name of a field: a chat template has none of them.
        return [
            (text, field and field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else ""))
            for text, field, form, conversion in found
        ]

    def _check_tokens(self) -> None:
        texts = {"prompt": self.prompt, "true_token": self.true_token, "instruction": self.instruction}
        texts |= {} if self.false_token is None else {"false_token": self.false_token}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InputError(
                    expected=f"{name} as a text",
                    got=f"{text!r}, a {type(text).__name__}",
                    remedy="write tokens as the tokenizer's words for them, such as 'yes', not as their ids",
                )
        if self.true_token == self.false_token:
            raise _same_answers(f"{self.true_token!r} for both")

    @property
    def chat_template(self) -> str:
        """The same in Jinja, for a pair of messages; a system message before them replaces the instruction."""
        fields = {
            "query": _content("query"),
            "document": _content("document"),
            "bos": "{{ bos_token }}",
            "instruction": _content("system", self.instruction),
        }
        return "".join(_literal(text) + (fields[field] if field else "") for text, field in self.parts)


def answer_ids(tokenizer: Any, true_token: str, false_token: str | None) -> tuple[int, int | None]:
    """The numbers of both answer tokens.

    Raises:
        InputError: If the tokenizer has no such token, or the same for both.
    """
    true_id = token_id(tokenizer, true_token)
    false_id = None if false_token is None else token_id(tokenizer, false_token)
    if true_id == false_id:
        raise _same_answers(f"{true_token!r} and {false_token!r}, which the tokenizer reads alike")
    return true_id, false_id


def _same_answers(got: str) -> InputError:
    return InputError(
        expected="two answers, true_token and false_token, that differ",
        got=got,
        consequence="every score would be 0",
        remedy="give the tokens that the model was trained to answer with, or leave false_token out",
    )


def _literal(text: str) -> str:
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""


def _content(role: str, default: str | None = None) -> str:
    """The content of the first message of a role, which is a text, or parts of which the first is a text."""
    found = f'(messages | selectattr("role", "equalto", "{role}") | map(attribute="content") | first'
    found += ")" if default is None else f" | default({json.dumps(default, ensure_ascii=False)}, true))"
    return f"{{%- set text = {found} -%}}{{{{ text if text is string else text[0].text }}}}"


FORMS = {
    "qwen3": RerankingForm(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "yes",
        "no",
        "Given a web search query, retrieve relevant passages that answer the query",
    ),
    "bge-gemma": RerankingForm(
        "{bos}A: {query}\nB: {document}\n{instruction}",
        "Yes",
        None,
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing "
        "a prediction of either 'Yes' or 'No'.",
    ),
    "mxbai": RerankingForm(
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nquery: {{query}}\ndocument: {{document}}\n{RELEVANCE_EXPERT}<|im_end|>\n"
        "<|im_start|>assistant\n",
        "1",
        "0",
    ),
    "monot5": RerankingForm("Query: {query} Document: {document} Relevant:", "▁true", "▁false"),
}
"""The forms of Qwen3-Reranker, bge-reranker-v2-gemma, mxbai-rerank-v2 and monoT5, as their authors publish them."""
NAMES = {
    "qwen3": re.compile(r"qwen3[-_]?reranker"),
    "bge-gemma": re.compile(r"bge[-_]reranker[-_]v2[-_]gemma"),
    "mxbai": re.compile(r"mxbai[-_]rerank[-_](base|large)[-_]v2"),
    "monot5": re.compile(r"mono[-_]?t5"),
}
"""By which names, in lower case, a model of each family goes."""


def form_named_in(names: list[str]) -> RerankingForm | None:
    """The form of the family that one of these names belongs to, the first that does; None where none does."""
    for name in names:
        for family, pattern in NAMES.items():
            if pattern.search(name.lower()):
                return FORMS[family]
    return None


def find_form(form: Any) -> RerankingForm:
    """A form as it is, by its word, or from a mapping of its attributes.

    Raises:
        InputError: If it is none of these.
    """
    if isinstance(form, RerankingForm):
        return form
    if isinstance(form, str) and form in FORMS:
        return FORMS[form]
    try:
        return RerankingForm(**form)
    except TypeError as error:
        raise InputError(
            expected=f"a form of reranking: one of {', '.join(FORMS)}, or prompt, true_token and false_token",
            got=repr(form),
            remedy="choose one of these words, or write the prompt and tokens that the model was trained with",
        ) from error


def token_id(tokenizer: Any, token: str) -> int:
    """The number of an answer token.

    Raises:
        InputError: If the tokenizer has no such token.
    """
    found = tokenizer.convert_tokens_to_ids(token)
    if found is not None and (found != tokenizer.unk_token_id or token == tokenizer.unk_token):
        return int(found)
    ids = tokenizer.encode(token.lstrip("▁"), add_special_tokens=False)
    if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
        return int(ids[0])
    raise InputError(
        expected=f"a tokenizer in which the answer {token!r} is one token",
        got=f"{len(ids)} tokens for it" if len(ids) != 1 else "one that does not know it",
        remedy="name the tokens that the model was trained to answer with, as true_token and false_token",
    )
