#!/bin/sh
# Says which images of the files in this folder are not pinned by digest, and ends with 1 while there are any. A tag may
# be pushed again; a digest is the image itself. For each, in your registry or its own,
#   docker buildx imagetools inspect --format '{{.Manifest.Digest}}' postgres:17
# prints what to append: image: postgres:17@sha256:...
set -eu
cd "$(dirname "$0")"
found=$(grep -nE '^[[:space:]]*(- )?(image|worker_image):|^(ARG BASE=|FROM )' -r --include='*.yaml' --include=Dockerfile . |
    grep -vE '@sha256:[0-9a-f]{64}([[:space:]]|$)|FROM \$\{BASE\}' | sed 's/[[:space:]]*#.*//' || true)
if [ -z "$found" ]; then
    echo 'every image is pinned by its digest'
    exit
fi
printf 'not pinned by digest:\n%s\n' "$found"
exit 1
