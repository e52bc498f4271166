"""The table of kinds of labels: each form of labels has one target, and an unknown one none."""

from collections import Counter

import pytest

from savs.foundation.errors import ParameterError
from savs.foundation.installed import Package
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.targets import TARGETS, labels_of, target_named, target_of
from savs.pipeline.targets.catalogue import TASKS, kind_of_task, parse_decision
from savs.stores import StoreFormatError


def facts(**form):
    return {"name": "general", "options": {"labels": form} if form else {}}


def test_each_form_of_labels_has_one_target_and_it_is_called_as_the_table_says():
    targets = [target_named(name) for name in TARGETS]
    assert [target.name for target in targets] == [*TARGETS]
    assert set(Counter(form for target in targets for form in target.kind.forms).values()) == {1}
    for target in targets:
        for form in target.kind.forms:
            assert target_of(facts(form=form)) is target
            assert labels_of(facts(form=form)).kind is target.kind


def test_a_store_without_a_form_has_a_class_each():
    assert target_of(facts()).name == "one"
    assert target_of(facts(target="own-answer")).name == "own-answer"


@pytest.mark.parametrize("ask", [target_of, labels_of])
def test_a_form_that_no_target_reads_is_refused_by_name(ask):
    with pytest.raises(StoreFormatError, match="have the form 'ranks', expected one of classes, "):
        ask(facts(form="ranks"))


def test_what_no_target_is_called_or_decides_by_is_refused():
    with pytest.raises(ParameterError, match="no target is called 'ranks'; install its package"):
        target_named("ranks")
    with pytest.raises(ParameterError, match="'ranks': it needs the package p 1, which is not ins"):
        target_named("ranks", Package("p", "1"))
    for value in ({"kind": "ranks"}, {}, 3):
        with pytest.raises(ValueError, match=r"kind: expected one of .*classes.*, got "):
            parse_decision(value)


@pytest.mark.parametrize("task", TASKS)
def test_each_value_of_task_is_a_kind_of_labels(task):
    labels = InputOptions(train="rows.csv", task=task).labels
    assert labels.kind is kind_of_task(task)
    assert labels.form == {"form": labels.kind.forms[0]}
