# Everything a job needs: the locked packages and alignsec itself. The packages bring CUDA's libraries, the host its
# driver. docker build -t alignsec . ; what the layers do is in container/*.sh, which the tests run as well.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04
LABEL org.opencontainers.image.title="alignsec" \
      org.opencontainers.image.description="Adversarial robustness against human-likeness of vision models" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# the packages first: they change less often than the code
COPY container/install.sh envs/quiet.pth requirements.lock pyproject.toml README.md LICENSE /opt/source/
COPY src /opt/source/src
COPY config /opt/source/config
RUN bash /opt/source/install.sh /opt/source /opt/alignsec
ENV PATH=/opt/alignsec/bin:$PATH PYTHONDONTWRITEBYTECODE=1 BS_INSTALL_DEPENDENCIES=no
COPY container/smoke.sh /opt/source/
RUN useradd --create-home alignsec
USER alignsec
WORKDIR /home/alignsec
RUN bash /opt/source/smoke.sh
