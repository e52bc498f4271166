"""Why architectures are not verified with images, where an error of transformers would not say it.

Each says what would be needed.
"""

NO_TEMPLATE = "published checkpoints have no chat template"
OWN_CODE = "give --model-code with to_inputs"
ENCODER_DECODER = (
    "an encoder with a decoder: at the decoder's start token self-attention sees that token alone,"
    " so its first layer says the same of every prompt; needs cross-attention heads"
)
"""Said of every architecture whose configuration says that it is one."""
CODES = (
    "images become codes of a vocabulary that only a checkpoint's configuration has;"
    " test yours with check-model"
)
REASONS = {
    "blip": "its decoder's layers are BERT's, whose projection lies beside the attention;"
    " give --model-code with find_heads",
    "blip-2": f"{NO_TEMPLATE}, and no prompt goes without an image; {OWN_CODE}",
    "instructblip": f"{NO_TEMPLATE}, and a Q-Former reads the question, too; {OWN_CODE}",
    "instructblipvideo": f"{NO_TEMPLATE}, and a Q-Former reads the question, too; {OWN_CODE}",
    "chameleon": CODES,
    "emu3": CODES,
    "evolla": "reads proteins, not images",
    "fuyu": f"{NO_TEMPLATE}; text alone was tested; {OWN_CODE}",
    "git": "its layers are BERT's, whose projection lies beside the attention; give --model-code"
    " with find_heads",
    "kosmos-2": f"{NO_TEMPLATE}, and no prompt goes without an image; {OWN_CODE}",
    "kosmos-2.5": f"{NO_TEMPLATE}; text alone was tested; {OWN_CODE}",
    "nemotron_h_omni": "its attention is the mixer of a hybrid layer; give --model-code with"
    " find_heads",
    "paligemma": f"{NO_TEMPLATE}, and its processor takes no prompt without an image; text alone"
    f" was tested; {OWN_CODE}",
    "pi0": "a policy of robots: its forward pass needs a state",
}
