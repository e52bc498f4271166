"""Chat templates of published checkpoints, word for word, from Hugging Face's conversion scripts.

The scripts are part of the wheels of `transformers` up to 4.47 (Apache License 2.0):
`convert_llava_next_video_weights_to_hf.py` and Idefics2's processor in 4.43.4,
`convert_llava_onevision_weights_to_hf.py` and `convert_mllama_weights_to_hf.py` in 4.45.2. Those
of Llama 4 and SmolVLM come with every release.
"""

from transformers.models.llama4 import processing_llama4
from transformers.models.smolvlm import processing_smolvlm

__all__ = ["CHATML", "IDEFICS2", "LLAMA4", "MISTRAL", "MLLAMA", "ONEVISION", "SMOLVLM", "VICUNA"]

LLAMA4 = processing_llama4.chat_template
SMOLVLM = processing_smolvlm.DEFAULT_CHAT_TEMPLATE
IMAGES_THEN_TEXT = (
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}"
    "{% endfor %}"
    "{# Render all text next #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
)
"""What several of them do with a message."""
VICUNA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{{ message['content'][0]['text'] }}"
    "{% else %}"
    "{{ message['role'].upper() + ': '}}"
    "{% endif %}"
    f"{IMAGES_THEN_TEXT}"
    "{{ content['text'] + ' '}}"
    "{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ 'ASSISTANT:' }}"
    "{% endif %}"
)
"""LLaVA-1.5, LLaVA-NeXT and LLaVA-NeXT-Video with a Vicuna decoder."""
MISTRAL = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{{ '[INST] ' }}"
    f"{IMAGES_THEN_TEXT}"
    "{{ content['text'] }}"
    "{% endfor %}"
    "{{' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'][0]['text'] + '</s> '}}"
    "{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}"
    "{% endif %}"
    "{% endfor %}"
)
"""LLaVA-NeXT and LLaVA-NeXT-Video with a Mistral decoder; the script has `<\\s>` for `</s>`."""
CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n'}}"
    f"{IMAGES_THEN_TEXT}"
    "{{ content['text'] }}"
    "{% endfor %}"
    "{{'<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)
"""LLaVA-NeXT and LLaVA-NeXT-Video with a Yi decoder."""
ONEVISION = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type',"
    " 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}{# Render all video then #}{% for content"
    " in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}"
    "{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}{% for content"
    " in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}"
    "{% endfor %}{% else %}{% for content in message['content'] | selectattr('type', 'equalto',"
    " 'text') %}{% generation %}{{ content['text'] }}{% endgeneration %}{% endfor %}{% endif %}"
    "{{'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""LLaVA-OneVision."""
IDEFICS2 = (
    "{% for message in messages %}"
    "{{message['role'].capitalize()}}"
    "{% if message['content'][0]['type'] == 'image' %}"
    "{{':'}}"
    "{% else %}"
    "{{': '}}"
    "{% endif %}"
    "{% for line in message['content'] %}"
    "{% if line['type'] == 'text' %}"
    "{{line['text']}}"
    "{% elif line['type'] == 'image' %}"
    "{{ '<image>' }}"
    "{% endif %}"
    "{% endfor %}"
    "<end_of_utterance>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ 'Assistant:' }}"
    "{% endif %}"
)
"""Idefics2."""
MLLAMA = (
    "{% for message in messages %}"
    "{% if loop.index0 == 0 %}"
    "{{ bos_token }}"
    "{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['content'] is string %}"
    "{{ message['content'] }}"
    "{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}"
    "{{ '<|image|>' }}"
    "{% elif content['type'] == 'text' %}"
    "{{ content['text'] }}"
    "{% endif %}"
    "{% endfor %}"
    "{% endif %}"
    "{{ '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
"""Llama 3.2 Vision."""
