# docker build -f docker/cuda.Dockerfile -t mmvovnet:cuda .
# docker run --rm -it --gpus all --shm-size 8g mmvovnet:cuda
#
# CUDA_VERSION has the major version of torch's CUDA (constraints.txt), as the
# ops of mmcv are compiled with it. ARCHS are the GPUs that the ops are for.
ARG CUDA_VERSION=13.0.0
FROM nvidia/cuda:${CUDA_VERSION}-devel-ubuntu22.04

ARG ARCHS="7.5;8.0;8.6;8.9;9.0"
ENV DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      g++ git libgl1 libglib2.0-0 make python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /mmvovnet
COPY . .
RUN FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST="${ARCHS}" make setup VENV=/opt/mmvovnet \
 && rm -rf /root/.cache
ENV VIRTUAL_ENV=/opt/mmvovnet PATH=/opt/mmvovnet/bin:$PATH
CMD ["python", "tools/check_stack.py"]
