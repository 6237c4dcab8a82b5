# The image of every process of milesync; docker-compose.yml starts them.
# The digest is that of the tag beside it; renew both together.
ARG PYTHON=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY mappings mappings
COPY worker worker
RUN python -m venv /app
RUN /app/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
RUN /app/bin/pip install --no-cache-dir --no-deps --no-build-isolation . && /app/bin/pip check

FROM ${PYTHON}
RUN useradd --create-home --uid 10001 milesync
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MILESYNC_LISTEN=0.0.0.0:8000 MILESYNC_LOG_FORMAT=json
USER milesync
WORKDIR /home/milesync
EXPOSE 8000
CMD ["python", "-m", "worker.web"]
