"""Which examples a report shows, and where their images come from."""

import hashlib
import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image
from random_stores import draw_problem, write_problem
from reported import Page, save_random_result

from savs import calibrate, evaluate, report, save_evaluation, select
from savs.datasets.media_kinds.decoders.images import thumbnail
from savs.pipeline.reports.pages import pictures as images
from savs.pipeline.reports.report.folders import read_results
from savs.pipeline.reports.report.gallery import gallery_part
from savs.pipeline.targets.target import best_votes
from stores import make_store


def test_the_surest_mistakes_of_every_class_come_before_further_ones(tmp_path):
    folder = save_random_result(tmp_path / "vote", 400, 5, accuracy=0.5)
    (result,) = read_results([folder])
    gallery = gallery_part([result], 30, None)
    wrong = result.predictions().filter(~pl.col("correct"))
    shown = [card for card in gallery.cards if not card.is_right]
    assert gallery.wrong == wrong.height > 100
    assert len(gallery.cards) <= 30
    for label in wrong["label"].unique():
        own = wrong.filter(label=label)["margin"].sort(descending=True)
        margins = [card.margin for card in shown if card.shown.labels == (label,)][:4]
        assert margins == own.head(4).to_list()  # 20 places for mistakes, of 5 classes
    surest = [card.margin for card in gallery.cards[:20]]
    assert surest == sorted(surest, reverse=True)
    assert not any(card.is_right for card in gallery.cards[:20])
    unsure = [card.margin for card in gallery.cards if "least sure" in card.kinds]
    assert sorted(unsure) == result.predictions()["margin"].sort().head(len(unsure)).to_list()
    assert {kind for card in gallery.cards for kind in card.kinds} == {"wrong", "least sure"}
    assert all(("wrong" in card.kinds) != card.is_right for card in gallery.cards)


def test_where_little_is_wrong_more_unsure_ones_are_shown(tmp_path):
    gallery = gallery_part(
        read_results([save_random_result(tmp_path, 60, 3, accuracy=1.0)]), 30, None
    )
    assert (gallery.wrong, gallery.count("least sure"), len(gallery.cards)) == (0, 30, 30)


def test_the_counts_on_the_page_add_up_and_a_dozen_stand_above_the_fold(tmp_path):
    folder = save_random_result(tmp_path / "vote", 400, 5, accuracy=0.9)
    gallery = report(folder, out=tmp_path / "page.html", examples=100).gallery
    wrong, unsure = gallery.count("wrong"), gallery.count("least sure")
    assert (wrong + unsure, wrong) == (100, gallery.wrong)  # unsure mistakes are counted once
    page = Page(tmp_path / "page.html")
    assert f"100 examples: {wrong} of {wrong} wrong," in page.text
    assert f"{unsure} others, the least sure first" in page.text
    before, after = (tmp_path / "page.html").read_text().split("88 more examples")
    assert (before.count('<li id="card-'), after.count('<li id="card-')) == (12, 88)


def test_examples_like_no_training_example_have_places_of_their_own(tmp_path):
    folder = save_random_result(tmp_path / "vote", 400, 5, accuracy=0.5)
    (result,) = read_results([folder])
    typical = np.random.default_rng(1).permutation(400) / 400
    told = result.predictions().with_columns(
        typicality=pl.Series(typical, dtype=pl.Float32), atypical=pl.Series(typical < 0.01)
    )
    vars(result)["_predictions"] = told
    gallery = gallery_part([result], 30, None)
    odd = [card for card in gallery.cards if "least like training examples" in card.kinds]
    least = told.sort("typicality")["id"].to_list()
    assert len(gallery.cards) == 30
    assert len(odd) >= 5  # 30 / 6, and those that are shown as wrong
    assert {card.id for card in odd} == {card.id for card in gallery.cards} & {*least[: len(odd)]}
    flagged = {card.id for card in odd if "atypical" in card.facts}
    assert flagged == {*least[:4]}
    assert gallery.count("wrong") >= 20


