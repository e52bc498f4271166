"""The same training examples under two prompts, compared by cross-validation: docs/labels.md."""

import json


def test_prompts_are_compared_on_the_same_training_examples(savs, inputs):
    train, _ = inputs.few_shots(8, 1)
    rows = [json.loads(line) for line in train.read_text().splitlines()]
    plain = [{"image": row["image"], "label": row["label"]} for row in rows]
    file = inputs.rows("plain.jsonl", plain)
    for out, question in (("first", "What animal is this?"), ("second", "Which colour is it?")):
        given = ("--train", file, "--question", question, "--model", "demo", "--out", out)
        assert savs("extract", "general", *given).returncode == 0
        assert savs("select", out, "--heads", 2).returncode == 0
        assert savs("evaluate", out, "--cv").returncode == 0
    done = savs("compare", "first/results/vote-cv", "second/results/vote-cv", "--json")
    assert done.returncode == 0, done.stderr
    assert '"units": 8' in done.stdout
