# Any base with python3 (3.11 or later) and venv will do.
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock ./
# Both secrets are optional: for a package index or a certificate authority of your own. Neither stays in a layer.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/run/secrets/ca.pem \
    python3 -m venv tools \
    && python3 -m venv --without-pip /opt/maildelta \
    && tools/bin/pip --python /opt/maildelta/bin/python install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY app app
# What builds is in the lock too, and has no business in the image. `pip check` fails if something else needs it.
RUN tools/bin/pip --python /opt/maildelta/bin/python install --no-index --no-deps --no-build-isolation . \
    && tools/bin/pip --python /opt/maildelta/bin/python uninstall --yes \
        editables hatchling packaging pathspec pluggy trove-classifiers \
    && tools/bin/pip --python /opt/maildelta/bin/python check

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Maildelta" \
      org.opencontainers.image.description="Which mail on a POP3 server is new: each message once, nothing deleted unasked." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 maildelta \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin maildelta \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/maildelta /opt/maildelta
ENV PATH=/opt/maildelta/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MAILDELTA_DATA_DIR=/data \
    MAILDELTA_HOST=0.0.0.0 \
    MAILDELTA_PORT=8000
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# The standard library alone: importing the service would take two seconds of CPU each time.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['MAILDELTA_PORT']), timeout=4); \
connection.request('GET', '/readyz'); \
sys.exit(connection.getresponse().status != 200)"]
ENTRYPOINT ["maildelta"]
CMD ["serve"]
