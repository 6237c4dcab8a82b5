FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY mappings mappings
COPY worker worker
# The pinned versions as constraints: pip cannot check hashes beside a local folder.
RUN sed -E 's/ *\\$//; /--hash/d' requirements.lock > constraints.txt \
    && python -m venv /app \
    && /app/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 milesync
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 MILESYNC_LISTEN=0.0.0.0:8000 MILESYNC_LOG_FORMAT=json
USER milesync
WORKDIR /home/milesync
CMD ["python", "-m", "worker.web"]
