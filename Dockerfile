# Everything a job needs: the locked packages and alignsec itself. The packages bring the CUDA libraries; the
# host brings the driver.
FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="alignsec" org.opencontainers.image.licenses="MIT"
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 BS_INSTALL_DEPENDENCIES=no
WORKDIR /opt/alignsec
COPY requirements.lock ./
RUN pip install uv==0.13.9 && uv pip install --system --no-cache --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY workflow/schemas ./workflow/schemas
RUN uv pip install --system --no-cache --no-deps .
RUN useradd --create-home alignsec
USER alignsec
RUN alignsec devices && alignsec config readme > /dev/null
