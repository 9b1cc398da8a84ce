"""All levels in the whole flow: the loss of MD2PR with the targets of MTA4DPR."""

from __future__ import annotations

from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from st_mta import (
    BM25,
    AttentionMSELoss,
    HiddenStateMSELoss,
    ListwiseKLLoss,
    MultiAssistantTrainer,
    MultiLevelDistillationLoss,
)
from tests.losses.word_level.bpe import bpe_cross_encoder
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments


class Logs(TrainerCallback):
    def __init__(self):
        self.entries = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.entries.append(logs)


def test_word_level_and_assistants_train_one_student(tmp_path, toy_collection):
    reader, assistant, logs = bpe_cross_encoder(), tiny_sentence_transformer(seed=5), Logs()

    def every_level(student, targets):
        word = {
            "attention": AttentionMSELoss(student, teacher=reader, distance="kl"),
            "hidden": HiddenStateMSELoss(student, teacher=assistant),
        }
        sentence = ListwiseKLLoss(student, targets=targets)
        return MultiLevelDistillationLoss(student, sentence=sentence, word=word, return_components=True)

    report = MultiAssistantTrainer(
        tiny_sentence_transformer(1),
        toy_arguments(tmp_path / "out", num_iterations=1, learning_rate=3e-3),
        teacher=tiny_sentence_transformer(2),
        assistants=[BM25()],
        collection=toy_collection,
        loss=every_level,
        store=tmp_path / "store",
        callbacks=[logs],
    ).train()
    terms = [entry for entry in logs.entries if "attention" in entry]
    assert terms and all({"contrastive", "sentence", "hidden"} <= entry.keys() for entry in terms)
    assert terms[-1]["hidden"] < terms[0]["hidden"]
    # What is saved is a model of the host alone.
    SentenceTransformer(str(tmp_path / "out" / "student"), device="cpu").encode("a cat")
    assert report["student"]["ndcg@10"] > 0
