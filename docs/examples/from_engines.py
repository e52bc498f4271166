"""Write files for `savs import` from what vLLM-Lens, vLLM-Hook and nnsight give, if it is here.

What they give is made so, with the last token of each prompt, not of the answer:

    layers = [8, 16]  # vLLM-Lens: the residual stream after these layers
    parameters = SamplingParams(max_tokens=1, extra_args={"output_residual_stream": layers})
    outputs = llm.generate(prompts, parameters)
    states = [o.activations["residual_stream"][:, len(o.prompt_token_ids) - 1] for o in outputs]
    torch.save({"layers": layers, "states": states}, "lens.pt")

    kept = []  # nnsight: the input of each output projection, the heads side by side
    for prompt in prompts:
        with model.trace(prompt):
            heads = [layer.self_attn.o_proj.input[0, -1].save() for layer in model.model.layers]
        kept.append(torch.stack(heads).float().cpu().numpy())
    np.savez("nnsight.npz", heads=np.stack(kept))

vLLM-Hook writes hidden_states.pt itself, for each call of `generate`.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HEAD_DIM = 16
"""Width of a head of the model that nnsight ran."""


def from_lens():
    lens = torch.load("lens.pt", weights_only=True)
    states = torch.stack(lens["states"])  # (examples, layers, width)
    tensors = {f"L{layer}.H0": states[:, n].clone() for n, layer in enumerate(lens["layers"])}
    save_file(tensors, "lens.safetensors")


def from_hook():
    cache = torch.load("hidden_states.pt", weights_only=True)["hs_cache"]
    tensors = {
        f"L{module['layer_num']}.H0": torch.stack(
            [states.reshape(-1, states.shape[-1])[-1] for states in module["hidden_states"]]
        )
        for module in cache.values()
    }
    save_file(tensors, "hook.safetensors")


def from_nnsight():
    values = np.load("nnsight.npz")["heads"]  # (examples, layers, heads x width)
    np.save("nnsight.npy", values.reshape(*values.shape[:2], -1, HEAD_DIM))


for file, convert in (
    ("lens.pt", from_lens),
    ("hidden_states.pt", from_hook),
    ("nnsight.npz", from_nnsight),
):
    if Path(file).exists():
        convert()
