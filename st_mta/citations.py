"""BibTeX of the methods, for losses and model cards."""

from __future__ import annotations

MTA4DPR = """
@inproceedings{lu-etal-2024-mta4dpr,
    title = "{MTA4DPR}: Multi-Teaching-Assistants Based Iterative Knowledge Distillation for Dense Passage Retrieval",
    author = "Lu, Qixi and Xun, Endong and Tang, Gongbo",
    booktitle = "Proceedings of the 2024 Conference on Empirical Methods in Natural Language Processing",
    month = nov,
    year = "2024",
    publisher = "Association for Computational Linguistics",
    url = "https://aclanthology.org/2024.emnlp-main.336",
}
"""
