"""The checks of a manifest by an API server and KubeRay's operator, without either of them."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.cluster_files.files import SCHEMAS

KUBERNETES = "1.33.0"
BASE = "https://kubernetes.io/api/"
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
NAME_LENGTHS = {"RayCluster": 53, "RayJob": 47}  # the operator's own limits: it appends to these names
AUTHENTICATED = (2, 52)  # the first Ray with tokens


@cache
def registry() -> Registry[Any]:
    """Kubernetes' definitions in their strict form (no unknown field) and ours of ray.io/v1."""
    pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas: pip install kubernetes-validate")
    strict = files("kubernetes_validate").joinpath(f"kubernetes-json-schema/v{KUBERNETES}-local-strict")
    kubernetes = json.loads(strict.joinpath("_definitions.json").read_text())
    ray = yaml.safe_load((SCHEMAS / "ray.io_v1.yaml").read_text())
    return Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in (kubernetes, ray))


def definition(api_version: str, kind: str) -> str:
    """Return where the schema of a kind is: ours for Ray's, the one of Kubernetes that claims it for the
    rest.
    """
    if api_version == "ray.io/v1" and kind in NAME_LENGTHS:
        return f"{BASE}ray.io_v1.yaml#/$defs/{kind}"
    kubernetes = registry().contents(f"{BASE}_definitions.json")["$defs"]
    group, _, version = api_version.rpartition("/")
    claimed = {"group": group, "kind": kind, "version": version}
    found = [
        name for name, schema in kubernetes.items() if claimed in schema.get("x-kubernetes-group-version-kind", ())
    ]
    assert len(found) == 1, f"no kind {kind} in {api_version}"
    return f"{BASE}_definitions.json#/$defs/{found[0]}"


def check(manifest: dict[str, Any]) -> None:
    """Raises ValidationError or AssertionError where `kubectl apply` or the operator would refuse the manifest."""
    schema = {"$ref": definition(manifest["apiVersion"], manifest["kind"])}
    Draft202012Validator(schema, registry=registry()).validate(manifest)
    if manifest["kind"] == "RayJob":
        _check_job(manifest["spec"])
    if manifest["kind"] in NAME_LENGTHS:
        _check_name(manifest["kind"], manifest["metadata"]["name"])
        _check_ray(cluster_spec(manifest))
    for pod in pods(manifest):
        _check_pod(pod)


def cluster_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """The RayClusterSpec of a RayCluster or a RayJob."""
    spec: dict[str, Any] = manifest["spec"]
    return spec if manifest["kind"] == "RayCluster" else spec["rayClusterSpec"]


def groups(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Head and worker groups."""
    spec = cluster_spec(manifest)
    return [spec["headGroupSpec"], *spec.get("workerGroupSpecs", ())]


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod specs within a manifest."""
    if manifest["kind"] in NAME_LENGTHS:
        return [group["template"]["spec"] for group in groups(manifest)]
    template = manifest.get("spec", {}).get("template")
    return [template["spec"]] if template else []


def _check_pod(pod: dict[str, Any]) -> None:
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    for container in pod["containers"]:
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        assert len(mounts) == len(set(mounts)), f"two volumes at one path: {mounts}"
        for mount in container.get("volumeMounts", ()):
            known = volumes | {"data"}  # of a StatefulSet's claim template
            assert mount["name"] in known, f"no volume {mount['name']!r} in {sorted(volumes)}"
        limits = container.get("resources", {}).get("limits", {})
        requests = container.get("resources", {}).get("requests", {})
        for name in limits.keys() & requests.keys():
            assert quantity(requests[name]) <= quantity(limits[name]), f"{name} requested above its limit"


def _check_name(kind: str, name: str) -> None:
    assert LABEL.fullmatch(name), f"{name!r} is no DNS label"
    assert len(name) <= NAME_LENGTHS[kind], f"the name of a {kind} has {NAME_LENGTHS[kind]} characters at most"


def _check_ray(spec: dict[str, Any]) -> None:
    if spec.get("authOptions", {}).get("mode") == "token":
        version = tuple(int(part) for part in spec.get("rayVersion", "").split(".")[:2] if part)
        assert version >= AUTHENTICATED, "tokens take rayVersion 2.52.0 or newer"
    names = [group["groupName"] for group in spec.get("workerGroupSpecs", ())]
    assert len(names) == len(set(names)), f"two worker groups of one name: {names}"
    for group in spec.get("workerGroupSpecs", ()):
        assert 0 <= group["minReplicas"] <= group["maxReplicas"], f"replicas of group {group['groupName']}"
    if spec.get("enableInTreeAutoscaling") and spec.get("autoscalerOptions", {}).get("version") == "v2":
        for group in [spec["headGroupSpec"], *spec.get("workerGroupSpecs", ())]:
            assert group["template"]["spec"].get("restartPolicy", "Never") == "Never", "autoscaler v2: restartPolicy"


def _check_job(spec: dict[str, Any]) -> None:
    assert spec.get("submissionMode", "K8sJobMode") in ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
    assert ("rayClusterSpec" in spec) != ("clusterSelector" in spec), "one of rayClusterSpec and clusterSelector"
    ttl = spec.get("ttlSecondsAfterFinished", 0)
    assert ttl >= 0, "ttlSecondsAfterFinished is negative"
    assert ttl == 0 or spec.get("shutdownAfterJobFinishes"), "a time to live takes shutdownAfterJobFinishes"
    assert spec.get("backoffLimit", 0) >= 0, "backoffLimit is negative"


def quantity(text: str | float) -> float:
    """Kubernetes' number with a suffix: 500m, 16Gi."""
    found = re.fullmatch(r"([0-9.]+)(m|[kMGT]i?)?", str(text))
    assert found, f"{text!r} is no quantity"
    scales = {None: 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    scales |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
    return float(found[1]) * scales[found[2]]
