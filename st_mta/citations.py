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

EMBED_DISTILL = """
@misc{kim2023embeddistill,
    title = {{EmbedDistill}: A Geometric Knowledge Distillation for Information Retrieval},
    author = {Kim, Seungyeon and Rawat, Ankit Singh and Zaheer, Manzil and Jayasumana, Sadeep and
        Sadhanala, Veeranjaneyulu and Jitkrittum, Wittawat and Menon, Aditya Krishna and Fergus, Rob and
        Kumar, Sanjiv},
    year = {2023},
    eprint = {2301.12005},
    archivePrefix = {arXiv},
    primaryClass = {cs.IR}
}
"""

JASPER = """
@misc{zhang2024jasper,
    title = {Jasper and Stella: distillation of {SOTA} embedding models},
    author = {Zhang, Dun and Li, Jiacheng and Zeng, Ziyang and Wang, Fulong},
    year = {2024},
    eprint = {2412.19048},
    archivePrefix = {arXiv},
    primaryClass = {cs.IR}
}
"""

SPREAD_OUT = """
@inproceedings{zhang2017spreadout,
    title = {Learning Spread-out Local Feature Descriptors},
    author = {Zhang, Xu and Yu, Felix X. and Kumar, Sanjiv and Chang, Shih-Fu},
    booktitle = {Proceedings of the IEEE International Conference on Computer Vision},
    year = {2017},
    url = {https://arxiv.org/abs/1708.06320}
}
"""

VKD = """
@inproceedings{miles2024vkd,
    title = {{VkD}: Improving Knowledge Distillation using Orthogonal Projections},
    author = {Miles, Roy and Elezi, Ismail and Deng, Jiankang},
    booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
    year = {2024},
    url = {https://arxiv.org/abs/2403.06213}
}
"""

MOSE = """
@article{gurioli2026mose,
    title = {{MoSE}: Hierarchical Self-Distillation Enhances Early Layer Embeddings},
    author = {Gurioli, Andrea and Pennino, Federico and Monteiro, Jo{\\~a}o and Gabbrielli, Maurizio},
    journal = {Proceedings of the AAAI Conference on Artificial Intelligence},
    volume = {40},
    number = {37},
    pages = {30897--30906},
    year = {2026},
    doi = {10.1609/aaai.v40i37.40348}
}
"""

LEAD = """
@inproceedings{sun2024lead,
    title = {{LEAD}: Liberal Feature-based Distillation for Dense Retrieval},
    author = {Sun, Hao and Liu, Xiao and Gong, Yeyun and Dong, Anlei and Lu, Jingwen and Zhang, Yan and
        Yang, Linjun and Majumder, Rangan and Duan, Nan},
    booktitle = {Proceedings of the 17th ACM International Conference on Web Search and Data Mining},
    year = {2024},
    url = {https://arxiv.org/abs/2212.05225}
}
"""

TED = """
@inproceedings{liang2023ted,
    title = {Less is More: Task-aware Layer-wise Distillation for Language Model Compression},
    author = {Liang, Chen and Zuo, Simiao and Zhang, Qingru and He, Pengcheng and Chen, Weizhu and Zhao, Tuo},
    booktitle = {Proceedings of the 40th International Conference on Machine Learning},
    year = {2023},
    url = {https://arxiv.org/abs/2210.01351}
}
"""

CERBERUS = """
@inproceedings{matsubara2022cerberus,
    title = {Ensemble Transformer for Efficient and Accurate Ranking Tasks: an Application to Question
        Answering Systems},
    author = {Matsubara, Yoshitomo and Soldaini, Luca and Lind, Eric and Moschitti, Alessandro},
    booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2022},
    year = {2022},
    url = {https://arxiv.org/abs/2201.05767}
}
"""
