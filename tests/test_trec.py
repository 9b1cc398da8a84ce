from __future__ import annotations

import csv
import gzip
import json

import ir_measures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.errors import InputError
from st_mta.evaluation import evaluate_run
from st_mta.evaluation.measures import MEASURES
from st_mta.trec import is_run_file, read_qrels, read_run, write_qrels, write_run


def test_scores_come_back_bit_for_bit(tmp_path):
    generator = np.random.default_rng(0)
    scores = generator.normal(size=200).astype(np.float32)
    scores[1] = np.nextafter(scores[0], np.float32(np.inf))  # neighbours in single precision stay apart
    scores[2:5] = [-3e38, 1e-45, 3.4028235e38]
    run = {
        "q1": {f"p{i}": float(score) for i, score in enumerate(scores)},
        "q2": {"é": 0.1 + 0.2, "tiny": 5e-324, "-0": -0.0},
    }
    write_run(tmp_path / "run.trec", run, tag="test")
    assert read_run(tmp_path / "run.trec") == run


def test_six_columns_ranked_by_score_with_ties_in_their_order(tmp_path):
    write_run(tmp_path / "run.trec", {"q": {"a": 1.0, "z": 2.0, "c": 2.0, "b": 2.0}}, tag="my system")
    assert (tmp_path / "run.trec").read_text() == (
        "q Q0 z 1 2.0 my_system\nq Q0 c 2 2.0 my_system\nq Q0 b 3 2.0 my_system\nq Q0 a 4 1.0 my_system\n"
    )


def test_many_ties_keep_their_order(tmp_path):
    ids = [f"p{i}" for i in np.random.default_rng(2).permutation(500)]
    write_run(tmp_path / "run.trec", {"q": {passage: float(i % 2) for i, passage in enumerate(ids)}}, tag="t")
    assert list(read_run(tmp_path / "run.trec")["q"]) == ids[1::2] + ids[::2]


def test_other_tools_measure_the_same_on_the_file(tmp_path):
    generator = np.random.default_rng(1)
    ids = [f"p{number}" for number in generator.permutation(50)]
    run = {f"q{q}": dict(zip(ids, map(float, generator.integers(0, 6, size=50)))) for q in range(20)}
    qrels = {f"q{q}": {f"p{p}": int(generator.integers(0, 4)) for p in range(0, 50, 3)} for q in range(20)}
    write_run(tmp_path / "run.trec", run, tag="test")
    measures = [MEASURES[name] for name in ("ndcg@10", "map", "recall@100")]
    theirs = ir_measures.pytrec_eval.calc_aggregate(
        measures, qrels, ir_measures.read_trec_run(str(tmp_path / "run.trec"))
    )
    assert list(evaluate_run(run, qrels, ["ndcg@10", "map", "recall@100"]).values()) == pytest.approx(
        [theirs[measure] for measure in measures], abs=1e-9
    )


def test_reads_tabs_and_empty_lines(tmp_path):
    (tmp_path / "run.trec").write_text("q1\tQ0\tp1\t1\t2.5\ttag\n\n  q1 Q0  p2 2 -1e3 tag\n")
    assert read_run(tmp_path / "run.trec") == {"q1": {"p1": 2.5, "p2": -1000.0}}