def test_votes_are_counts_or_probabilities():
    votes = [
        {"class": "a", "score": 15.0},
        {"class": "b", "score": 5.0},
        {"class": "c", "score": 0},
    ]
    assert [(vote.share, vote.text) for vote in best_votes(votes)] == [
        (0.75, "15 of 20"),
        (0.25, "5 of 20"),
    ]
    split = [{"class": name, "score": 12.0 if name == "a" else 2.0} for name in "abcde"]
    assert {vote.text for vote in best_votes(split)} == {"12 of 20", "2 of 20"}
    halves = [vote | {"score": vote["score"] / 20} for vote in votes]
    assert [(v.share, v.text) for v in best_votes(halves)] == [(0.75, "75 %"), (0.25, "25 %")]


@pytest.mark.parametrize("on", ["folds", "test"])
def test_where_heads_are_not_counted_calibrated_probabilities_are_shown(tmp_path, on):
    """The means over heads of lda lie close together, and are not how sure it is."""
    store = write_problem(tmp_path / "s", draw_problem(5, counts=(12, 12, 12), tests=60))
    selection = calibrate(store, select(store, heads=4, readout="lda")).selection
    save_evaluation(evaluate(store, selection, on=on), tmp_path / "s/results/lda")
    (result,) = read_results([tmp_path / "s/results/lda"])
    cards = gallery_part([result], 100, None).cards
    first = {card.id: card.shown.shares[0] for card in cards}
    known = dict(result.predictions().select("id", "probability").iter_rows())
    right = np.mean([card.is_right for card in cards])
    mean = np.mean([share.share for share in first.values()])
    assert mean == pytest.approx(right, abs=0.1)
    for name, share in first.items():
        assert share.text == f"{100 * share.share:.0f} %"
        assert known[name] is None or share.share == pytest.approx(known[name], abs=1e-4)
    assert any(known.values()) == (on == "test")


def png(shade: int) -> bytes:
    """Return an image of one colour, 400 x 200 px."""
    buffer = io.BytesIO()
    Image.new("RGB", (400, 200), (shade, 0, 255 - shade)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path):
    """Return a store of six test examples that the readout gets wrong, and its media root."""
    root = tmp_path / "media"
    root.mkdir()
    rows = []
    for i in range(6):
        (root / f"{i}.png").write_bytes(png(40 * i))
        names, sums = [f"{i}.png"], [hashlib.sha256(png(40 * i)).hexdigest()]
        rows.append({"media": json.dumps(names), "media_sha256": json.dumps(sums)})
    rows[0]["thumbnail"] = thumbnail(Image.open(io.BytesIO(png(200))), 192)
    train = np.eye(2, dtype=np.float32)[None, [0, 1, 0, 1]]
    test = np.eye(2, dtype=np.float32)[None, [1, 0] * 3]  # each looks like the other class
    store = make_store(tmp_path / "s", train, "abab", test, "ababab", test_rows=rows)
    save_evaluation(evaluate(store, select(store, heads=1)), store.path / "results/vote")
    return store, root


def pictures(content):
    return {card.id: card.pictures[0] for card in content.gallery.cards}


