"""Log-likelihoods the slow way: each token in a whole pass of its own, in double precision."""

import torch


def likelihood(model, inputs, tokens):
    """Return log p(tokens | inputs) of a model of transformers; `inputs` are of one prompt."""
    inputs, total = dict(inputs), 0.0
    for token in tokens:
        with torch.inference_mode():
            logits = model(**inputs, use_cache=False).logits[0, -1].double()
        total += float(logits.log_softmax(0)[token])
        one = torch.ones((1, 1), dtype=torch.long)
        for name, more in {"input_ids": token, "attention_mask": 1}.items():
            inputs[name] = torch.cat([inputs[name], more * one], dim=1)
        for name in {"token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids"} & set(inputs):
            kind = int(model.config.model_type == "paligemma")  # where 1 is what follows a prompt
            inputs[name] = torch.cat([inputs[name], kind * one], dim=1)
        if "image_embeds_position_mask" in inputs:
            places = inputs["image_embeds_position_mask"]
            inputs["image_embeds_position_mask"] = torch.cat([places, 0 * one], dim=1)
        if "cross_attention_mask" in inputs:
            seen = inputs["cross_attention_mask"]  # by an answer as by the prompt's last token
            inputs["cross_attention_mask"] = torch.cat([seen, seen[:, -1:]], dim=1)
    return total