PLAIN = "q1 Q0 d1 1 3.5 t\nq1 Q0 d2 2 -1e-3 t\nq2 Q0 d2 1 9 t\n"
RUN = {"q1": {"d1": 3.5, "d2": -1e-3}, "q2": {"d2": 9.0}}
FORMS = {
    "plain": PLAIN.encode(),
    "no final newline": PLAIN.rstrip().encode(),
    "windows": PLAIN.replace("\n", "\r\n").encode(),
    "old mac": PLAIN.replace("\n", "\r").encode(),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "two files put together": b"\xef\xbb\xbf" + PLAIN[:17].encode() + b"\xef\xbb\xbf" + PLAIN[17:].encode(),
    "blank lines": ("\n" + PLAIN.replace("\n", "\n \t\n") + "\n\n").encode(),
    "white space": PLAIN.replace(" ", " \t  ").replace("q", "  q").encode(),
    "plus": PLAIN.replace("3.5", "+3.5E+00").encode(),
    "blank in the tag": PLAIN.replace(" t\n", " my own run\n").encode(),
    "gzip": gzip.compress(PLAIN.encode(), mtime=0),
    "gzip in parts": gzip.compress(PLAIN[:20].encode(), mtime=0) + gzip.compress(PLAIN[20:].encode(), mtime=0),
    "three columns": b"q1\td1\t3.5\nq1\td2\t-1e-3\nq2\td2\t9",
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("block_bytes", [1, 25, 2**20])
def test_every_form_of_a_run_is_read(tmp_path, monkeypatch, content, block_bytes):
    monkeypatch.setattr("st_mta.lines.BLOCK_BYTES", block_bytes)
    (tmp_path / "run").write_bytes(content)
    assert read_run(tmp_path / "run") == RUN
    assert [list(passages) for passages in read_run(tmp_path / "run").values()] == [["d1", "d2"], ["d2"]]


@pytest.mark.parametrize("name", ["r.parquet", "R.PARQUET", "r.json", "R.JSON", "r.json.gz"])
def test_parquet_and_json_are_read(tmp_path, name):
    if "parquet" in name.lower():
        ids = {"passage_id": ["d1", "d2", "d2"], "score": [3.5, -1e-3, 9.0], "query_id": ["q1", "q1", "q2"]}
        pq.write_table(pa.table(ids), tmp_path / name)
    else:
        pack = gzip.compress if name.endswith("gz") else bytes
        (tmp_path / name).write_bytes(pack(json.dumps({**RUN, "q2": {"d2": 9}}).encode()))
    assert read_run(tmp_path / name) == RUN


@pytest.mark.parametrize(
    "name, content", [("r", b""), ("r.trec", b"\n \n"), ("r.json", b"{}"), ("r", gzip.compress(b"", mtime=0))]
)
def test_nothing_is_an_empty_run(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read_run(tmp_path / name) == {}


THIRD_COLUMNS = {
    "ranks": ([1, 2, 1, 2, 3], [-1, -2, -1, -2, -3]),
    "ranks from 0": ([0, 1, 0, 1, 2], [-1, -2, -1, -2, -3]),
    "ascending scores with a gap": ([1, 2, 1, 2, 4], [1, 2, 1, 2, 4]),
    "counted over all queries": ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
    "descending": ([2, 1, 3, 2, 1], [2, 1, 3, 2, 1]),
    "one query from 0": ([0, 1, 1, 2, 3], [0, 1, 1, 2, 3]),
}


@pytest.mark.parametrize("third, scores", THIRD_COLUMNS.values(), ids=THIRD_COLUMNS.keys())
@pytest.mark.parametrize("block_bytes", [8, 2**20])
def test_a_third_column_that_counts_is_a_rank(tmp_path, monkeypatch, third, scores, block_bytes):
    monkeypatch.setattr("st_mta.lines.BLOCK_BYTES", block_bytes)
    pairs = [("q1", "a"), ("q1", "b"), ("q2", "a"), ("q2", "b"), ("q2", "c")]
    order = [2, 0, 3, 1, 4]  # queries need not stand together
    (tmp_path / "run.tsv").write_text("".join(f"{pairs[i][0]}\t{pairs[i][1]}\t{third[i]}\n" for i in order))
    run = read_run(tmp_path / "run.tsv")
    assert [run[query][passage] for query, passage in pairs] == scores


@pytest.mark.parametrize(
    "third, said",
    [((1, 2, 1, 2, 4), True), ((5, 7, 20, 21, 30), True), ((1, 2, 1, 2, 3), False), ((2, 1, 3, 2, 1), False)]
    + [((9, 5, 1, 2, 4), False), ((0.1, 0.2, 0.3, 0.4, 0.5), False), ((7, 7, 7, 7, 7), False)],
)
def test_ranks_with_gaps_are_not_taken_for_scores_in_silence(tmp_path, caplog, third, said):
    pairs = ["q1\ta", "q1\tb", "q2\ta", "q2\tb", "q2\tc"]
    (tmp_path / "run.tsv").write_text("".join(f"{pairs[i]}\t{third[i]}\n" for i in (2, 0, 3, 1, 4)))
    read_run(tmp_path / "run.tsv")
    assert ("last passage is its best" in caplog.text) is said
    assert (str(tmp_path / "run.tsv") in caplog.text) is said


def test_a_no_break_space_belongs_to_an_id(tmp_path):
    (tmp_path / "run.trec").write_text("q\u00a01 Q0 d\u30001 1 2.0 t\n", encoding="utf-8")
    assert read_run(tmp_path / "run.trec") == {"q\u00a01": {"d\u30001": 2.0}}


@pytest.mark.parametrize(
    "line, named",
    [
        ("q1 Q0 p2 2 1.0", "'q1 Q0 p2 2 1.0' at .*run.trec:3"),
        ("q1 Q0 a p2 2 1.0 tag", "'q1 Q0 a p2 2 1.0 tag' at .*run.trec:3"),
        ("q1 Q0 p 2 2 1.0 tag", "'q1 Q0 p 2 2 1.0 tag' at .*run.trec:3"),
        ("q1 Q0 my p 2 x 2 1.0 tag", "'q1 Q0 my p 2 x 2 1.0 tag' at .*run.trec:3"),
        ("q1 p2 1.0", "'q1 p2 1.0' at .*run.trec:3"),
        ("q1 Q0 p2 2 one tag", "one tag' at .*run.trec:3"),
        ("q1 Q0 p2 2 nan tag", "nan tag' at .*run.trec:3"),
        ("q1 Q0 p2 2 -inf tag", "inf tag' at .*run.trec:3"),
        ("q1 Q0 p2 2 1e39 tag", "single precision .*1e39 tag' at .*run.trec:3"),
        ("q1 Q0 p1 2 1.0 tag", "'p1' for query 'q1', which line 1 has too, at .*run.trec:3"),
        ("q2 Q0 p1 2 1.0 tag\nq1 Q0 p1 2 1.0 tag", "'p1' for query 'q1', which line 1 has too, at .*run.trec:4"),
        ("q1 Q0 p\0 2 1.0 tag", "UTF-8 .*a NUL byte at .*run.trec:3"),
    ],
)
@pytest.mark.parametrize("block_bytes", [16, 2**20])
def test_names_the_malformed_line(tmp_path, monkeypatch, line, named, block_bytes):
    monkeypatch.setattr("st_mta.lines.BLOCK_BYTES", block_bytes)
    (tmp_path / "run.trec").write_text(f"q1 Q0 p1 1 2.0 tag\n\n{line}\nq9 Q0 p1 1 2.0 tag\n")
    with pytest.raises(InputError, match=named):
        read_run(tmp_path / "run.trec")


UNREADABLE = {
    "utf-16": ("r.trec", PLAIN.encode("utf-16"), "UTF-8 .*got UTF-16 at .*r.trec:1"),
    "utf-16 without a mark": ("r.trec", PLAIN.encode("utf-16-le"), "NUL byte at .*r.trec:1"),
    "latin": ("r.trec", PLAIN.replace("d2", "d\u00e9").encode("latin-1"), "other bytes .* at .*r.trec:2"),
    "broken gzip": ("r.trec.gz", gzip.compress(PLAIN.encode() * 99, mtime=0)[:-20], r"EOFError .*r.trec.gz:1"),
    "damaged gzip": ("r.gz", gzip.compress(PLAIN.encode(), mtime=0)[:12] + b"x" * 40, r"error .*r.gz:1"),
    "a word in the third column": ("r.tsv", b"q1 d1 2\nq1 d2 b\n", "'q1 d2 b' at .*r.tsv:2"),
    "half a character": ("r.json", b'{"q1": {"\\ud800": 1}}', "Unicode.* at .*r.json:1"),
    "no JSON": ("r.json", b'{"q1":\n {"d1": 1,}}', "at .*r.json:2"),
    "a list": ("r.json", b"[1]", "query_id: .*at .*r.json:1"),
    "no passages": ("r.json", b'{"q1": 1}', "query_id: .*at .*r.json:1"),
    "a pair twice": ("r.json", b'{"q1": {"d1": 1, "d2": 1, "d1": 2}}', "'d1' twice.* at .*r.json"),
    "a string as score": ("r.json", b'{"q1": {"d1": 1, "d2": "2"}}', "'q1', 'd2', '2'.* at .*r.json:2"),
    "true as score": ("r.json", b'{"q1": {"d1": true}}', "'q1', 'd1', True.* at .*r.json:1"),
    "a great number": ("r.json", b'{"q1": {"d1": 1%s}}' % (b"0" * 400), "'q1', 'd1', inf.* at .*r.json:1"),
    "no Parquet": ("r.parquet", b"x", "query_id, passage_id, score at .*r.parquet"),
}


@pytest.mark.parametrize("name, content, named", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_refused(tmp_path, name, content, named):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=named):
        read_run(tmp_path / name)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_run(tmp_path / "run.trec")
    with pytest.raises(InputError, match="a folder"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_qrels(tmp_path / "test.tsv")


def test_names_of_runs():
    assert all(map(is_run_file, ["a.trec", "A.TREC", "b.run.gz", "b.tsv", "x.res.GZ", "c.json", "d.Parquet"]))
    assert not any(map(is_run_file, ["a.csv", "trec", "a.gz", "model", "a.trec.zip"]))


ODD_IDS = [
    "a b",
    " a",
    "a\t",
    "\n",
    "",
    "%%",
    "%%a",
    "%%a%20b",
    "100%",
    "a%20b",
    "no\u00a0break",
    "\ufeffx",
    "\0",
    "é",
]


def test_odd_ids_come_back(tmp_path):
    run = {query: {passage: float(i) for i, passage in enumerate(ODD_IDS)} for query in ODD_IDS}
    write_run(tmp_path / "run.trec", run, tag="test")
    assert read_run(tmp_path / "run.trec") == run
    for odd in ODD_IDS:
        write_run(tmp_path / "one.trec", {"q": {"p": 1.0, odd: 0.5}}, tag="test")
        assert read_run(tmp_path / "one.trec") == {"q": {"p": 1.0, odd: 0.5}}
    lines = (tmp_path / "run.trec").read_text(encoding="utf-8").splitlines()
    assert {len(line.split()) for line in lines} == {6}, "programs that split at any white space read it too"
    qrels = {query: {passage: i for i, passage in enumerate([*ODD_IDS, '"q"', 'a"'])} for query in [*ODD_IDS, '"q']}
    write_qrels(tmp_path / "test.tsv", qrels)
    assert read_qrels(tmp_path / "test.tsv") == qrels


def test_ids_of_others_that_look_escaped_are_left_alone(tmp_path):
    ids = ["a%20b", "100%25", "%20", "%%", "%%a", "%%%zz", "%%a%2"]
    (tmp_path / "run.trec").write_text("".join(f"{word} Q0 {word} 1 1.0 t\n" for word in ids[:3] + ids[4:]))
    assert list(read_run(tmp_path / "run.trec")) == ids[:3] + ids[4:]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf"), 1e39])
def test_refuses_what_could_not_be_read_back_and_keeps_the_older_file(tmp_path, score):
    write_run(tmp_path / "run.trec", {"q": {"p": 1.0}}, tag="older")
    with pytest.raises(InputError, match="query 'q', passage 'p'"):
        write_run(tmp_path / "run.trec", {"q0": {"p": 1.0}, "q": {"ok": 1.0, "p": score}}, tag="newer")
    assert [path.name for path in tmp_path.iterdir()] == ["run.trec"]
    assert read_run(tmp_path / "run.trec") == {"q": {"p": 1.0}}


def test_single_precision_scores_are_written(tmp_path):
    write_run(tmp_path / "run.trec", {"q": {"p": np.float32(0.1)}}, tag="t")
    assert read_run(tmp_path / "run.trec") == {"q": {"p": float(np.float32(0.1))}}


BEIR = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td 2\t0\nq2\td1\t-1\n"
QRELS = {"q1": {"d1": 1, "d 2": 0}, "q2": {"d1": -1}}
QRELS_FORMS = {
    "beir": BEIR.encode(),
    "no header": BEIR.partition("\n")[2].encode(),
    "trec": b"q1\t0\td1\t1\nq1\tQ0\td 2\t0\nq2\t0\td1\t-1\n",
    "quoted": b'"query-id"\t"corpus-id"\t"score"\n"q1"\t"d1"\t"1"\nq1\td 2\t"0"\nq2\td1\t"-1"\n',
    "blank lines": ("\n" + BEIR.replace("\n", "\n\n")).encode(),
    "windows": b"\xef\xbb\xbf" + BEIR.replace("\n", "\r\n").rstrip().encode(),
    "gzip": gzip.compress(BEIR.encode(), mtime=0),
    "commas": BEIR.replace("\t", ",").encode(),
    "semicolons": BEIR.replace("\t", ";").encode(),
    "quoted between commas": b'"query-id","corpus-id","score"\n"q1","d1","1"\nq1,"d 2","0"\nq2,d1,"-1"\n',
    "columns in another order": b"score\tcorpus-id\tquery-id\n1\td1\tq1\n0\td 2\tq1\n-1\td1\tq2\n",
    "the index of pandas": b",query_id,doc_id,relevance\n0,q1,d1,1\n1,q1,d 2,0\n2,q2,d1,-1\n",
    "more columns": b'qid\titer\tdocno\trel\tcomment\nq1\t0\td1\t1\t"x"\nq1\t0\td 2\t0\ty\nq2\t0\td1\t-1\tz\n',
    "floats": BEIR.replace("1\n", "1.0\n").replace("\t0\n", "\t 0e0 \n").encode(),
}


@pytest.mark.parametrize("content", QRELS_FORMS.values(), ids=QRELS_FORMS.keys())
@pytest.mark.parametrize("block_bytes", [4, 2**20])
def test_every_form_of_judgements_is_read(tmp_path, monkeypatch, content, block_bytes):
    monkeypatch.setattr("st_mta.lines.BLOCK_BYTES", block_bytes)
    (tmp_path / "test.tsv").write_bytes(content)
    qrels = read_qrels(tmp_path / "test.tsv")
    assert qrels == QRELS and isinstance(qrels["q1"]["d1"], int)


def test_commas_belong_to_ids_unless_the_file_is_csv(tmp_path):
    rows = 'a,1 0 "b,2" 1\n'
    (tmp_path / "test.txt").write_text(rows)
    assert read_qrels(tmp_path / "test.txt") == {"a,1": {'"b,2"': 1}}
    for name in ("test.csv", "TEST.CSV.gz"):
        content = b'query,doc,rel\n"a,1","b ""2""",1\n"a,1",c d,2\n'
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        assert read_qrels(tmp_path / name) == {"a,1": {'b "2"': 1, "c d": 2}}


@pytest.mark.parametrize("row", ["q1,d1,d2,1", "q1;d1;1", "q1,d1", 'q1,"d1,1'])
def test_a_malformed_row_between_commas_is_named(tmp_path, row):
    (tmp_path / "test.csv").write_text(f"query-id,corpus-id,score\nq0,d0,1\n{row}\n")
    with pytest.raises(InputError, match=r"at .*test\.csv:3\b"):
        read_qrels(tmp_path / "test.csv")


def test_judgements_between_blanks(tmp_path):
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\n")
    assert read_qrels(tmp_path / "qrels.txt") == {"q1": {"d1": 1}}, "one line is no header"
    (tmp_path / "qrels.txt").write_text('query_id iteration doc_id relevance\n q1  0\td1 1\nq1 0 "d2" 2\n')
    assert read_qrels(tmp_path / "qrels.txt") == {"q1": {"d1": 1, '"d2"': 2}}
    (tmp_path / "qrels.txt").write_text("q1 d1 1\n")
    assert read_qrels(tmp_path / "qrels.txt") == {"q1": {"d1": 1}}
    for content in ("", "\n", "query-id\tcorpus-id\tscore\n"):
        (tmp_path / "qrels.txt").write_text(content)
        assert read_qrels(tmp_path / "qrels.txt") == {}


def test_quotes_are_read_as_csv_reads_them(tmp_path):
    ids = ['"Heroes"_(song)', '""', '"', 'a"b', "plain", '"a', 'b"', "two words"]
    with open(tmp_path / "test.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([text, text[::-1], number] for number, text in enumerate(ids))
    with open(tmp_path / "test.tsv", newline="") as file:
        expected = {query: {passage: int(grade)} for query, passage, grade in csv.reader(file, delimiter="\t")}
    assert read_qrels(tmp_path / "test.tsv") == expected == {text: {text[::-1]: i} for i, text in enumerate(ids)}


@pytest.mark.parametrize(
    "row",
    ["q1\td1\t99999999999999999999", "q1\td1\t1O", "q1\td1\tnan", "q1\td1\t", "q1\td1", "q1\t\t1", "q1\td1\t0.5"],
)
@pytest.mark.parametrize("before", ["", "\n", "q0\td1\t1\n\n"])
def test_a_malformed_judgement_is_named(tmp_path, row, before):
    (tmp_path / "test.tsv").write_text(f"{before}{row}\n")
    with pytest.raises(InputError, match=rf"at .*test\.tsv:{before.count(chr(10)) + 1}\b"):
        read_qrels(tmp_path / "test.tsv")


def test_judgements_are_written_as_beir_writes_them(tmp_path):
    write_qrels(tmp_path / "dev.tsv", {"crop:p:0:4": {"p": 2, "01": 1}, "q": {"p": 1}})
    written = "query-id\tcorpus-id\tscore\ncrop:p:0:4\tp\t2\ncrop:p:0:4\t01\t1\nq\tp\t1\n"
    assert (tmp_path / "dev.tsv").read_text() == written
