# The image of compose.yaml: every command of Vigil but the display, which wants a screen.
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /vigil
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY streams streams
COPY ui ui
COPY monitor monitor
COPY benchmarks benchmarks
RUN pip install --no-cache-dir .
RUN useradd --create-home vigil && mkdir /recorded && chown vigil /recorded
USER vigil
WORKDIR /tmp
