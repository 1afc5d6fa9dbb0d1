"""A file of requests on the command line: rows as they come, exit codes, what is done again."""

import json


def test_a_file_is_answered_and_only_what_was_mended_is_written_again(run, e2e, tmp_path):
    file, out = tmp_path / "requests.csv", tmp_path / "out"
    file.write_text("id,length,count,steps,seed\na,6,1,4,1\nb,500,1,4,1\nc,,2,4,1\n", encoding="utf-8")
    shown = run("batch", str(file), "--out", str(out), code=1).stdout
    assert "3 of 3 requests are answered" in shown
    assert "✗ request 2 (id b): length: 500 words" in shown
    before = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], "error" in row) for row in before] == [("a", False), ("b", True), ("c", False), ("c", False)]
    part = next(out.glob("part-*")).read_bytes()
    file.write_text(file.read_text().replace("500", "7"), encoding="utf-8")
    assert "✗" not in run("batch", str(file), "--out", str(out)).stdout
    after = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in after if row["id"] != "b"] == [row["text"] for row in before if row["id"] != "b"]
    written = next(out.glob("part-*")).read_bytes()
    assert written.startswith(part)
    assert written.removeprefix(part).count(b"\n") == 1


def test_what_cannot_be_meant_is_refused_before_anything_is_written(run, e2e, tmp_path):
    file, out = tmp_path / "requests.csv", tmp_path / "out"
    file.write_text("length\n8\nabc\n", encoding="utf-8")
    assert "requests.csv: line 3: length is a whole number" in run("batch", str(file), "--out", str(out), code=2).stderr
    file.write_text("model,count\ne2e,1\nabsent,1\n", encoding="utf-8")
    assert "absent" in run("batch", str(file), "--out", str(out), code=2).stderr
    assert not out.exists()


def test_candidates_that_are_too_much_alike_are_remarked(run, e2e, tmp_path):
    file, out = tmp_path / "requests.jsonl", tmp_path / "out"
    text = "Zizzi is a cheap pub near the [1] ."
    file.write_text(json.dumps({"verb": "infill", "text": text, "count": 12, "steps": 4}), encoding="utf-8")
    run("batch", str(file), "--out", str(out))
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({row["text"] for row in rows}) == len(rows)
    if len(rows) < 12:
        assert "different texts among 48 drawn" in rows[0]["remark"]
