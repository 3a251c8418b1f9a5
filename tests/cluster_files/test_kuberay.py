"""The Kubernetes manifests are what an API server and KubeRay's operator accept, and say what they should."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.cluster_files.files import ABSENT, RAY, changed, documents
from tests.cluster_files.manifests import check, cluster_spec, groups, pods, quantity, registry

RAY_FILES = ["kuberay/raycluster.yaml", "kuberay/rayjob.yaml"]
FILES = ["kuberay/base.yaml", *RAY_FILES, "mlflow/kubernetes.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_a_manifest_would_be_accepted(name: str) -> None:
    for manifest in documents(name):
        check(manifest)


GPU = "workerGroupSpecs/0"
POD = f"{GPU}/template/spec"
CONTAINER = f"{POD}/containers/0"
CLUSTER_FAULTS = [
    ("enableAutoscaling", True),
    ("headGroupSpec", ABSENT),
    ("authOptions/mode", "password"),
    ("authOptions/secret", "lth"),
    ("rayVersion", ABSENT),
    ("rayVersion", "2.51.0"),
    ("autoscalerOptions/version", 2),
    ("autoscalerOptions/upscalingMode", "Fast"),
    ("headGroupSpec/rayStartParams/num-cpus", 0),
    ("headGroupSpec/template/spec/restartPolicy", "Always"),
    ("headGroupSpec/template/spec/containers", ABSENT),
    (f"{GPU}/groupName", ABSENT),
    (f"{GPU}/groupName", "cpu"),
    (f"{GPU}/maxReplicas", "8"),
    (f"{GPU}/maxReplicas", -1),
    (f"{GPU}/minReplicas", 9),
    (f"{GPU}/nodeSelector", {"spot": "true"}),
    (f"{POD}/nodeselector", {"spot": "true"}),
    (f"{POD}/tolerations/0/operater", "Exists"),
    (f"{POD}/volumes/0/persistentVolumeClaim/claim", "shared"),
    (f"{POD}/volumes/1/emptyDir/sizelimit", "64Gi"),
    (f"{CONTAINER}/volumeMounts/0/name", "sharde"),
    (f"{CONTAINER}/volumeMounts/1/mountPath", "/shared"),
    (f"{CONTAINER}/resources/requests/cpu", "45"),
    (f"{CONTAINER}/resources/limits/memory", "160 GB"),
    (f"{CONTAINER}/env/0/valeu", "eth0"),
]
JOB_FAULTS = [
    ("submissionMode", "K8SJobMode"),
    ("shutdownAfterJobFinishes", "yes"),
    ("shutdownAfterJobFinishes", ABSENT),
    ("shutdownAfterFinish", True),
    ("ttlSecondsAfterFinished", -1),
    ("backoffLimit", "3"),
    ("entryPoint", "python study.py"),
    ("entrypoint", ["python", "study.py"]),
    ("rayClusterSpec", ABSENT),
    ("clusterSelector", {"ray.io/cluster": "lth"}),
]
KUBERNETES_FAULTS = [
    ("kuberay/base.yaml", 0, "kind", "Namspace"),
    ("kuberay/base.yaml", 1, "spec/accessMode", ["ReadWriteMany"]),
    ("kuberay/base.yaml", 1, "spec/accessModes", "ReadWriteMany"),
    ("kuberay/base.yaml", 2, "apiVersion", "networking.k8s.io/v2"),
    ("kuberay/base.yaml", 2, "spec/podselector", {}),
    ("mlflow/kubernetes.yaml", 0, "spec/ports/0/targetport", "http"),
    ("mlflow/kubernetes.yaml", 1, "spec/selector", ABSENT),
    ("mlflow/kubernetes.yaml", 1, "spec/template/spec/containers/0/image", 3.17),
    ("mlflow/kubernetes.yaml", 1, "spec/template/spec/containers/0/env/0/secret", "mlflow"),
    ("mlflow/kubernetes.yaml", 3, "spec/serviceName", 1),
    ("mlflow/kubernetes.yaml", 3, "spec/template/spec/containers/0/volumeMounts/0/name", "date"),
    ("mlflow/kubernetes.yaml", 4, "spec/ingress/0/form", []),
]


@pytest.mark.parametrize("name", RAY_FILES)
@pytest.mark.parametrize(("path", "value"), CLUSTER_FAULTS, ids=[path for path, _ in CLUSTER_FAULTS])
def test_a_faulty_cluster_is_refused(name: str, path: str, value: Any) -> None:
    (manifest,) = documents(name)
    prefix = "spec" if manifest["kind"] == "RayCluster" else "spec/rayClusterSpec"
    with pytest.raises((ValidationError, AssertionError)):
        check(changed(manifest, f"{prefix}/{path}", value))


@pytest.mark.parametrize(("path", "value"), JOB_FAULTS, ids=[path for path, _ in JOB_FAULTS])
def test_a_faulty_job_is_refused(path: str, value: Any) -> None:
    (manifest,) = documents("kuberay/rayjob.yaml")
    with pytest.raises((ValidationError, AssertionError)):
        check(changed(manifest, f"spec/{path}", value))


@pytest.mark.parametrize("name", RAY_FILES)
@pytest.mark.parametrize(
    ("path", "value"),
    [("apiVersion", "ray.io/v1alpha2"), ("kind", "RayClusters"), ("metadata/name", "Lth"), ("metadata/name", "l" * 54)],
)
def test_a_wrong_head_line_is_refused(name: str, path: str, value: str) -> None:
    (manifest,) = documents(name)
    with pytest.raises((ValidationError, AssertionError)):
        check(changed(manifest, path, value))


@pytest.mark.parametrize(("name", "index", "path", "value"), KUBERNETES_FAULTS)
def test_a_faulty_manifest_is_refused(name: str, index: int, path: str, value: Any) -> None:
    with pytest.raises((ValidationError, AssertionError)):
        check(changed(documents(name)[index], path, value))


@pytest.mark.parametrize("name", RAY_FILES)
def test_ray_has_tokens_autoscaling_spot_workers_and_the_shared_storage_everywhere(name: str) -> None:
    (manifest,) = documents(name)
    spec = cluster_spec(manifest)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == RAY
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    limits = {
        group["groupName"]: group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in spec["workerGroupSpecs"]
    }
    assert {name: "nvidia.com/gpu" in limit for name, limit in limits.items()} == {"gpu": True, "cpu": False}
    for group in groups(manifest):
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        (container,) = pod["containers"]
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounts["/shared"]["persistentVolumeClaim"] == {"claimName": "shared"}
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
        shm = quantity(mounts["/dev/shm"]["emptyDir"]["sizeLimit"])
        assert shm <= quantity(container["resources"]["limits"]["memory"]) / 2, "/dev/shm counts as the pod's memory"
        if "groupName" in group:
            assert group["minReplicas"] < group["maxReplicas"]
            assert any("spot" in f"{key}={value}" for key, value in pod["nodeSelector"].items())
            assert pod["tolerations"]


def test_both_files_describe_the_same_cluster() -> None:
    (cluster,), (job,) = (documents(name) for name in RAY_FILES)
    assert cluster_spec(cluster) == cluster_spec(job)
    claims = {document["metadata"]["name"]: document for document in documents("kuberay/base.yaml")}
    assert claims["shared"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {document["metadata"].get("namespace", "lth") for name in FILES for document in documents(name)} == {"lth"}


def test_no_secret_is_written_down() -> None:
    """Anything that looks like a secret comes from a Secret."""
    for name in FILES:
        for manifest in documents(name):
            assert manifest["kind"] != "Secret"
            for pod in pods(manifest):
                for variable in (v for container in pod["containers"] for v in container.get("env", ())):
                    secret = any(word in variable["name"] for word in ("PASSWORD", "TOKEN", "KEY"))
                    assert not secret or "valueFrom" in variable, variable


@pytest.mark.parametrize("name", FILES)
def test_no_pod_is_root_or_may_become_it(name: str) -> None:
    for pod in (pod for manifest in documents(name) for pod in pods(manifest)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == confined, container["name"]
        is_head = pod["containers"][0]["name"] == "ray-head"  # whose autoscaler asks the API server for pods
        assert is_head or pod["automountServiceAccountToken"] is False


def test_every_door_is_closed_but_those_that_a_policy_opens() -> None:
    policies = [one for name in FILES for one in documents(name) if one["kind"] == "NetworkPolicy"]
    found = {one["metadata"]["name"]: one["spec"] for one in policies}
    assert found["closed"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert found["mlflow-postgres"]["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"app": "mlflow"}}}]
    assert {name for name, spec in found.items() if spec.get("ingress")} == {"ray", "mlflow", "mlflow-postgres"}


CRDS = os.environ.get("KUBERAY_CRDS")


@pytest.mark.skipif(not CRDS, reason="KUBERAY_CRDS names no folder with KubeRay's CRDs")
@pytest.mark.parametrize(("name", "kind"), [(RAY_FILES[0], "rayclusters"), (RAY_FILES[1], "rayjobs")])
def test_schema_and_manifest_agree_with_the_crd(name: str, kind: str) -> None:
    """Our schema lists no field that the CRD lacks, and the CRD, closed, accepts the manifest."""
    crd = yaml.load((Path(CRDS or "") / f"ray.io_{kind}.yaml").read_text(), Loader=yaml.CSafeLoader)
    theirs = next(version for version in crd["spec"]["versions"] if version["name"] == "v1")["schema"][
        "openAPIV3Schema"
    ]
    (manifest,) = documents(name)
    ours = registry().contents("https://kubernetes.io/api/ray.io_v1.yaml")["$defs"]
    _assert_within(ours[manifest["kind"]], theirs, ours, manifest["kind"])
    Draft202012Validator(_closed(theirs)).validate({**manifest, "metadata": {}})


def _assert_within(our: dict[str, Any], their: dict[str, Any], definitions: dict[str, Any], where: str) -> None:
    reference = our.get("$ref", "")
    if reference.startswith("#/$defs/"):
        our = definitions[reference.rpartition("/")[2]]
    elif reference:  # Kubernetes' own
        return
    if "const" in our:
        return
    assert our["type"] == their["type"], where
    assert our.get("enum") == their.get("enum"), where
    if where not in ("RayCluster", "RayJob"):
        assert our.get("required") == their.get("required"), where
    for name, schema in our.get("properties", {}).items():
        assert name in their["properties"], f"{where}.{name}"
        _assert_within(schema, their["properties"][name], definitions, f"{where}.{name}")
    if "items" in our:
        _assert_within(our["items"], their["items"], definitions, f"{where}[]")


def _closed(schema: Any) -> Any:
    """The schema with every listed object closed, as a strict API server reads it."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    listed = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if listed and schema.get("x-kubernetes-preserve-unknown-fields") is not True:
        closed["additionalProperties"] = False
    return closed
