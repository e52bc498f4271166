import dataclasses

import pytest
import torch
from clips import PALETTE, encode, plain
from PIL import Image

from savs.datasets.media.media import MediaRules
from savs.pipeline.extraction.line.jobs import Job, Medium, Prepared, Refused, Request
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.prepare import prepare
from savs.pipeline.extraction.run_options import RunOptions

SETTINGS = PassSettings(dtype=torch.bfloat16)


@pytest.fixture
def job(inputs):
    """Return a maker of a job with one image a request, of the sizes given."""

    def make(*sizes):
        names = [inputs.image(f"{n}.png", n, size) for n, size in enumerate(sizes)]
        media = {name: Medium(name, (inputs.root / name).read_bytes()) for name in names}
        requests = [Request(n, f"e{n}", "What?", (name,), 1, 9) for n, name in enumerate(names)]
        return Job(tuple(requests), media)

    return make


@pytest.mark.parametrize(
    "error", [KeyError("size"), ZeroDivisionError(), MemoryError(), ValueError("no")]
)
def test_whatever_a_processor_raises_refuses_that_row_alone(encoder, job, error):
    def refusing(processor, prompts):
        if any(piece.width == 40 for piece, _ in prompts):
            raise error
        return encoder.to_inputs(processor, prompts)

    touchy = dataclasses.replace(encoder, to_inputs=refusing)
    found = job((56, 56), (56, 40), (56, 84), (56, 56), (56, 112))
    done = prepare(touchy, found, SETTINGS)
    refused = [part for part in done.parts if isinstance(part, Refused)]
    assert [part.request for part in refused] == [1]
    assert "the processor refuses it (images of [(40, 56)] px): " in refused[0].reason
    assert (str(error) or repr(error)) in refused[0].reason
    ready = [part for part in done.parts if isinstance(part, Prepared)]
    assert sorted(number for part in ready for number in part.requests) == [0, 2, 3, 4]


def test_a_damaged_image_refuses_its_row(encoder, job):
    found = job((56, 56), (56, 84))
    broken = Medium("1.png", found.media["1.png"].data[:60])
    done = prepare(
        encoder, dataclasses.replace(found, media={**found.media, "1.png": broken}), SETTINGS
    )
    refused, ready = done.parts
    assert "1.png" in refused.reason
    assert ready.requests == (0,)


def test_pixels_are_given_in_the_models_type_or_as_bytes(encoder, job):
    found = job((56, 56))
    (plain,) = prepare(encoder, found, SETTINGS).parts
    assert plain.inputs["pixel_values"].dtype == torch.bfloat16
    assert plain.inputs["input_ids"].dtype == torch.int64
    (raw,) = prepare(encoder, found, dataclasses.replace(SETTINGS, raw_pixels=True)).parts
    assert raw.inputs["pixel_values"].dtype == torch.uint8
    assert raw.inputs["pixel_values"].shape == plain.inputs["pixel_values"].shape


def test_frames_that_prompts_share_are_images_of_their_own(encoder):
    data = encode("mp4", [plain(color) for color in PALETTE[:6]])
    media = {"clip": Medium("clip.mp4", data)}
    requests = tuple(Request(n, f"e{n}", text, ("clip",), 3, 9) for n, text in enumerate("?!"))
    rules = MediaRules(video="frames", video_frames=3)
    settings = dataclasses.replace(SETTINGS, rules=rules, dtype=torch.float32, shared_images=3)
    (shared,) = prepare(encoder, Job(requests, media, shared=True), settings).parts
    (alone,) = prepare(encoder, Job(requests[:1], media), settings).parts
    frames = [("clip", 0), ("clip", 1), ("clip", 2)]
    assert [list(keys) for keys in shared.image_keys] == [frames, frames]
    pixels = torch.cat([shared.vision[frame]["pixel_values"] for frame in frames])
    assert torch.equal(pixels, alone.inputs["pixel_values"])
    assert len(pixels.unflatten(0, (3, -1)).unique(dim=0)) == 3


def test_an_image_of_several_requests_is_decoded_once(encoder, job, monkeypatch):
    from savs.pipeline.extraction.line import jobs as module

    decode, decoded = module.decode_medium, []
    monkeypatch.setattr(
        module, "decode_medium", lambda *given: decoded.append(given[1]) or decode(*given)
    )
    found = job((56, 56), (56, 84))
    again = Request(2, "e2", "And?", ("0.png",), 1, 9)
    prepare(encoder, dataclasses.replace(found, requests=(*found.requests, again)), SETTINGS)
    assert decoded == ["0.png", "1.png"]


def test_an_image_is_decoded_once_for_its_boxes_wherever_they_are_in_a_job(
    encoder, job, monkeypatch
):
    from savs.datasets.media import media as module

    decode, decoded = module.decode_image, []
    monkeypatch.setattr(
        module, "decode_image", lambda *given, **more: decoded.append(1) or decode(*given, **more)
    )
    module._whole_image.cache_clear()
    found = job((200, 200), (300, 300))
    boxes = [(n, f"#box=[0,0,{size},{size}]") for size in (60, 90, 120) for n in range(2)]
    media = {f"{n}{box}": Medium(f"{n}.png{box}", found.media[f"{n}.png"].data) for n, box in boxes}
    requests = tuple(Request(k, f"e{k}", "Q", (name,), 1, 9) for k, name in enumerate(media))
    done = prepare(encoder, Job(requests, media), SETTINGS)
    assert len(decoded) == 2
    assert sorted(number for part in done.parts for number in part.requests) == [*range(6)]


def test_thumbnails_are_of_each_requests_first_image(encoder, job):
    settings = dataclasses.replace(SETTINGS, run=RunOptions(thumbnails=True))
    done = prepare(encoder, job((56, 56), (300, 600)), settings)
    assert set(done.thumbnails) == {0, 1}
    import io

    assert Image.open(io.BytesIO(done.thumbnails[1])).format == "JPEG"