def test_images_of_the_media_root_are_shown_small(store, tmp_path):
    store, root = store
    content = report(store.path, out=tmp_path / "r.html", media_root=root)
    found = pictures(content)
    assert len(found) == 6
    for i in range(6):
        shown = Image.open(io.BytesIO(found[f"test:{i}"].jpeg))
        assert shown.size == (images.SIDE_PX, images.SIDE_PX // 2)
        assert np.allclose(shown.getpixel((5, 5)), (40 * i, 0, 255 - 40 * i), atol=6)
    assert content.gallery.notes == ()


def test_a_large_photo_is_shown_as_large_as_a_small_one_with_the_size_of_its_file(tmp_path):
    turned = Image.Exif()
    turned[274] = 6  # a quarter to the right
    Image.new("RGB", (1000, 500)).save(tmp_path / "a.jpg")
    Image.new("RGB", (1000, 500)).save(tmp_path / "b.jpg", exif=turned)
    found = images.open_images(None, "test", [], tmp_path)
    side, half = images.SIDE_PX, images.SIDE_PX // 2
    sizes = {
        "a.jpg": ("1000 \u00d7 500 px", (side, half)),
        "b.jpg": ("500 \u00d7 1000 px", (half, side)),
    }
    for name, (size, pixels) in sizes.items():
        (shown,) = found.find(name, [name])
        assert shown.size == size
        assert (shown.shown_width, shown.shown_height) == pixels
        assert Image.open(io.BytesIO(shown.jpeg)).size == pixels


def test_an_image_that_the_model_did_not_read_is_not_shown(store, tmp_path):
    store, root = store
    (root / "3.png").write_bytes(png(250))
    (root / "4.png").unlink()
    (root / "5.png").write_bytes(b"junk")
    content = report(store.path, out=tmp_path / "r.html", media_root=root)
    found = pictures(content)
    assert [bool(found[f"test:{i}"].jpeg) for i in range(6)] == [True] * 3 + [False] * 3
    assert content.gallery.notes == (
        "3 examples are shown without an image.",
        "2 images are not shown: the files differ from the ones that the model read.",
    )


def test_without_a_media_root_thumbnails_are_shown(store, tmp_path):
    content = report(store[0].path, out=tmp_path / "r.html")
    found = pictures(content)
    shown = Image.open(io.BytesIO(found["test:0"].jpeg))
    assert np.allclose(shown.getpixel((5, 5)), (200, 0, 55), atol=6)
    assert not any(found[f"test:{i}"].jpeg for i in range(1, 6))
    assert content.gallery.notes == (
        "5 examples are shown without an image. Pass `media_root` to show the images.",
    )


def test_images_stop_at_the_limit_of_a_page(store, tmp_path):
    store, root = store
    whole = report(store.path, out=tmp_path / "r.html", media_root=root)
    first, second, third, *_ = whole.gallery.cards
    room = len(first.pictures[0].jpeg) + len(second.pictures[0].jpeg)
    found = images.open_images(store, "test", [], root)
    found.left = room
    shown = [found.find(card.id, [card.pictures[0].name])[0] for card in (first, second, third)]
    assert [bool(picture.jpeg) for picture in shown] == [True, True, False]
    assert found.notes() == ["1 image is not shown, to keep the page small."]
    assert images.MOST_BYTES * 4 / 3 < 3_000_000 - 400_000


def test_a_name_that_leads_out_of_the_media_root_is_not_read(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(9))
    root = tmp_path / "media"
    root.mkdir()
    (result,) = read_results([save_random_result(tmp_path / "vote", 4, 2)])
    found = images.open_images(None, "test", [], root)
    for name in ("../secret.png", str(secret)):
        assert not found.find("test:0", [name])[0].jpeg
    assert found.missing == 2
    assert result.store is None


def test_a_card_has_the_votes_of_its_own_prediction(tmp_path):
    (result,) = read_results([save_random_result(tmp_path / "vote", 20, 3)])
    votes = dict(result.predictions().select("id", "votes").iter_rows())
    cards = gallery_part([result], 20, None).cards
    assert len({card.shown.shares for card in cards}) > 1
    assert all(card.shown.shares == best_votes(votes[card.id]) for card in cards)


def test_a_confusion_leads_to_its_cards_where_there_are_some(tmp_path):
    (result,) = read_results([save_random_result(tmp_path / "vote", 30, 4)])
    gallery = gallery_part([result], 8, None, only_wrong=True)
    shown = {(card.shown.labels[0], card.shown.predictions[0]) for card in gallery.cards}
    names = [f"class {number}" for number in range(4)]
    pairs = {(a, b) for a in names for b in names if gallery.has(None, a, b)}
    assert pairs == shown
    assert not gallery.has("a subtask", *pairs.pop())
    settings = json.loads(gallery.pick(None, names[2], names[1]))
    places = [gallery.classes.index(name) for name in (names[2], names[1])]
    assert settings == dict(zip(("label", "prediction"), map(str, places), strict=True))
