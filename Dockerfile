# docker build -t moe-repro . && docker run --rm -v "$PWD/out:/moe-repro/build/report-smoke" moe-repro
#
# With an NVIDIA base (the CUDA toolkit is found at build time):
#   docker build --build-arg BASE=nvidia/cuda:13.0.1-devel-ubuntu24.04 -t moe-repro-cuda .
ARG BASE=debian:12.11-slim
FROM ${BASE}
WORKDIR /moe-repro
# packages first: this layer is rebuilt only when their list changes
COPY scripts/packages.txt scripts/install.sh scripts/
RUN scripts/install.sh && rm -rf /var/lib/apt/lists/*
COPY . .
RUN ./runtests --no-install
CMD ["./reproduce", "--no-install"]
