#!/bin/sh
# Starts the MLflow server, the same on a plain host, under compose and in Kubernetes. It reads
#   MLFLOW_HOST                the private address to listen on; in a container, where the port is published, 0.0.0.0
#   MLFLOW_BACKEND_STORE_URI   postgresql://USER@HOST:5432/DATABASE, without a password
#   MLFLOW_ARTIFACTS           s3://BUCKET/PREFIX, or a folder
#   PGPASSWORD and AWS_SECRET_ACCESS_KEY, or the files PGPASSWORD_FILE and AWS_SECRET_ACCESS_KEY_FILE that hold them
#   AWS_ACCESS_KEY_ID and, unless it is Amazon's S3, MLFLOW_S3_ENDPOINT_URL
#   MLFLOW_SERVER_ALLOWED_HOSTS the names it is called by, with commas; without it localhost and private addresses
#   MLFLOW_AUTH_ADMIN_PASSWORD, or the file MLFLOW_AUTH_ADMIN_PASSWORD_FILE that holds it: of the user `admin`, who is
#     made at the first start and makes the others; MLFLOW_LOGIN=none for a server that asks nobody
#   MLFLOW_AUTH_DATABASE_URI   where users are kept; by default with all else
#   MLFLOW_PORT (5000), MLFLOW_WORKERS (2)
set -eu

: "${MLFLOW_HOST:?is not set: give the private address to listen on}"
: "${MLFLOW_BACKEND_STORE_URI:?is not set: give postgresql://USER@HOST:5432/DATABASE}"
: "${MLFLOW_ARTIFACTS:?is not set: give s3://BUCKET/PREFIX}"

if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE")
    export PGPASSWORD
fi
if [ -n "${AWS_SECRET_ACCESS_KEY_FILE:-}" ]; then
    AWS_SECRET_ACCESS_KEY=$(cat "$AWS_SECRET_ACCESS_KEY_FILE")
    export AWS_SECRET_ACCESS_KEY
fi

if [ "${MLFLOW_LOGIN:-basic}" = none ]; then
    set --
else
    if [ -n "${MLFLOW_AUTH_ADMIN_PASSWORD_FILE:-}" ]; then
        MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$MLFLOW_AUTH_ADMIN_PASSWORD_FILE")
    fi
    : "${MLFLOW_AUTH_ADMIN_PASSWORD:?is not set: give a password for admin, or MLFLOW_LOGIN=none}"
    umask 077
    MLFLOW_AUTH_CONFIG_PATH=$(mktemp)
    printf '[mlflow]\ndefault_permission = READ\nadmin_username = admin\ndatabase_uri = %s\n' \
        "${MLFLOW_AUTH_DATABASE_URI:-$MLFLOW_BACKEND_STORE_URI}" > "$MLFLOW_AUTH_CONFIG_PATH"
    MLFLOW_FLASK_SERVER_SECRET_KEY=${MLFLOW_FLASK_SERVER_SECRET_KEY:-$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')}
    export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_AUTH_CONFIG_PATH MLFLOW_FLASK_SERVER_SECRET_KEY
    set -- --app-name basic-auth
fi

# Without its job runner the server is up in 5 s instead of 18, and takes .5 GB instead of 2.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

exec mlflow server --host "$MLFLOW_HOST" --port "${MLFLOW_PORT:-5000}" --workers "${MLFLOW_WORKERS:-2}" \
    --backend-store-uri "$MLFLOW_BACKEND_STORE_URI" --artifacts-destination "$MLFLOW_ARTIFACTS" "$@"
