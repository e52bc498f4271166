"""`explain(attention_maps=True)` on drawn scenes and the shipped model."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reported import Page

from savs import evaluate, explain, extract, save_evaluation, select
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ModelError, ReportError, SelectionError
from savs.pipeline.reports.explain.attention import (
    COLOURS,
    DRAWS,
    MASKED,
    View,
    _hidden,
    require_heads,
)
from savs.stores import open_store
from savs.stores.format.layout import neuron

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def vote(scenes, tmp_path_factory):
    pytest.importorskip("torch")
    out = tmp_path_factory.mktemp("looking") / "store"
    given = {"train": scenes.train, "test": scenes.test, "model": "demo", "dtype": "float32"}
    store = extract("shapes", **given, out=out).store
    save_evaluation(evaluate(store, select(store, heads=4)), out / "results" / "vote")
    return out / "results" / "vote"


@pytest.fixture(scope="module")
def found(vote, scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "page.html"
    options = {"n": 3, "media_root": scenes.root, "out": out, "attention_maps": True}
    return explain(vote, **options), out


def test_each_head_has_a_map_a_test_and_words(found):
    explanations, _ = found
    for one in explanations.examples:
        assert [view.name for view in one.views] == [head.name for head in one.heads]
        for view in one.views:
            assert all(own.ndim == 2 and (own >= 0).all() for own in view.maps)
            assert view.on_images == pytest.approx(sum(own.sum() for own in view.maps), abs=1e-5)
            assert len(view.random) == DRAWS
            assert view.beaten == sum(view.drop > other for other in view.random)
            assert view.is_better == (view.drop > max(view.random))
            assert len(view.words) == 10
    drops = [view.drop for one in explanations.examples for view in one.views]
    assert np.ptp(drops) > 0


def test_the_page_says_which_maps_are_no_better_than_random(found):
    explanations, out = found
    views = [view for one in explanations.examples for view in one.views]
    page = Page(out)
    worse = [view for view in views if not view.is_better]
    assert page.text.count("no better than random") == len(worse) > 0
    maps = [a for a in page.all("svg") if "attention of" in (a.get("aria-label") or "")]
    assert len(maps) == sum(len(view.maps) for view in views)


def test_a_map_is_drawn_in_colour_over_the_image_and_dims_nothing_else(found):
    explanations, out = found
    views = [view for one in explanations.examples for view in one.views]
    levels = [view.heat(0) for view in views]
    assert all(len(COLOURS) in own for own in levels)  # the patch with the most attention
    for view, own in zip(views, levels, strict=True):
        drawn = sum(map(int, re.findall(r"h(\d+)v1", "".join(own.values()))))
        weak = view.maps[0] < view.maps[0].max() / (2 * len(COLOURS)) * 0.999
        assert drawn <= view.maps[0].size - weak.sum()
    page = Page(out)
    fills = [a["fill"] for a in page.all("path") if "fill-opacity" in a]
    assert len(fills) > len(views)
    assert set(fills) <= {*COLOURS}
    images = [a["href"] for a in page.all("use")]
    assert images[::2] == images[1::2]  # each map has the plain image next to it


def test_json_has_the_maps(found):
    told = json.loads(json.dumps(found[0].to_json()))
    for one, own in zip(found[0].examples, told["examples"], strict=True):
        for view, saved in zip(one.views, own["views"], strict=True):
            np.testing.assert_allclose(saved["maps"][0], view.maps[0], rtol=1e-4, atol=1e-9)
            masking = saved["masking"]
            assert (masking["drop"], masking["random"]) == (view.drop, [*view.random])
            assert masking["better"] == view.is_better
            assert [one["token"] for one in saved["tokens"]] == [token for token, _ in view.tokens]
            assert saved["words"] == [*view.words]


def test_an_image_that_is_gone_has_no_map_and_says_so(vote, tmp_path):
    found = explain(vote, n=1, media_root=tmp_path, attention_maps=True)
    assert found.examples[0].views == ()
    assert "is not in the media root" in found.examples[0].unseen
    store = open_store(vote.parents[1])
    ((name,),) = store.examples("test").filter(id=found.examples[0].id)["media"].to_list()
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (56, 56), "white").save(tmp_path / name)  # another one has its name
    found = explain(vote, n=1, media_root=tmp_path, attention_maps=True)
    assert "another feature than the store has" in found.examples[0].unseen


def test_other_models_and_missing_images_are_refused(vote, scenes, tiny_model):
    with pytest.raises(SelectionError, match="belongs to another model"):
        explain(
            *(vote,),
            media_root=scenes.root,
            attention_maps=True,
            model=str(tiny_model("qwen2_vl")),
        )
    with pytest.raises(ModelError, match="but found nowhere"):
        explain(vote, media_root=scenes.root, attention_maps=True, device="nowhere")
    with pytest.raises(ParameterError, match="`attention_maps` needs the images"):
        explain(vote, attention_maps=True)
    with pytest.raises(ParameterError, match="device is about attention maps"):
        explain(vote, device="cpu")


def test_a_random_mask_that_changes_as_much_is_not_beaten():
    view = View("L0.H0", (), 0.5, (), 0.2, (0.1, 0.2, 0.3), ())
    assert (view.beaten, view.is_better) == (1, False)
    assert replace(view, random=(0.1, 0.15)).is_better


def test_the_brightest_of_all_patches_are_masked_image_by_image():
    bright = np.zeros(10)  # of 2 x 3 and 2 x 2 patches
    bright[[1, 6, 9]] = 1, 3, 2
    assert MASKED == 0.3  # as the page says
    first, second = _hidden(bright, [(2, 3), (2, 2)])
    assert (first.astype(int).tolist(), second.astype(int).tolist()) == (
        *([[0, 1, 0], [0, 0, 0]], [[1, 0], [0, 1]]),
    )


def test_a_neuron_has_no_map():
    require_heads([(3, 1)])
    with pytest.raises(ReportError, match=r"shows a whole head, and L3\.H1\.N5 is one value"):
        require_heads([(3, 1), neuron((3, 1), 5)])
