# A laptop's demo, on its CPU: docker build --tag lth-ray . && docker run --shm-size 1g --volume "$PWD/results:/work" lth-ray
# Clusters have an image of their own, cluster/Dockerfile. Pin the base by its digest before you rely on it.
FROM python:3.12-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY lth_ray ./lth_ray
COPY studies ./studies
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY constraints.txt /constraints.txt
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --constraint /constraints.txt /wheels/*.whl \
    && useradd --create-home --uid 1000 lth \
    && install --directory --owner=lth /work
USER 1000
WORKDIR /work
ENTRYPOINT ["lth-ray"]
CMD ["run", "digits"]
