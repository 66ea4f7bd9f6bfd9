# CPU: docker build -t verse .        GPU: docker build --build-arg GPU=1 -t verse .
# python:3.11.15-slim-bookworm of 2026-08-05, by the digest of its index of platforms, as its makers
# record it (docker-library/repo-info, commit 3effc3e). Another one: --build-arg BASE_IMAGE=…
ARG BASE_IMAGE=docker.io/library/python@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3
FROM ${BASE_IMAGE}
ARG GPU=0
# Where pip finds certificates, if the building network needs its own; not kept in the image.
ARG PIP_CERT

LABEL org.opencontainers.image.title="verse" \
      org.opencontainers.image.description="Labelled vertebral centroids and vertebra masks from spine CT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

# The host's own packages are of no use here: one virtual environment, from the lock, hashes checked.
# What ends up in it is listed (SBOM) by a tool that does not.
COPY requirements.txt requirements/gpu.txt requirements/sbom.txt /tmp/locks/
RUN if [ "$GPU" = 1 ]; then lock=gpu.txt; else lock=requirements.txt; fi \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --require-hashes -r /tmp/locks/$lock \
    && python3 -m venv /tmp/sbom \
    && /tmp/sbom/bin/python -m pip install --no-cache-dir --require-hashes -r /tmp/locks/sbom.txt \
    && mkdir -p /opt/verse \
    && /tmp/sbom/bin/cyclonedx-py environment --output-reproducible --of JSON \
       -o /opt/verse/sbom.cdx.json /opt/venv/bin/python \
    && { dpkg-query -W > /opt/verse/debian-packages.txt || true; } \
    && rm -rf /tmp/sbom /tmp/locks

COPY entrypoint.py /opt/verse/
COPY verse_infer /opt/verse/verse_infer
COPY weights /opt/verse/weights
RUN /opt/venv/bin/python -m compileall -q /opt/verse \
    && chmod -R a+rX /opt/verse \
    && mkdir -p /data /output && chmod 1777 /output

ENV PATH=/opt/venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /opt/verse
STOPSIGNAL SIGTERM
# -I: neither PYTHONPATH and PYTHONHOME of the host, which Apptainer hands in, nor its working folder.
ENTRYPOINT ["/opt/venv/bin/python", "-I", "-B", "-u", "/opt/verse/entrypoint.py"]
