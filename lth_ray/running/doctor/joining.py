"""Finding the cluster, knocking at it, and only then joining it.

ray.init repeats for 20 s and names no reason where the token is wrong, and for minutes where nobody listens; one
unary call to the head's GCS tells these apart at once.
"""

import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import ray

from lth_ray.running.doctor.finding import NOTE, OK, PROBLEM, Finding
from lth_ray.running.machine.unpublished import bootstrap_address

Knock = Literal["open", "refused", "silent"]
KNOCK = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # takes an empty message, and is guarded as every other call is
KNOCK_S = 5.0
LOOPBACK = ("127.", "localhost", "::1", "[::1]")
TOKEN_REMEDY = (
    "set RAY_AUTH_MODE=token, and put the cluster's token (on its head: `ray get-auth-token`) into ~/.ray/auth_token "
    "or RAY_AUTH_TOKEN, on every node and client alike"
)
FORM_REMEDY = "give HOST:PORT of the head's GCS, such as --address HEAD:6379, on a machine of the cluster"


def target(address: str | None) -> str | None:
    """Return the cluster asked for, or the one that this is a job of; None for none: this machine alone is
    looked at.
    """
    return address or os.environ.get("RAY_ADDRESS") or ("auto" if os.environ.get("RAY_JOB_ID") else None)


def form(address: str) -> Finding | None:
    """Return what is wrong with the form of an address, if anything."""
    if address.startswith(("http://", "https://")):
        found = f"{address} is the job server's, which only takes jobs"
        return Finding("ray", PROBLEM, found, f"ray job submit --address {address} -- lth-ray doctor")
    if "://" in address or (address != "auto" and not address.rpartition(":")[2].isdigit()):
        return Finding("ray", PROBLEM, f"{address!r} is not an address of the kind HOST:PORT", FORM_REMEDY)
    return None


def token() -> str:
    """Return the token that Ray would send: "" where there is none, or where it is switched off."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return ""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"].strip()
    try:
        return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").read_text().strip()
    except OSError:
        return ""


def knock(address: str, token: str = "", timeout_s: float = KNOCK_S) -> Knock:
    """Call the GCS once: "open" it answers, "refused" for want of the right token, "silent" otherwise."""
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(KNOCK)
        try:
            call(b"", timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            return "refused" if error.code() == grpc.StatusCode.UNAUTHENTICATED else "silent"
    return "open"


def admitted(address: str) -> list[Finding]:
    """Knock with and without the token. The last finding is a problem where one cannot join."""
    if os.environ.get("RAY_USE_TLS") == "1":
        return [
            Finding("token", NOTE, "not looked at: the cluster speaks TLS", "see that RAY_AUTH_MODE=token is set too")
        ]
    own = token()
    without = knock(address)
    return admission(address, without, knock(address, own) if own and without == "refused" else without, bool(own))


def admission(address: str, without: Knock, with_token: Knock, has_token: bool) -> list[Finding]:
    """Return what two knocks say."""
    if "silent" in (without, with_token):
        found = f"no cluster answers at {address} within {KNOCK_S:g} s"
        return [Finding("ray", PROBLEM, found, f"start it (ray start --head), check the firewall; {FORM_REMEDY}")]
    if with_token == "refused":
        mine = "the token here is not the cluster's" if has_token else "there is no token here, or RAY_AUTH_MODE is off"
        return [Finding("token", PROBLEM, f"{address} demands a token, and {mine}", TOKEN_REMEDY)]
    if without == "refused":
        return [Finding("token", OK, "demanded by the cluster, and the right one is here")]
    remedy = "start every node with RAY_AUTH_MODE=token and one token, or keep its ports behind a firewall"
    return [Finding("token", NOTE, f"none is demanded: whoever reaches {address} can run code", remedy)]


def dashboard(url: str | None, timeout_s: float = 3.0) -> Finding:
    """Check whether the dashboard, which takes jobs, answers whoever asks."""
    if not url:
        return Finding("dashboard", OK, "there is none")
    url = url if "://" in url else f"http://{url}"
    if (urlsplit(url).hostname or "").startswith(LOOPBACK):
        return Finding("dashboard", OK, f"{url} listens on loopback only")
    plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with plain.open(f"{url}/api/jobs/", timeout=timeout_s):
            pass
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Finding("dashboard", OK, f"{url} demands a token")
        return Finding(
            "dashboard", NOTE, f"{url} answers with {error.code}", "see dashboard.log in Ray's session folder"
        )
    except OSError as error:
        return Finding("dashboard", NOTE, f"{url} cannot be reached from here: {error}", "submit jobs from elsewhere")
    remedy = "RAY_AUTH_MODE=token on every node, or ray start --dashboard-host=127.0.0.1 and an SSH tunnel"
    return Finding("dashboard", PROBLEM, f"{url} runs whatever anybody submits: it asks for no token", remedy)


def resolved(address: str) -> str:
    """Return HOST:PORT of "auto".

    Raise ConnectionError where there is no cluster on this machine, or more than one.
    """
    if address != "auto":
        return address
    return bootstrap_address()


def join(address: str) -> Any:
    """Return Ray's context. Raise what ray.init raises: ConnectionError, RuntimeError, ValueError, RayError."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
