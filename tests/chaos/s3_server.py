"""An S3 server of its own process, so that it can be stopped: moto's, which answers 503 while a file is there.

python -m tests.chaos.s3_server PORT FILE
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

REFUSED = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def serve(port: int, refuses: str) -> None:
    """Until it is ended."""
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if os.path.exists(refuses):
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [REFUSED]
        return moto(environ, start_response)  # type: ignore[no-any-return]

    run_simple("127.0.0.1", port, application, threaded=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
