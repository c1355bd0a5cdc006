# docker build -f docker/cpu.Dockerfile -t mmvovnet:cpu .
# docker run --rm -it -v "$PWD/data:/mmvovnet/data" mmvovnet:cpu make demo
FROM python:3.11-slim-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ git libgl1 libglib2.0-0 make \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /mmvovnet
COPY . .
RUN make setup VENV=/opt/mmvovnet \
 && rm -rf /root/.cache
ENV VIRTUAL_ENV=/opt/mmvovnet PATH=/opt/mmvovnet/bin:$PATH
CMD ["python", "tools/check_stack.py"]
