"""Language models as rerankers: how they are found, asked, cut, padded and scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer, Qwen3ForCausalLM, Qwen3ForSequenceClassification, T5ForConditionalGeneration

from st_mta.errors import InputError
from st_mta.scorers import CrossEncoderScorer, LanguageModelReranker, RerankingForm, load_scorer
from st_mta.scorers.language_model import as_cross_encoder
from st_mta.scorers.reranking_forms import FORMS
from st_mta.stores.peculiarities import peculiarities
from tests.reference import reranking_prompt
from tests.tiny import (
    saved,
    tiny_language_model,
    tiny_language_model_reranker,
    tiny_sequence_to_sequence,
)

FORM = {"prompt": "query: {query} text: {document} is it good?", "true_token": "good", "false_token": "bad"}
PAIRS = (
    ["what is a cat", "why", "how fast is the old train on the bridge"],
    ["a cat eats fish and drinks milk", "the sun", "the train is fast " * 8],
)
EXACT = {"device": "cpu", "precision": "fp32"}


def plainly(model: CrossEncoder, queries: list[str], passages: list[str], batch_size: int = 1) -> np.ndarray:
    """What the host itself gives."""
    pairs = list(zip(queries, passages))
    return model.predict(pairs, batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False)


def test_a_reranker_saved_by_the_host_scores_as_there(tmp_path):
    path = saved(tiny_language_model_reranker(), tmp_path / "saved")
    scorer = load_scorer(path, **EXACT)
    expected = plainly(CrossEncoder(path, device="cpu"), *PAIRS)
    assert (scorer.kind, type(scorer)) == ("cross-encoder", CrossEncoderScorer)
    np.testing.assert_allclose(scorer.predict(*PAIRS), expected, atol=1e-5)
    assert load_scorer(f"lm-reranker:{path}", **EXACT).fingerprint == scorer.fingerprint
    with pytest.raises(InputError, match="saved as a cross-encoder"):
        load_scorer(f"lm-reranker:{path}#qwen3")


def test_scores_are_differences_of_raw_logits(tmp_path):
    path = tiny_language_model(tmp_path / "bare")
    scorer = load_scorer(f"lm-reranker:{path}", form=FORM, **EXACT)
    model, tokenizer = Qwen3ForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    expected = []
    for query, passage in zip(*PAIRS):
        text = f"query: {query} text: {passage} is it good?"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        logits = model(**ids).logits[0, -1].detach()
        answers = tokenizer.convert_tokens_to_ids(["good", "bad"])
        expected.append(float(logits[answers[0]] - logits[answers[1]]))
    np.testing.assert_allclose(scorer.predict(*PAIRS), expected, atol=1e-4)
    assert max(map(abs, expected)) > 1  # no sigmoid


@pytest.mark.parametrize("make", [tiny_language_model, tiny_sequence_to_sequence])
def test_a_bare_language_model_is_never_taken_for_a_bi_encoder(tmp_path, make):
    path = make(tmp_path / "llama")
    with pytest.raises(InputError, match="qwen3, bge-gemma, mxbai, monot5"):
        load_scorer(path)
    with pytest.raises(InputError, match="lm-reranker:"):
        load_scorer(f"cross-encoder:{path}")
    assert load_scorer(f"bi-encoder:{path}", **EXACT).kind == "bi-encoder"


def test_other_models_are_no_language_models(tmp_path):
    from tests.tiny import tiny_cross_encoder, tiny_decoder_bi_encoder

    path = saved(tiny_decoder_bi_encoder(), tmp_path / "embedder")
    assert load_scorer(path, **EXACT).kind == "bi-encoder"
    with pytest.raises(InputError, match="a language model"):
        load_scorer(f"lm-reranker:{path}")
    cross = saved(tiny_cross_encoder(), tmp_path / "cross")
    assert load_scorer(f"lm-reranker:{cross}", **EXACT).kind == "cross-encoder"


FAMILIES = {
    "Qwen3-Reranker-0.6B": ("qwen3", ("yes", "no")),
    "bge-reranker-v2-gemma": ("bge-gemma", ("Yes",)),
    "mxbai-rerank-base-v2": ("mxbai", ("1", "0")),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("by", ["name", "card", "word"])
def test_the_published_families_are_known_by_name_card_or_word(tmp_path, name, by):
    family, words = FAMILIES[name]
    path = tiny_language_model(tmp_path / (name if by == "name" else "mine"), words=words)
    if by == "card":
        (Path(path) / "README.md").write_text(f"---\nbase_model: vendor/{name}\n---\nMine.\n")
    scorer = load_scorer(f"lm-reranker:{path}#{family}" if by == "word" else path, **EXACT)
    chosen = as_cross_encoder(path, FORMS[family], "cpu")
    np.testing.assert_allclose(scorer.predict(*PAIRS), plainly(chosen, *PAIRS), atol=1e-5)


@pytest.mark.parametrize("family", FORMS)
def test_prompts_are_those_of_the_papers(tmp_path, family):
    query, document = 'what "is" {it}?\n{{ x }}', "東京 <b>& 'milk'</b> \\n"
    tokenizer = AutoTokenizer.from_pretrained(tiny_language_model(tmp_path / "model"))
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    tokenizer.chat_template, tokenizer.bos_token = FORMS[family].chat_template, "[CLS]"
    expected = reranking_prompt(family, query, document).replace("<bos>", "[CLS]")
    assert tokenizer.apply_chat_template(messages, tokenize=False) == expected
    parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
    assert tokenizer.apply_chat_template(parts, tokenize=False) == expected
    if FORMS[family].instruction:
        told = tokenizer.apply_chat_template([{"role": "system", "content": "Be kind"}, *messages], tokenize=False)
        assert told == expected.replace(FORMS[family].instruction, "Be kind")


def test_a_chat_template_that_asks_is_used(tmp_path):
    path = tiny_language_model(tmp_path / "own", words=("yes", "no"))
    tokenizer = AutoTokenizer.from_pretrained(path)
    own = RerankingForm("judge yes or no, query: {query} document: {document} answer:", "yes", "no")
    tokenizer.chat_template = own.chat_template
    tokenizer.save_pretrained(path)
    scorer = load_scorer(path, **EXACT)
    np.testing.assert_allclose(scorer.predict(*PAIRS), plainly(as_cross_encoder(path, own, "cpu"), *PAIRS), atol=1e-5)
    tokenizer.chat_template = "{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(path)
    with pytest.raises(InputError, match="does not say how"):
        load_scorer(path)


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("tokens_per_batch", [1, 10_000])
def test_padding_and_company_change_no_score(tmp_path, pad, tokens_per_batch):
    path = tiny_language_model(tmp_path / "model", pad=pad)
    scorer = load_scorer(f"lm-reranker:{path}", form=FORM, tokens_per_batch=tokens_per_batch, **EXACT)
    alone = [float(scorer.predict([query], [passage])[0]) for query, passage in zip(*PAIRS)]
    np.testing.assert_allclose(scorer.predict(*PAIRS), alone, atol=2e-5)
    model = scorer._frozen.model
    np.testing.assert_allclose(plainly(model, *PAIRS, batch_size=3), alone, atol=2e-5)  # padded, not packed
    assert scorer._frozen.packs


def test_a_classifier_without_a_padding_token_scores_batches(tmp_path):
    path = tiny_language_model(tmp_path / "head", pad=False, kind=Qwen3ForSequenceClassification)
    scorer = load_scorer(path, **EXACT)
    alone = [float(scorer.predict([query], [passage])[0]) for query, passage in zip(*PAIRS)]
    assert scorer.kind == "cross-encoder" and np.std(alone) > 0.01
    np.testing.assert_allclose(plainly(scorer._frozen.model, *PAIRS, batch_size=3), alone, atol=2e-5)
    plain = Qwen3ForSequenceClassification.from_pretrained(path).eval()
    ids = AutoTokenizer.from_pretrained(path)(PAIRS[0][0], PAIRS[1][0], return_tensors="pt")
    ids.pop("token_type_ids", None)
    assert alone[0] == pytest.approx(plain(**ids).logits.item(), abs=1e-4)


def test_the_end_of_the_prompt_survives_long_passages(tmp_path):
    model = tiny_language_model_reranker()
    scorer = CrossEncoderScorer(model, max_length=10, precision="fp32")
    frozen = scorer._frozen.model
    long = frozen.preprocess([("cat fish", "the " * 200 + "dog")])["input_ids"][0]
    short = frozen.preprocess([("cat fish", "dog")])["input_ids"][0]
    assert len(long) == frozen.max_seq_length == 20 + 17  # 15 of the prompt, and two of a shortest pair
    ending = frozen.tokenizer.encode("is it good?", add_special_tokens=False)
    assert long[-len(ending) :].tolist() == short[-len(ending) :].tolist() == ending
    assert long[:6].tolist() == short[:6].tolist()  # the query too
    assert "dog" not in frozen.tokenizer.decode(long)


def test_in_bf16_answers_are_not_rounded_to_bf16(tmp_path):
    path = saved(tiny_language_model_reranker(), tmp_path / "saved")
    exact = load_scorer(path, **EXACT).predict(*PAIRS)
    scorer = load_scorer(path, device="cpu", precision="bf16")
    scores = scorer.predict(*PAIRS)
    np.testing.assert_allclose(scores, exact, atol=0.1 * np.abs(exact).max())
    assert (torch.tensor(scores).bfloat16().float().numpy() != scores).all()
    alone = [float(scorer.predict([query], [passage])[0]) for query, passage in zip(*PAIRS)]
    np.testing.assert_allclose(scores, alone, atol=0.02 * np.abs(exact).max())
    assert scorer.fingerprint != load_scorer(path, **EXACT).fingerprint


def test_an_instruction_is_given_as_the_prompt_of_the_query(tmp_path):
    form = {**FORM, "prompt": "{instruction} {query} {document} good?", "instruction": "is this big"}
    path = tiny_language_model(tmp_path / "model")
    plain = LanguageModelReranker(path, form=form, **EXACT)
    told = LanguageModelReranker(path, form=form, prompts={"query": "is this red"}, **EXACT)
    other = LanguageModelReranker(path, form={**form, "instruction": "is this red"}, **EXACT)
    assert not np.allclose(plain.predict(*PAIRS), told.predict(*PAIRS), atol=1e-3)
    np.testing.assert_allclose(told.predict(*PAIRS), other.predict(*PAIRS), atol=1e-5)
    assert told.fingerprint != plain.fingerprint
    as_before = LanguageModelReranker(path, form=form, prompts={"query": form["instruction"]}, **EXACT)
    np.testing.assert_array_equal(as_before.predict(*PAIRS), plain.predict(*PAIRS))
    with pytest.raises(InputError, match="document"):
        LanguageModelReranker(path, form=form, prompts={"document": "x"})


@pytest.mark.parametrize("make", [tiny_language_model, tiny_sequence_to_sequence])
def test_an_instruction_that_the_prompt_does_not_show_is_refused(tmp_path, make):
    path = make(tmp_path / "model")
    with pytest.raises(InputError, match="place for an instruction"):
        LanguageModelReranker(path, form=FORM, prompts={"query": "is this red"})


def seq2seq_scores(path: str, queries: list[str], passages: list[str]) -> list[float]:
    model, tokenizer = T5ForConditionalGeneration.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    answers = tokenizer.convert_tokens_to_ids(["good", "bad"])
    scores = []
    for query, passage in zip(queries, passages):
        ids = tokenizer(f"Query: {query} Document: {passage} Relevant:", return_tensors="pt")
        start = torch.tensor([[model.config.decoder_start_token_id]])
        logits = (
            model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], decoder_input_ids=start)
            .logits[0, 0]
            .detach()
        )
        scores.append(float(logits[answers[0]] - logits[answers[1]]))
    return scores


def test_sequence_to_sequence_models_answer_with_their_first_token(tmp_path):
    path = tiny_sequence_to_sequence(tmp_path / "monot5-tiny")
    form = RerankingForm(FORMS["monot5"].prompt, "good", "bad")
    scorer = load_scorer(f"lm-reranker:{path}", form=form, tokens_per_batch=10_000, **EXACT)
    assert (scorer.kind, scorer.layers) == ("cross-encoder", 2)
    np.testing.assert_allclose(scorer.predict(*PAIRS), seq2seq_scores(path, *PAIRS), rtol=1e-4, atol=1e-4)
    again = saved(as_cross_encoder(path, form, "cpu"), tmp_path / "saved")
    loaded = load_scorer(again, **EXACT)
    assert loaded.fingerprint == scorer.fingerprint
    assert "code" not in peculiarities(loaded._frozen.model)  # a comment in our source changes no fingerprint
    np.testing.assert_allclose(loaded.predict(*PAIRS), scorer.predict(*PAIRS), atol=1e-5)


def test_sequence_to_sequence_prompts_keep_their_end(tmp_path):
    path = tiny_sequence_to_sequence(tmp_path / "model")
    scorer = LanguageModelReranker(path, form={**FORM, "prompt": FORMS["monot5"].prompt}, max_length=20, **EXACT)
    model = scorer._frozen.model
    long = model.preprocess([("cat", "the " * 200)])["input_ids"][0]
    short = model.preprocess([("cat", "the")])["input_ids"][0]
    assert len(long) == model.max_seq_length and long[-9:].tolist() == short[-9:].tolist()


def test_answers_that_are_no_single_token_are_refused(tmp_path):
    path = tiny_language_model(tmp_path / "Qwen3-Reranker-tiny")
    with pytest.raises(InputError, match="'yes' is one token"):
        load_scorer(path)


@pytest.mark.parametrize("prompt", ["{query} only", "{query} {document} {word}", "{query} {document} {", "{} {query}"])
def test_prompts_without_query_and_document_are_refused(prompt):
    with pytest.raises(InputError, match="{query}"):
        RerankingForm(prompt, "yes")


def test_unknown_forms_are_refused(tmp_path):
    path = tiny_language_model(tmp_path / "model")
    with pytest.raises(InputError, match="one of qwen3"):
        load_scorer(f"lm-reranker:{path}#gpt")
    with pytest.raises(InputError, match="one of qwen3"):
        load_scorer(f"lm-reranker:{path}", form={"prompt": "x"})


def test_a_folder_says_what_it_is_without_being_loaded(tmp_path):
    from st_mta.scorers.saved_kind import language_model, saved_kind

    for architecture, encoder, expected in (
        ("GPT2LMHeadModel", False, "causal"),
        ("LlamaForCausalLM", False, "causal"),
        ("T5ForConditionalGeneration", True, "seq2seq"),
        ("Qwen2VLForConditionalGeneration", False, "causal"),
        ("Qwen3Model", False, None),
        ("T5EncoderModel", True, None),
        ("BertForMaskedLM", False, None),
    ):
        config = {"architectures": [architecture], "is_encoder_decoder": encoder}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert (language_model(str(tmp_path)), saved_kind(str(tmp_path))) == (expected, "backbone")


def test_answers_that_are_the_same_are_refused(tmp_path):
    with pytest.raises(InputError, match="'good' for both.*every score would be 0"):
        RerankingForm(FORM["prompt"], "good", "good")
    with pytest.raises(InputError, match="'good' and '▁good'.*every score would be 0"):
        LanguageModelReranker(tiny_language_model(tmp_path), form={**FORM, "false_token": "▁good"})


@pytest.mark.parametrize("field", ["{query!r}", "{query!s}", "{query:>10}", "{query.name}", "{query[0]}"])
def test_prompts_with_conversions_are_refused(field):
    with pytest.raises(InputError, match="no other words in braces"):
        RerankingForm(field + " {document}", "yes", "no")


@pytest.mark.parametrize("name", ["prompt", "true_token", "false_token", "instruction"])
def test_a_form_is_made_of_texts(name):
    with pytest.raises(InputError, match=f"{name} as a text, got 5, a int"):
        RerankingForm(**{**FORM, name: 5})
