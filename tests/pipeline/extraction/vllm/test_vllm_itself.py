"""vLLM against transformers, where both are installed: `just vllm`. Each engine takes a minute."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("vllm")
pytestmark = pytest.mark.slow

from tiny_parts import picture  # noqa: E402
from wide_checkpoints import build_wide  # noqa: E402

from savs import evaluate, extract, open_store, select  # noqa: E402
from savs.pipeline.extraction.checks.engines import compare_here  # noqa: E402
from savs.pipeline.extraction.checks.trial import distances  # noqa: E402
from savs.pipeline.extraction.model.hook_points import find_site_points  # noqa: E402
from savs.pipeline.extraction.model.load import load_encoder  # noqa: E402
from savs.pipeline.extraction.model.model_options import ModelOptions  # noqa: E402
from savs.pipeline.extraction.model.sites import NAMES, Site  # noqa: E402
from savs.pipeline.extraction.model.vllm_model import load_in_vllm, without_vllm  # noqa: E402
from savs.pipeline.extraction.model_run import ModelRun  # noqa: E402
from savs.pipeline.extraction.run_options import RunOptions  # noqa: E402
from savs.pipeline.prompts.chat import PROMPTS  # noqa: E402

FAMILIES = ("qwen2_vl", "llava")
SITES = [Site(name) for name in NAMES]
PROMPTS_TRIED = [
    ("Is the sky blue?",),
    (picture(56, 84), "What is it?"),
    ("First ", picture(56, 56, 1), " and then ", picture(84, 56, 2), ": which is brighter?"),
    (picture(56, 84), "What is it? Look at every part of it, one after the other. " * 3),
]

SHOWN = [pieces for pieces in PROMPTS_TRIED if len(pieces) > 1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    built = {}

    def of(family):
        if family not in built:
            built[family] = build_wide(family, tmp_path_factory.mktemp(family))
        return built[family]

    return of


@pytest.fixture(autouse=True)
def small_cache(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")


def at_sites(options, run=RunOptions()):  # noqa: B008
    if options.engine == "vllm":
        model = load_in_vllm(options, load_encoder(options), run.batch_tokens)
    else:
        model = ModelRun(options, run).load()
    return replace(model, hook_points=find_site_points(model.model, model.hook_points, SITES))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_is_that_of_transformers_with_cached_prefixes_and_without(
    family, checkpoint, capsys
):
    """Steps of 64 tokens cut prompts into chunks; the second round finds prefixes in the cache."""
    plain = ModelOptions(model=checkpoint(family), engine="vllm")
    reference = at_sites(without_vllm(plain))
    expected = [reference.read(reference.inputs([pieces])) for pieces in PROMPTS_TRIED]
    for caching, tokens in ((False, 64), (True, None)):
        options = replace(plain, model_kwargs={"enable_prefix_caching": caching})
        model = at_sites(options, RunOptions(batch_tokens=tokens))
        prompts = model.encoder.encode(PROMPTS_TRIED)[PROMPTS]
        try:
            for _ in range(2):
                read = model.run_prompts(prompts)[0].result()
                for place, point in enumerate(model.hook_points):
                    alone = np.concatenate([one.heads[place] for one in expected], axis=1)
                    apart = distances(alone, read.heads[place])
                    assert apart.max() < 1e-4, (point.site.label, point.grid.layer, apart)
            if caching:
                names = ",".join(NAMES)
                outputs = model.engine.embed(prompts, names, model.tokens)
                assert max(output.num_cached_tokens for output in outputs) > 0
            verdict = compare_here(model, PROMPTS_TRIED, lambda: reference)
        finally:
            model.engine.close()
        assert verdict.same
        assert "tokens" not in verdict.seen
        with capsys.disabled():
            words = "with cached prefixes" if caching else "in chunks of 64 tokens"
            print(f"\n{family} {words}: {verdict.seen}")
            for site in SITES:
                kept = [n for n, p in enumerate(model.hook_points) if p.site == site]
                alone = [np.concatenate([o.heads[n] for o in expected], 1) for n in kept]
                far = [
                    distances(one, read.heads[n]).max() for n, one in zip(kept, alone, strict=True)
                ]
                print(f"  {site.label}: {max(far):.1e}")


@pytest.mark.parametrize("family", ["gemma3", "qwen3_vl"])
def test_families_that_differ_with_images_are_refused(family, checkpoint, capsys):
    """Gemma's image tokens see each other, and attention of the CPU build has no such mask.

    Why Qwen3-VL differs is not known.
    """
    options = ModelOptions(model=checkpoint(family), engine="vllm")
    model, reference = at_sites(options), at_sites(without_vllm(options))
    texts = [(question,) for question in ("Is it?", "What is it? " * 20, "Why is the sky blue?")]
    try:
        verdicts = [compare_here(model, some, lambda: reference) for some in (texts, SHOWN)]
    finally:
        model.engine.close()
    assert [verdict.same for verdict in verdicts] == [True, False]
    with capsys.disabled():
        for words, verdict in zip(("texts", "images"), verdicts, strict=True):
            print(f"\n{family}, {words}: {verdict.seen}")


def test_two_ranks_give_what_transformers_gives(checkpoint, capsys, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    options = ModelOptions(model=checkpoint("qwen2_vl"), engine="vllm", ranks=2)
    model, reference = at_sites(options), at_sites(without_vllm(options))
    try:
        verdict = compare_here(model, PROMPTS_TRIED, lambda: reference)
    finally:
        model.engine.close()
    assert verdict.same
    with capsys.disabled():
        print(f"\ntwo ranks: {verdict.seen}")


def test_stores_of_both_engines_have_equal_heads_and_predictions(checkpoint, tmp_path, capsys):
    """The longest question does not fit the model: vLLM skips that row alone."""
    rng = np.random.default_rng(0)
    rows = {"train": [], "test": []}
    for number in range(48):
        label = number % 2
        image = picture(56, 56, number).point(lambda v, low=label: v // 3 + 150 * low)
        image.save(tmp_path / f"{number}.png")
        question = "Which?" + " Look again." * int(rng.integers(4))
        split = rows["train" if number < 24 else "test"]
        split.append({"image": f"{number}.png", "question": question, "label": "ab"[label]})
    rows["test"].append({"image": "0.png", "question": "Why? " * 600, "label": "a"})
    stores, seconds = {}, {}
    for engine in ("transformers", "vllm"):
        against = {"compare_with": stores["transformers"].path} if engine == "vllm" else {}
        some = rows | ({"test": rows["test"][:-1]} if engine == "transformers" else {})
        done = extract(
            "general",
            **some,
            media_root=tmp_path,
            model=checkpoint("qwen2_vl"),
            out=tmp_path / engine,
            engine=engine,
            **against,
        )
        stores[engine], seconds[engine] = open_store(tmp_path / engine), done.seconds
    skipped = done.skipped
    assert [row[0] for row in skipped] == ["test"]
    assert "vLLM refuses it" in skipped[0][2]
    a, b = stores["transformers"], stores["vllm"]
    assert a.manifest.identity.source() == b.manifest.identity.source()
    apart = distances(a.features("test"), b.features("test"))
    assert apart.max() < 1e-4
    chosen = {name: select(store, heads=5) for name, store in stores.items()}
    assert chosen["transformers"].heads == chosen["vllm"].heads
    found = {name: evaluate(store, chosen[name]).predictions for name, store in stores.items()}
    columns = ["id", "prediction"]
    both = found["vllm"][columns].head(24)  # the skipped row is the last
    assert found["transformers"][columns].equals(both)
    with capsys.disabled():
        ratio = seconds["transformers"] / seconds["vllm"]
        print(f"\nstores: {apart.max():.1e} apart; {ratio:.2f} times as many images a second")
        print(b.manifest.batching["batches"]["seen"])
