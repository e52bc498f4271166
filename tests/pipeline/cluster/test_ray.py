"""`savs extract --engine ray` on a cluster of three nodes on this machine."""

import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from savs.pipeline.cluster.ray_engine import RayOptions
from savs.pipeline.errors import ClusterError
from savs.stores import open_store
from savs.stores.maintain.verify import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore"),  # of Ray's
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]
SHARDS = 16
SETTINGS = {"SAVS_EXTRACT_ENGINE": "local,shard_rows=2"}
"""A variable of the command; actors get it, too."""
ACTORS = ",shard_rows=2,actors=3,gpus=0"


@pytest.fixture
def command(inputs) -> list[str]:
    train, test = inputs.few_shots(train=8, test=24)
    files = ["--train", str(train), "--test", str(test), "--model", "demo"]
    return ["extract", "general", *files, "--batch-size", "2"]


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    made.shutdown()


def lose_a_node(cluster, node, store: Path) -> None:
    """Remove a node once half of the shards are there."""
    while len(list(store.glob("*.h5"))) < SHARDS // 2:
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)


def test_a_node_that_is_lost_loses_nothing_and_doubles_nothing(
    savs, command, cluster, tmp_path
) -> None:
    store = tmp_path / "store"
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    killer = threading.Thread(target=lose_a_node, args=(cluster, nodes[1], store))
    killer.start()
    done = savs(
        *command, "--out", store, "--engine", f"ray://{cluster.address}{ACTORS}", env=SETTINGS
    )
    killer.join()
    assert done.returncode == 0, done.stderr
    assert "3 actors with 0 GPUs and 1 CPUs each" in done.stderr
    assert savs(*command, "--out", tmp_path / "whole", env=SETTINGS).returncode == 0
    assert [p for p in verify(store).problems if p.kind != "left-over"] == []
    ours, theirs = open_store(store), open_store(tmp_path / "whole")
    assert ours.manifest.sealed
    for split in ("train", "test"):
        assert ours.examples(split).equals(theirs.examples(split))
        np.testing.assert_array_equal(
            ours.features(split, raw=True), theirs.features(split, raw=True)
        )


def test_an_address_where_nobody_answers_is_one_line(savs, command, tmp_path) -> None:
    done = savs(*command, "--out", tmp_path / "s", "--engine", f"ray://auto{ACTORS}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no Ray cluster answers at auto (")
    assert not (tmp_path / "s").exists()


def test_options_out_of_range_are_refused() -> None:
    assert issubclass(ClusterError, ConnectionError)
    with pytest.raises(ValueError, match="`actors` is 0, expected at least 1"):
        RayOptions(actors=0)
