"""The files of `ray up` pass Ray's own check, and say what they should."""

import copy
import ipaddress
from typing import Any

import pytest
from click import ClickException
from jsonschema import ValidationError

from tests.cluster_files.files import ABSENT, RAY, changed, documents

AWS, HOSTS = "ray-aws.yaml", "ray-onprem.yaml"
EC2 = {  # the parameters of EC2's create_instances that are of use here; Ray passes node_config on to it
    "BlockDeviceMappings", "IamInstanceProfile", "ImageId", "InstanceMarketOptions", "InstanceType", "KeyName",
    "NetworkInterfaces", "Placement", "SecurityGroupIds", "SubnetIds", "TagSpecifications",
}  # fmt: skip


def check(config: dict[str, Any]) -> None:
    """Check what `ray up` checks before it calls the cloud, and the names of EC2's parameters, which it
    leaves to EC2.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = copy.deepcopy(config)
    validate_config(prepare_config(config))
    if config["provider"]["type"] == "aws":
        assert config["provider"].get("region"), "AWS takes a region"
        for name, node_type in config["available_node_types"].items():
            node = node_type["node_config"]
            assert node.keys() <= EC2, f"{name}: EC2 does not know {node.keys() - EC2}"
            assert node.get("InstanceType"), f"{name} has no InstanceType"
            assert node.get("InstanceMarketOptions", {}).get("MarketType", "spot") == "spot", name
            assert node_type.get("min_workers", 0) <= node_type.get("max_workers", config["max_workers"]), name


REFUSALS = (  # Ray's own schema, its checks after it, and what becomes of a value of another type there
    ValidationError, ValueError, ClickException, NotImplementedError, AssertionError, AttributeError, KeyError,
    TypeError,
)  # fmt: skip
FAULTS = [
    (AWS, "cluster_name", 7),
    (AWS, "provider", ABSENT),
    (AWS, "provider/type", "awss"),
    (AWS, "provider/region", ABSENT),
    (AWS, "max_workers", -1),
    (AWS, "max_workers", "12"),
    (AWS, "idle_timeout", 10),
    (AWS, "auth/ssh_usr", "ubuntu"),
    (AWS, "docker/images", "rayproject/ray"),
    (AWS, "docker/image", ABSENT),
    (AWS, "docker/run_options", "--ulimit nofile=65536:65536"),
    (AWS, "head_node_type", "heads"),
    (AWS, "head_node_type", ABSENT),
    (AWS, "available_node_types/gpu/resources", ABSENT),
    (AWS, "available_node_types/gpu/resources/GPU", "4"),
    (AWS, "available_node_types/gpu/node_config", ABSENT),
    (AWS, "available_node_types/gpu/node_config/InstanceTyp", "g5.12xlarge"),
    (AWS, "available_node_types/gpu/node_config/InstanceMarketOptions/MarketType", "sport"),
    (AWS, "available_node_types/gpu/min_workers", 9),
    (AWS, "available_node_types/cpu/min_workers", 13),
    (AWS, "available_node_types/gpu/spot", True),
    (AWS, "setup_commands", "pip install ray"),
    (AWS, "initialization_commands", [{"run": "true"}]),
    (AWS, "file_mounts", ["~/.ray/auth_token"]),
    (HOSTS, "cluster_name", 7),
    (HOSTS, "provider/head_ip", ABSENT),
    (HOSTS, "provider/worker_ips", ABSENT),
    (HOSTS, "provider/worker_ips", "10.0.0.11"),
    (HOSTS, "provider/type", "onprem"),
    (HOSTS, "available_node_types", {"gpu": {"resources": {}, "node_config": {}}}),
    (HOSTS, "max_workers", 3),
    (HOSTS, "auth/user", "ray"),
    (HOSTS, "worker_start_commands", []),
    (HOSTS, "head_start_ray_commands", "ray start --head"),
]


@pytest.mark.parametrize("name", [AWS, HOSTS])
def test_a_file_is_valid(name: str) -> None:
    (config,) = documents(name)
    check(config)


@pytest.mark.parametrize(("name", "path", "value"), FAULTS)
def test_a_faulty_copy_is_refused(name: str, path: str, value: Any) -> None:
    (config,) = documents(name)
    with pytest.raises(REFUSALS):
        check(changed(config, path, value))


@pytest.mark.parametrize("name", [AWS, HOSTS])
def test_tokens_are_on_and_in_no_file(name: str) -> None:
    (config,) = documents(name)
    starts = " ".join(config["head_start_ray_commands"] + config["worker_start_ray_commands"])
    everywhere = " ".join(config.get("docker", {}).get("run_options", ()))
    assert "RAY_AUTH_MODE=token" in everywhere or starts.count("RAY_AUTH_MODE=token") == 2
    (remote,) = [there for there, here in config["file_mounts"].items() if here == "~/.ray/auth_token"]
    assert f"RAY_AUTH_TOKEN_PATH={remote}" in everywhere or remote == "~/.ray/auth_token"
    assert "RAY_AUTH_TOKEN=" not in everywhere + starts


@pytest.mark.parametrize("name", [AWS, HOSTS])
def test_the_head_trains_nothing_and_shows_its_dashboard_to_the_private_network_only(name: str) -> None:
    (config,) = documents(name)
    (start,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--num-cpus=0" in start
    assert "--dashboard-host=" in start
    assert "0.0.0.0" not in start
    if name == HOSTS:
        head = config["provider"]["head_ip"]
        assert f"--node-ip-address={head} --dashboard-host={head}" in start
        assert all(ipaddress.ip_address(host).is_private for host in [head, *config["provider"]["worker_ips"]])


def test_aws_has_gpu_and_cpu_workers_on_spot_and_a_head_that_is_not() -> None:
    (config,) = documents(AWS)
    types = config["available_node_types"]
    spot = {name: "InstanceMarketOptions" in node_type["node_config"] for name, node_type in types.items()}
    assert spot == {"head": False, "gpu": True, "cpu": True}
    assert types["gpu"]["resources"]["GPU"] > 0
    assert "GPU" not in types["cpu"]["resources"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert all(types[name]["min_workers"] < types[name]["max_workers"] for name in ("gpu", "cpu"))
    assert sum(types[name]["max_workers"] for name in ("gpu", "cpu")) == config["max_workers"]


def test_images_are_of_the_ray_that_is_pinned() -> None:
    text = str(documents(AWS))
    assert text.count(f"rayproject/ray:{RAY}-py311-") == 2
    assert text.count("rayproject/ray:") == 2
