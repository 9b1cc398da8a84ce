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

MD2PR = """
@misc{li-etal-2023-md2pr,
    title = {{MD2PR}: A Multi-level Distillation based Dense Passage Retrieval Model},
    author = {Haifeng Li and Mo Hai and Dong Tang},
    year = {2023},
    eprint = {2312.16821},
    archivePrefix = {arXiv},
    primaryClass = {cs.IR}
}
"""
