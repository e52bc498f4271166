"""Why architectures are not verified with images, where an error of transformers would not say it.

Each says what would be needed.
"""

ENCODER_DECODER = (
    "an encoder with a decoder: at the decoder's start token self-attention sees that token alone,"
    " so its first layer says the same of every prompt; needs cross-attention heads"
)
"""Said of every architecture whose configuration says that it is one."""
CODES = (
    "images become codes of a vocabulary that only a checkpoint's configuration has;"
    " test yours with `savs models CHECKPOINT`"
)
ROBOTS = "a policy of robots: its forward pass needs the state of one; needs prompts with states"
REASONS = {
    "blip": "its decoder's layers are BERT's, whose projection lies beside the attention;"
    " give --recipe FILE.py with find_heads",
    "chameleon": CODES,
    "diffusion_gemma": "writes blocks of text by diffusion, so that no token is the last one that"
    " has read the prompt; needs a place to read from that its authors name",
    "dots3_note": "layers of one type differ in their settings; needs a small configuration that"
    " sets each layer, and its processor; test yours with `savs models CHECKPOINT`",
    "emu3": CODES,
    "evolla": "reads proteins, not images; needs prompts of proteins",
    "git": "its layers are BERT's, whose projection lies beside the attention; give --recipe"
    " FILE.py with find_heads",
    "granite_speech": "its feature extractor needs torchaudio, and a sound moves others in a batch",
    "idefics": "each text needs an image, which its cross-attention reads; needs its processor with"
    " a small checkpoint, and a chat template, which published checkpoints lack",
    "instructblipvideo": "reads videos only; needs videos as its processor takes them",
    "kosmos-2.5": "published checkpoints have no chat template, and its processor marks the places"
    " of images without regard to padding; text alone was tested; give --recipe FILE.py"
    " with to_inputs",
    "nemotron_h_omni": "its attention is the mixer of a hybrid layer; give --recipe FILE.py with"
    " find_heads",
    "pi0": ROBOTS,
    "pi05": ROBOTS,
    "qwen3_asr": "a sound moves others of its batch; needs a small checkpoint with its processor",
    "vibevoice_asr": "adds noise to a sound in each pass; needs a way to leave that out",
}
SOUNDS = (
    *("audioflamingo3", "glmasr", "granite_speech", "moss_transcribe_diarize", "musicflamingo"),
    *("qwen2_audio", "qwen3_asr", "vibevoice_asr", "voxtral"),
)
"""Families that read sounds and no images, next to those that read images."""
