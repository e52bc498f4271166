# savs on a GPU box. This file was not built by its authors: no container engine was at hand.
#
#     docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 --tag savs .
#     docker run --gpus all --volume "$PWD:/data" --volume "$HOME/.cache/huggingface:/cache" savs \
#         extract general --train train.jsonl --test test.jsonl --model Qwen/Qwen2-VL-7B-Instruct --out features
#
# The wheels of torch bring CUDA, so the host needs the driver and the NVIDIA Container Toolkit only. `nvidia-smi`
# names the newest CUDA that the driver runs: choose TORCH_INDEX by it. The other packages are those of
# constraints.txt, with which the tests ran.
FROM python:3.12-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cu128
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision

WORKDIR /opt/savs
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt '.[extract,remote,s3]' \
    && savs doctor

RUN useradd --create-home savs && mkdir /data /cache && chown savs /data /cache
USER savs
ENV HF_HOME=/cache
WORKDIR /data
ENTRYPOINT ["savs"]
CMD ["--help"]
