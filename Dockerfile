# docker build -t sepcli . && docker run --rm -v "$PWD:/work" -v sepcli-weights:/weights sepcli separate mix.wav
FROM python:3.13-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends ffmpeg libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home sepcli \
 && mkdir /weights /work \
 && chown sepcli /weights /work

COPY . /source
RUN pip install --no-cache-dir --constraint /source/constraints.txt /source && rm -rf /source

USER sepcli
ENV HF_HOME=/weights
VOLUME /weights
WORKDIR /work
ENTRYPOINT ["sepcli"]
CMD ["--help"]
