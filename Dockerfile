# Two stages: pip and its caches stay in the first. Every package is a wheel that is checked against its hash in requirements.txt.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
RUN /opt/venv/bin/python -m pip install --require-hashes --only-binary :all: -r /tmp/requirements.txt

FROM python:3.13-slim
RUN groupadd --gid 10001 sluice \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sluice \
 && install -d -o sluice -g sluice -m 0700 /data
WORKDIR /srv/sluice
COPY --from=build /opt/venv /opt/venv
COPY app app
COPY config/gateway.yaml config/gateway.yaml
RUN /opt/venv/bin/python -m compileall -q app

# Nothing is written but to /data (documents, compiled scanner patterns) and /tmp, so the root file system can be mounted read-only.
# Outside loopback the gateway starts only with GATEWAY_API_KEYS (or ALLOW_ANONYMOUS=true) set; no secret is in the image.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000 CHROMA_PATH=/data/chroma XDG_CACHE_HOME=/data/cache
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
CMD ["python", "-m", "app", "serve"]
