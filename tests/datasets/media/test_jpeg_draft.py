import io

import numpy as np
from PIL import Image

from savs.datasets.media.images import decode_image


def test_a_draft_is_a_reduced_jpeg_of_enough_pixels():
    photo = Image.effect_noise((1600, 1200), 60).convert("RGB")
    file = io.BytesIO()
    photo.save(file, "JPEG")
    whole = decode_image(file.getvalue(), "x.jpg")
    for pixels, size in ((10**9, (1600, 1200)), (400 * 300, (400, 300)), (9, (200, 150))):
        draft = decode_image(file.getvalue(), "x.jpg", draft_pixels=pixels)
        assert draft.size == size
    assert decode_image(file.getvalue(), "x.jpg", draft_pixels=500 * 400).size == (800, 600)
    small = whole.resize((400, 300), Image.Resampling.BOX)
    draft = decode_image(file.getvalue(), "x.jpg", draft_pixels=400 * 300)
    assert np.abs(np.asarray(small, int) - np.asarray(draft, int)).mean() < 8


def test_other_formats_have_no_draft():
    file = io.BytesIO()
    Image.new("RGB", (900, 600)).save(file, "PNG")
    assert decode_image(file.getvalue(), "x.png", draft_pixels=100).size == (900, 600)
