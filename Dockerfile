# finetune with all that it needs, of the commit that a clone of the repository has checked out:
#
#   docker build -t metatt .                         for CPUs
#   docker build -t metatt --build-arg TORCH=cuda .  for NVIDIA GPUs, too: docker run --gpus all
#   docker run --rm -v "$PWD:/work" -v metatt:/cache metatt train -c configs/sample.yaml
#
# What is fetched stands in /cache, runs in the folder that is mounted at /work.
FROM golang:1.26-bookworm AS build
ARG TORCH=cpu
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/*
# Set-up takes a torch that LIBTORCH names; without a driver it would install the CPU's.
RUN mkdir /opt/torch \
 && if [ "$TORCH" = cuda ]; then python3 -m venv /opt/torch && /opt/torch/bin/pip install --no-cache-dir torch==2.11.0; fi
WORKDIR /opt/metatt
COPY .git .git
RUN git config --global --add safe.directory /opt/metatt \
 && git reset --hard \
 && if [ "$TORCH" = cuda ]; then export LIBTORCH=$(/opt/torch/bin/python -c 'import torch; print(torch.__path__[0])'); fi \
 && make build && mkdir -p .libtorch .gotch/helper

# The program finds libtorch and the CUDA helper where they stood when it was linked.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /cache /work && chmod 1777 /cache /work
COPY --from=build /opt/torch /opt/torch
COPY --from=build /opt/metatt/.libtorch /opt/metatt/.libtorch
COPY --from=build /opt/metatt/.gotch/helper /opt/metatt/.gotch/helper
COPY --from=build /opt/metatt/bin/finetune /usr/local/bin/finetune
COPY --from=build /opt/metatt/configs /work/configs
ENV METATT_HOME=/cache
WORKDIR /work
ENTRYPOINT ["finetune"]
